"""Whether a second build gives the same bytes: in a copy of the checkout, by other means, compared file by file."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from glean_steps import cargo, pipelines, report, runner, system, toolchain, wheel, workspace
from glean_steps.errors import ReproductionError
from glean_steps.targets import TARGETS, Target
from glean_steps.workspace import Workspace

BUILD_S = 7200.0
SHOW_S = 600.0
STAMP = "reproduced"
# What the copy runs: the same steps, from its own sources, without audit and proof.
_MAKE = "import sys; from glean_steps import reproduce; reproduce.make(sys.argv[1].split(','))"


def run(ws: Workspace, targets: Sequence[Target]) -> None:
    """Build the wheels and the source distribution once more and compare them with those in dist/.

    The copy has a path with a space, and its build another home, registry, time zone, umask and, where the system lets
    it, another user.

    Raises:
        ReproductionError: names the first entry that differs.
    """
    with ws.locked():
        first = [*pipelines.make_wheels(targets, ws), pipelines.make_sdist(ws)]
        with tempfile.TemporaryDirectory(prefix="glean-again ") as folder, report.step("build everything once more"):
            again = _build_copy(Path(folder), targets, ws)
            different = []
            for one in (each.path for each in first):
                other = again / one.name
                if not other.is_file() or one.read_bytes() != other.read_bytes():
                    different.append((one, other))
            if different:
                raise _difference(*different[0], len(different), ws)
        digests = {each.path.name: each.facts["sha256"] for each in first}
        ws.stamp(STAMP).write(STAMP, facts={**ws.stamp(STAMP).facts(), **digests})
    print("\n".join(f"the same bytes twice: {name}" for name in sorted(digests)))


def make(tags: Sequence[str]) -> None:
    """Build and pack the wheels with these tags, and the source distribution, into dist/ of this checkout."""
    ws = workspace.here()
    targets = [target for target in TARGETS if target.platform_tag in tags]
    libraries = cargo.build_libraries(targets, ws=ws)
    made = pipelines.pack_all(targets, {target: libraries[target.triple] for target in targets}, ws)
    ws.dist.mkdir(exist_ok=True)
    for path in (*made.values(), wheel.sdist(ws)):
        shutil.copyfile(path, ws.dist / path.name)


def _build_copy(folder: Path, targets: Sequence[Target], ws: Workspace) -> Path:
    """Build in a copy of the checkout; return its dist/."""
    copy, home = folder / "a copy", folder / "home"
    for name in files(ws):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ws.root / name, copy / name)
    home.mkdir()
    user = {"HOME": str(home), "USER": "somebody", "LOGNAME": "somebody", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"}
    folders = {"CARGO_HOME": str(home / "cargo"), "CARGO_TARGET_DIR": None, "GLEAN_CACHE": str(ws.cache)}
    # The compilers are the same ones; another compiler gives other bytes.
    env = runner.child_env({**user, **folders, "RUSTUP_HOME": str(toolchain.rustup_home())})
    tags = ",".join(target.platform_tag for target in targets)
    argv: list[object] = ["sh", "-c", 'umask 077; exec "$@"', "sh", *_other_user(ws), sys.executable, "-c", _MAKE, tags]
    try:
        ws.run(argv, timeout_s=BUILD_S, cwd=copy, env=env)
    finally:
        # The path of the copy has a space, so what cargo made for it is in the cache.
        for made in {cargo.target_dir(each, ws=Workspace(copy, ws.cache)).parents[1] for each in targets}:
            if made.parent == ws.cache / "targets":
                shutil.rmtree(made, ignore_errors=True)
    return copy / "dist"


def files(ws: Workspace) -> list[str]:
    """Return the names of the files of the checkout, new ones included, without what is ignored."""
    system.require([system.GIT], ws)
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = ws.run(argv, timeout_s=60, cwd=ws.root, quiet=True, split_stderr=True).stdout
    return sorted(name for name in listed.split("\0") if name and (ws.root / name).is_file())


def _other_user(ws: Workspace) -> list[object]:
    """Return what starts a program as a user of another number who may read the same files, where that is possible."""
    argv: list[object] = ["unshare", "--user", "--map-user=1234", "--map-group=1234", "--"]
    done = ws.run([*argv, "true"], timeout_s=20, check=False, quiet=True, echo=False)
    return argv if done.status == 0 else []


def _difference(one: Path, other: Path, count: int, ws: Workspace) -> ReproductionError:
    shown = first_difference(one, other)
    program = system.find_program("diffoscope")
    if program is not None and other.is_file():
        shown += "\n" + ws.run([program, one, other], timeout_s=SHOW_S, check=False, quiet=True).stdout
    return ReproductionError(
        f"{count} of the files came out differently the second time, first of all {one.name}",
        why=shown,
        fix="find what this entry takes from the machine, the clock or the path",
    )


def first_difference(one: Path, other: Path) -> str:
    """Return what differs first in two archives: the presence of an entry, its bytes, or its attributes."""
    if not other.is_file():
        return "the second build did not make it"
    entries, others = _entries(one), _entries(other)
    for name in sorted({*entries, *others}):
        if name not in entries or name not in others:
            return f"{name} is only in the {'first' if name in entries else 'second'} one"
        if entries[name][0] != others[name][0]:
            same = os.path.commonprefix([entries[name][0], others[name][0]])
            return f"{name} differs from byte {len(same):,} on"
        if entries[name][1] != others[name][1]:
            return f"{name} has other attributes: {entries[name][1]} and {others[name][1]}"
    return "the entries are the same in another order or packing"


def _entries(path: Path) -> Mapping[str, tuple[bytes, str]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as opened:
            return {
                each.filename: (opened.read(each), f"{each.date_time} {each.external_attr:#o}")
                for each in opened.infolist()
            }
    with tarfile.open(path) as opened_tar:
        return {
            each.name: (
                stream.read() if (stream := opened_tar.extractfile(each)) else b"",
                f"{each.mtime} {each.mode:#o} {each.uid}:{each.gid}",
            )
            for each in opened_tar.getmembers()
        }
