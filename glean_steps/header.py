"""glean.h, made by cbindgen from the crate's C ABI: generate it, write it, or fail when it differs from the sources."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import List, Optional

from glean_steps import report, runner, toolchain, workspace
from glean_steps.errors import HeaderDriftError, MissingArtifactError, SettingError
from glean_steps.runner import Run
from glean_steps.workspace import Stamp, Workspace

GENERATE_S = 300.0
DIFF_LINES = 40


def generate(ws: Optional[Workspace] = None, *, run: Run = runner.run) -> str:
    """Return the text of glean.h as the pinned cbindgen makes it from the sources."""
    ws = ws or workspace.here()
    program = cbindgen(ws, run=run)
    rust = toolchain.host_rust(ws, run=run)
    # cbindgen asks cargo for the crate's metadata.
    env = runner.child_env({"CARGO": str(rust.cargo), "RUSTC": str(rust.rustc)})
    made = ws.state / "glean.h"
    made.parent.mkdir(parents=True, exist_ok=True)
    made.unlink(missing_ok=True)
    argv = [program, "--quiet", "--config", ws.crate / "cbindgen.toml", "--output", made, ws.crate]
    run(argv, timeout_s=runner.deadline(GENERATE_S), cwd=ws.crate, env=env)
    try:
        return made.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingArtifactError(
            "cbindgen made no header",
            why=f"it succeeded but {made} does not exist",
            fix="check glean_core/cbindgen.toml",
        ) from error
    finally:
        made.unlink(missing_ok=True)


def header_path(ws: Workspace) -> Path:
    """Return where glean.h lives in the checkout."""
    return ws.crate / "include" / "glean.h"


def write(ws: Optional[Workspace] = None, *, run: Run = runner.run) -> Path:
    """Write glean.h anew; a file that is right already keeps its modification time."""
    ws = ws or workspace.here()
    path, key = header_path(ws), _key(ws)
    with report.step("write glean.h"):
        text = generate(ws, run=run)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            workspace.write_text(path, text)
        _stamp(ws).write(key, files=[path])
    return path


def check(ws: Optional[Workspace] = None, *, run: Run = runner.run) -> None:
    """Compare glean.h with the sources; an unchanged crate that passed before is not looked at again.

    Raises:
        HeaderDriftError: they differ; shows the first lines of the difference.
    """
    ws = ws or workspace.here()
    path, key, stamp = header_path(ws), _key(ws), _stamp(ws)
    if stamp.is_current(key):
        report.skip("glean.h")
        return
    with report.step("compare glean.h with the sources"):
        wanted = generate(ws, run=run).splitlines()
        found = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if wanted != found:
            raise HeaderDriftError(
                f"{path.relative_to(ws.root)} is not what cbindgen makes of the sources",
                why="\n" + "\n".join(_difference(found, wanted)),
                fix="write it anew and commit it: python3 bootstrap.py invoke header",
            )
        stamp.write(key, files=[path])


def pinned_version(ws: Workspace) -> str:
    """Return the version in the comment `# cbindgen-version: X` of cbindgen.toml.

    Raises:
        SettingError: there is no such comment.
    """
    config = ws.crate / "cbindgen.toml"
    try:
        text = config.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError("cannot read cbindgen.toml", why=str(error), fix=f"put it back at {config}") from error
    found = re.search(r"^#\s*cbindgen-version:\s*([0-9][0-9A-Za-z.+-]*)\s*$", text, re.MULTILINE)
    if found is None:
        raise SettingError(
            "cbindgen has no pinned version",
            why=f"{config} has no line such as `# cbindgen-version: 0.29.0`",
            fix="add the line; another version may write the header differently",
        )
    return found.group(1)


def cbindgen(ws: Workspace, *, run: Run = runner.run) -> Path:
    """Return the pinned cbindgen from the cache, installing it there when it is missing (once, about a minute)."""
    return toolchain.cargo_program("cbindgen", pinned_version(ws), ws, run=run)


def _stamp(ws: Workspace) -> Stamp:
    return Stamp(ws.state / "stamps" / "header.json")


def _key(ws: Workspace) -> str:
    return workspace.fingerprint(ws.crate / "src", ws.crate / "cbindgen.toml", ws.crate / "Cargo.toml")


def _difference(found: List[str], wanted: List[str]) -> List[str]:
    """Return the first lines of a unified diff, and how many are left out."""
    lines = list(difflib.unified_diff(found, wanted, "glean.h as it is", "glean.h as it should be", lineterm="", n=2))
    shown = [f"    {line}" for line in lines[:DIFF_LINES]]
    if len(lines) > DIFF_LINES:
        shown.append(f"    ... {len(lines) - DIFF_LINES} more lines")
    return shown
