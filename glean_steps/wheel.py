"""Pack wheels through the standard build interface (PEP 517) and give them their platform through `wheel tags`."""

from __future__ import annotations

import os
import stat
import sys
import time
import zipfile
from pathlib import Path

from glean_steps import archive, project, report, runner, settings, system, targets, toolchain, workspace
from glean_steps.errors import AuditError, MissingArtifactError
from glean_steps.targets import Target

PYTHON_TAG, ABI_TAG = "py3", "none"

# The caller's SOURCE_DATE_EPOCH, else the first moment that a zip archive can hold: no clock and no commit in a wheel,
# so the same sources give the same bytes wherever and whenever they are packed.
EPOCH = "315532800"

# What a PEP 517 front end does, in one process: call the backend with the checkout off sys.path, so that a build cannot
# import what it will not have elsewhere. `python -I` would do that too, but also hide PYTHONPATH.
_BUILD_WHEEL = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
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
        ws.run(
            [sys.executable, "-c", _BUILD_WHEEL, temporary],
            timeout_s=120,
            cwd=ws.root,
            env=build_env(library, target),
            quiet=True,
        )
        name = _only_wheel(temporary).name
    return folder / name


def build_env(library: Path, target: Target) -> dict[str, str]:
    """Return the environment in which a build packs `library` for `target` and for no other target."""
    changes: dict[str, str | None] = {each.build_variable: None for each in targets.TARGETS}
    changes[target.build_variable] = "1"
    changes[project.LIBRARY_VARIABLE] = str(library.resolve())
    changes["SOURCE_DATE_EPOCH"] = os.environ.get("SOURCE_DATE_EPOCH", EPOCH)
    return runner.child_env(changes)


def retag(wheel: Path, target: Target, ws: workspace.Workspace) -> Path:
    """Give a wheel the tag `py3-none-<platform>` with the `wheel tags` command, in its folder; return the new file.

    Afterwards the archive is written anew with sorted members, fixed dates and modes, and the best that deflate can do:
    the command packs at zlib's default level, and the largest member is worth more effort.

    Raises:
        MissingArtifactError: the command made no file, or one with another name.
        CommandFailedError: the command failed.
    """
    expected = wheel.with_name(tagged_name(wheel.name, target))
    done = ws.run(
        [
            *(sys.executable, "-m", "wheel", "tags", "--remove"),
            *("--python-tag", PYTHON_TAG, "--abi-tag", ABI_TAG, "--platform-tag", target.platform_tag),
            wheel.resolve(),
        ],
        timeout_s=60,
        cwd=wheel.resolve().parent,  # `-m` looks for modules here first, and a folder of wheels holds none.
        env=runner.child_env({"SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", EPOCH)}),
        quiet=True,
        split_stderr=True,
    )
    made = done.stdout.split()
    if made != [expected.name] or not expected.is_file():
        raise MissingArtifactError(
            f"wheel tags did not make {expected.name}",
            why=f"it was given {wheel.name} and says that it made {' '.join(made) or 'nothing'}",
            fix="check the version of `wheel` in requirements/tools.txt",
        )
    repack(expected)
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
    return "-".join([*parts[:-3], PYTHON_TAG, ABI_TAG, target.platform_tag]) + ".whl"


def repack(wheel: Path) -> None:
    """Write a wheel's archive anew: same members and contents, smaller, and the same bytes each time.

    RECORD holds hashes of contents, so it stays right. Metadata comes last and RECORD at the very end, as PEP 427 asks.
    """
    members = archive.read_members(wheel)
    moment = _zip_moment()
    with workspace.new_file(wheel) as temporary, zipfile.ZipFile(temporary, "w") as out:
        for name in sorted(members, key=_member_order):
            member = zipfile.ZipInfo(name, moment)
            member.create_system = 3  # Unix, so that the mode below is one.
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            out.writestr(member, members[name], zipfile.ZIP_DEFLATED, 9)


def native_wheel(ws: workspace.Workspace, *, python: Path | None = None) -> Path:
    """Return a wheel for this machine, built by `pip wheel`; one serves every CPython because its tag is py3-none.

    Args:
        python: the Python whose pip builds; the running one when absent, and then its own setuptools is used instead of
            a fresh one from the index.

    Raises:
        AuditError: the wheel is for one Python only.
        CommandFailedError: the build failed.
    """
    folder = ws.state / "wheels" / "native"
    stamp = ws.stamp("native-wheel")
    key = workspace.fingerprint(sys.version, str(python), *[ws.root / name for name in project.SHAPES_A_WHEEL])
    if stamp.is_current(key):
        path = folder / str(stamp.facts().get("name"))
        report.skip(path.name)
        return path
    rust = toolchain.host_rust(ws)
    system.require([system.C_COMPILER], ws)
    with report.step("Build the native wheel"):
        with workspace.new_folder(folder) as temporary:
            own = [] if python is not None else ["--no-build-isolation"]
            ws.run(
                [python or sys.executable, "-m", "pip", "wheel", ws.root, "--no-deps", *own, "--wheel-dir", temporary],
                timeout_s=900,
                env=runner.child_env(
                    {
                        **{target.build_variable: None for target in targets.TARGETS},
                        project.LIBRARY_VARIABLE: None,
                        "CARGO": str(rust.cargo),
                        "RUSTC": str(rust.rustc),
                        **({"CARGO_NET_OFFLINE": "true"} if settings.OFFLINE.value() else {}),
                        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", EPOCH),
                    }
                ),
            )
            name = _only_wheel(temporary).name
            if name.split("-")[-3:-1] != [PYTHON_TAG, ABI_TAG]:
                raise AuditError(
                    f"{name} is for one Python only",
                    why=f"its tag is not {PYTHON_TAG}-{ABI_TAG}, although nothing in it links against a Python",
                    fix="check the tag that setup.py gives to bdist_wheel",
                )
        path = folder / name
        stamp.write(key, files=[path], facts={"name": name})
    return path


def _only_wheel(folder: Path) -> Path:
    found = sorted(folder.glob("*.whl"))
    if len(found) != 1:
        raise MissingArtifactError(
            "the build did not make one wheel",
            why=f"it made {', '.join(path.name for path in found) or 'nothing'}",
            fix="build with `pip wheel . --no-deps --verbose` and read what setup.py says",
        )
    return found[0]


def _member_order(name: str) -> tuple[bool, bool, str]:
    in_metadata = name.split("/")[0].endswith(".dist-info")
    return (in_metadata, in_metadata and name.endswith("/RECORD"), name)


def _zip_moment() -> tuple[int, int, int, int, int, int]:
    try:
        seconds = int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH))
    except ValueError:
        seconds = int(EPOCH)
    moment = time.gmtime(max(seconds, int(EPOCH)))
    return (moment[0], moment[1], moment[2], moment[3], moment[4], moment[5])
