"""The C header of the crate, made by cbindgen: generate it, write it, or fail when it differs from the sources."""

from __future__ import annotations

import difflib
from pathlib import Path

from glean_steps import project, report, runner, toolchain, workspace
from glean_steps.errors import HeaderDriftError
from glean_steps.workspace import Workspace

GENERATE_S = 300.0
DIFF_LINES = 40


def generate(ws: Workspace) -> str:
    """Return the text of the header as the pinned cbindgen makes it from the sources.

    Raises:
        MissingArtifactError: cbindgen made none.
    """
    config = ws.crate / project.CBINDGEN_CONFIG
    program = toolchain.cargo_program("cbindgen", config, ws)
    rust = toolchain.host_rust(ws)
    # cbindgen asks cargo for the crate's metadata.
    env = runner.child_env({"CARGO": str(rust.cargo), "RUSTC": str(rust.rustc)})
    made = ws.state / header_path(ws).name
    made.parent.mkdir(parents=True, exist_ok=True)
    made.unlink(missing_ok=True)
    argv = [program, "--quiet", "--config", config, "--output", made, ws.crate]
    ws.run(argv, timeout_s=GENERATE_S, cwd=ws.crate, env=env)
    text = toolchain.made_file(made, "cbindgen made no header", by="it", fix=f"check {config}").read_text("utf-8")
    made.unlink()
    return text


def header_path(ws: Workspace) -> Path:
    """Return where the header lives in the checkout."""
    return ws.crate / project.HEADER


def write(ws: Workspace) -> Path:
    """Write the header anew; a file that is right already keeps its modification time."""
    path, key = header_path(ws), _key(ws)
    with report.step(f"write {path.name}"):
        text = generate(ws)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            workspace.write_text(path, text)
        ws.stamp("header").write(key, files=[path])
    return path


def check(ws: Workspace) -> None:
    """Compare the header with the sources; an unchanged crate that passed before is not looked at again.

    Raises:
        HeaderDriftError: they differ; shows the first lines of the difference.
    """
    path, key, stamp = header_path(ws), _key(ws), ws.stamp("header")
    if stamp.is_current(key):
        report.skip(path.name)
        return
    with report.step(f"compare {path.name} with the sources"):
        wanted = generate(ws).splitlines()
        found = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if wanted != found:
            lines = list(difflib.unified_diff(found, wanted, "as it is", "as it should be", lineterm="", n=2))
            shown = lines[:DIFF_LINES]
            if len(lines) > DIFF_LINES:
                shown.append(f"... {len(lines) - DIFF_LINES} more lines")
            raise HeaderDriftError(
                f"{path.relative_to(ws.root)} is not what cbindgen makes of the sources",
                why="".join(f"\n    {line}" for line in shown),
                fix="write it anew and commit it: python3 bootstrap.py invoke header",
            )
        stamp.write(key, files=[path])


def _key(ws: Workspace) -> str:
    return workspace.fingerprint(ws.crate / "src", ws.crate / project.CBINDGEN_CONFIG, ws.crate / "Cargo.toml")
