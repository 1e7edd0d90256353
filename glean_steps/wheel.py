"""Pack wheels through the standard build interface (PEP 517) and give them their platform through `wheel tags`."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import os
import re
import sys
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

from glean_steps import archive, cargo, components, project, report, runner, targets, toolchain, workspace
from glean_steps.errors import AuditError, MissingArtifactError
from glean_steps.targets import Target

# The caller's SOURCE_DATE_EPOCH, else the first moment that a zip archive can hold: no clock and no commit in a wheel,
# so the same sources give the same bytes wherever and whenever they are packed.
EPOCH = "315532800"

# The modules whose change can change a wheel, and the variables that shape its library.
_MODULES = ("cargo.py", "components.py", "library.py", "project.py", "targets.py", "toolchain.py", "wheel.py", "zig.py")
_SHAPING = re.compile(r"RUSTFLAGS|^CARGO_PROFILE_|^SOURCE_DATE_EPOCH$")

# What a PEP 517 front end does, in one process: call the backend with the checkout off sys.path, so that a build cannot
# import what it will not have elsewhere. `python -I` would do that too, but also hide PYTHONPATH.
_BUILD = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"
)


def pack(library: Path, target: Target, *, ws: workspace.Workspace) -> Path:
    """Pack the checkout with a library that is already built; return the wheel, which has this machine's platform tag.

    The environment that asks setup.py for it is the documented one, so that `pip wheel .` with the same variables does
    the same. Two targets can be packed at the same time.

    Raises:
        MissingArtifactError: there is no library, or the build made no wheel.
        CommandFailedError: the build failed.
    """
    if not library.is_file():
        raise MissingArtifactError(
            f"cannot pack a wheel for {target.platform_tag}",
            why=f"{library} does not exist",
            fix=f"build it first: invoke build --target {target.triple}",
        )
    folder = ws.state / "wheels" / target.platform_tag
    with workspace.new_folder(folder) as temporary:
        made = _build("wheel", "*.whl", temporary, build_env(library, target), ws)
    return folder / made.name


def build_env(library: Path, target: Target) -> dict[str, str]:
    """Return the environment in which a build packs `library` for `target` and for no other target."""
    changes: dict[str, str | None] = {each.build_variable: None for each in targets.TARGETS if each.build_variable}
    changes[project.TARGET_VARIABLE] = target.triple or None
    changes[project.LIBRARY_VARIABLE] = str(library.resolve())
    changes["SOURCE_DATE_EPOCH"] = os.environ.get("SOURCE_DATE_EPOCH", EPOCH)
    return runner.child_env(changes)


def retag(wheel: Path, target: Target, ws: workspace.Workspace) -> Path:
    """Give a wheel the tag `py3-none-<platform>` with the `wheel tags` command, in its folder; return the new file.

    Afterwards the archive is written anew with sorted members, fixed dates and modes, and the best that deflate can do:
    the command packs at zlib's default level, and the largest member is worth more effort. The list of the crates in
    the library and their licences are added (components.py).

    Raises:
        MissingArtifactError: the command made no file, or one with another name.
        CommandFailedError: the command failed.
    """
    expected = wheel.with_name(tagged_name(wheel.name, target))
    argv = [sys.executable, "-m", "wheel", "tags", "--remove", "--python-tag", "py3", "--abi-tag", "none"]
    argv += ["--platform-tag", target.platform_tag, str(wheel.resolve())]
    env = runner.child_env({"SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", EPOCH)})
    # `-m` looks for modules in the working directory first, and a folder of wheels holds none.
    done = ws.run(argv, timeout_s=60, cwd=wheel.resolve().parent, env=env, quiet=True, split_stderr=True)
    made = done.stdout.split()
    if made != [expected.name] or not expected.is_file():
        raise MissingArtifactError(
            f"wheel tags did not make {expected.name}",
            why=f"it was given {wheel.name} and says that it made {' '.join(made) or 'nothing'}",
            fix="check the version of `wheel` in requirements/tools.txt",
        )
    repack(expected, components.members(target, ws))
    return expected


def pack_and_retag(library: Path, target: Target, *, ws: workspace.Workspace) -> Path:
    """Pack the checkout with a library and give the wheel its platform; return it."""
    return retag(pack(library, target, ws=ws), target, ws)


def tagged_name(name: str, target: Target) -> str:
    """Return a wheel's file name with the tag of `target` in place of its own (PEP 427: the last three parts).

    Raises:
        AuditError: `name` is not a wheel's file name.
    """
    parts = name[: -len(".whl")].split("-") if name.endswith(".whl") else []
    if len(parts) not in (5, 6) or not all(parts):
        raise AuditError(
            f"{name} is not a wheel's file name",
            why="PEP 427 wants name-version[-build]-python-abi-platform.whl",
            fix="give a wheel that `invoke wheel` made",
        )
    return "-".join([*parts[:-3], "py3", "none", target.platform_tag]) + ".whl"


def repack(wheel: Path, more: Mapping[str, bytes]) -> None:
    """Write a wheel's archive anew: smaller, and the same bytes each time.

    Metadata comes last and RECORD at the very end, as PEP 427 asks; texts of licences are named in METADATA (PEP 639).

    Args:
        more: files to add to the metadata folder, by their names in it.
    """
    folder = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    record = f"{folder}/RECORD"
    members = archive.read_members(wheel)
    members.update({f"{folder}/{name}": data for name, data in more.items()})
    licences = [f"License-File: {name[len('licenses/') :]}\n".encode() for name in more if name.startswith("licenses/")]
    if licences:
        lines = members.get(f"{folder}/METADATA", b"").splitlines(keepends=True)
        end = next((place for place, line in enumerate(lines) if not line.strip()), len(lines))
        lines[end:end] = [line for line in licences if line not in lines[:end]]
        members[f"{folder}/METADATA"] = b"".join(lines)
    names = sorted(members, key=lambda name: (name.startswith(f"{folder}/"), name == record, name))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name in names:
        digest = base64.urlsafe_b64encode(hashlib.sha256(members[name]).digest()).decode().rstrip("=")
        rows.writerow((name, "", "") if name == record else (name, f"sha256={digest}", len(members[name])))
    members[record] = text.getvalue().encode()
    with workspace.new_file(wheel) as temporary:
        archive.write(temporary, {name: members[name] for name in names}, time.gmtime(_epoch()))


def sdist(ws: workspace.Workspace) -> Path:
    """Return the source distribution: the same bytes whoever packs it, from which checkout and when.

    Raises:
        MissingArtifactError: the build made none.
        CommandFailedError: the build failed.
    """
    folder = ws.state / "wheels" / "sdist"
    with workspace.new_folder(folder) as temporary:
        env = runner.child_env({"SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", EPOCH)})
        made = _build("sdist", "*.tar.gz", temporary, env, ws)
        members = sdist_files(made)
        with open(made, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
            with tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as out:
                for name in sorted(members):
                    member = tarfile.TarInfo(name)
                    member.size, member.mode, member.mtime = len(members[name]), 0o644, _epoch()
                    out.addfile(member, io.BytesIO(members[name]))
    return folder / made.name


def sdist_files(path: Path) -> dict[str, bytes]:
    """Return the content of every file of a source distribution, by name."""
    with tarfile.open(path) as opened:
        files = ((member.name, opened.extractfile(member)) for member in opened.getmembers())
        return {name: stream.read() for name, stream in files if stream is not None}


def sources(ws: workspace.Workspace) -> str:
    """Return the fingerprint of the files that shape every wheel: what is packed, what packs it, and these steps."""
    shaping = [ws.root / name for name in (*project.SHAPES_A_WHEEL, project.TOOL_REQUIREMENTS)]
    return workspace.fingerprint(*shaping, *[Path(__file__).with_name(name) for name in _MODULES])


def key(target: Target, ws: workspace.Workspace, files: str) -> str:
    """Return the key over everything that shapes a target's wheel: files, the Python that packs it, compiler, flags."""
    return workspace.fingerprint(
        files,
        target.triple,
        sys.version,
        toolchain.machine_key(ws, target),
        {name: value for name, value in os.environ.items() if _SHAPING.search(name)},
    )


def native_wheel(ws: workspace.Workspace) -> Path:
    """Return a wheel for this machine, built by the same steps as all others; it serves every CPython.

    Raises:
        AuditError: the wheel is not what it promises.
        CommandFailedError: the build failed.
    """
    target = targets.HOST
    folder = ws.state / "wheels" / target.platform_tag
    stamp = ws.stamp("native-wheel")
    shaped = key(target, ws, sources(ws))
    if stamp.is_current(shaped):
        path = folder / str(stamp.facts().get("name"))
        report.skip(path.name)
        return path
    with report.step("Build the native wheel"):
        library = cargo.build_libraries([target], ws=ws)[target.triple]
        path = pack_and_retag(library, target, ws=ws)
        stamp.write(shaped, files=[path], facts={"name": path.name})
    return path


def _build(kind: str, pattern: str, into: Path, env: Mapping[str, str], ws: workspace.Workspace) -> Path:
    """Have the build backend make a `wheel` or an `sdist` of the checkout in a folder; return the file."""
    ws.run([sys.executable, "-c", _BUILD.format(kind), into], timeout_s=120, cwd=ws.root, env=env, quiet=True)
    found = sorted(into.glob(pattern))
    if len(found) != 1:
        raise MissingArtifactError(
            f"the build did not make one {pattern}",
            why=f"it made {', '.join(path.name for path in found) or 'nothing'}",
            fix="build with `python -m build` and read what setup.py says",
        )
    return found[0]


def _epoch() -> int:
    try:
        return max(int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH)), int(EPOCH))
    except ValueError:
        return int(EPOCH)
