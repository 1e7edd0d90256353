"""A release: everything agrees with one commit, what is published is listed with its hashes, and where it comes from.

Uploads go through twine, file by file, so that one that is cut off goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glean_steps import components, environments, pipelines, project, report, reproduce, runner, system, workspace
from glean_steps.errors import CommandFailedError, ReleaseError
from glean_steps.suites import one_line
from glean_steps.targets import TARGETS, Target
from glean_steps.workspace import Workspace

QUERY_S = 60.0
TWINE_S = 900.0
SUMS = "SHA256SUMS"
_ENVIRONMENT = environments.Environment("publish", project.PUBLISH_REQUIREMENTS, packed=False)


def run(ws: Workspace, version: str, *, publish: bool, make: bool = False) -> list[Path]:
    """Check a release, write its hashes and provenance to dist/, and print or run the upload; return its files.

    Args:
        make: make, prove and reproduce the files first.

    Raises:
        ReleaseError: lists everything that is not as it has to be, or says why the index refused a file.
    """
    with ws.locked():
        if make:
            pipelines.build_all(ws)
            reproduce.run(ws, TARGETS)
        findings = [*source_faults(ws, version), *file_faults(ws, version)]
        if findings:
            raise ReleaseError(
                f"{version} cannot be released: {len(findings)} findings",
                why="".join(f"\n    - {finding}" for finding in findings),
                fix="correct them and run it again; nothing was written or uploaded",
            )
        files = [ws.dist / name for name in names(version)]
        python = _ENVIRONMENT.ensure(ws)
        with report.step("check what the index will show"):
            _twine(python, ["check", "--strict", *files], ws)
            for target in TARGETS:
                _other_auditor(ws.dist / wheel_name(target, version), target, python, ws)
        digests = {path.name: workspace.file_sha256(path) for path in files}
        workspace.write_text(ws.dist / SUMS, "".join(f"{digest}  {name}\n" for name, digest in digests.items()))
        statement = json.dumps(provenance(digests, version, ws), sort_keys=True)
        workspace.write_text(ws.dist / provenance_name(version), statement + "\n")
        if publish:
            upload(files, python, ws)
        else:
            shown = " ".join(os.path.relpath(path, ws.root) for path in files)
            print(f"to publish it, run this again with --publish, or:\ntwine upload {shown}")
    return files


def names(version: str) -> list[str]:
    """Return the names of all files of a release; nothing else may be uploaded."""
    wheels = [wheel_name(target, version) for target in TARGETS]
    return sorted([*wheels, f"{project.PACKAGE}-{version}.tar.gz"])


def wheel_name(target: Target, version: str) -> str:
    """Return the name of a target's wheel."""
    return f"{project.PACKAGE}-{version}-py3-none-{target.platform_tag}.whl"


def provenance_name(version: str) -> str:
    """Return the name of the file that says where a release comes from."""
    return f"{project.PACKAGE}-{version}.intoto.jsonl"


def source_faults(ws: Workspace, version: str) -> list[str]:
    """Return where tree, version, tag and changelog disagree about a version; empty when they agree."""
    faults = []
    changed = _git(ws, "status", "--porcelain").splitlines()
    if changed:
        faults.append(f"the tree is not clean: {', '.join(line[3:] for line in changed[:5])}")
    manifest = (ws.crate / "Cargo.toml").read_text(encoding="utf-8")
    written = re.search(r'^version = "(.+)"', manifest, re.MULTILINE)
    if written is None or written.group(1) != version:
        faults.append(f"{project.CRATE}/Cargo.toml has the version {written.group(1) if written else 'of nobody'}")
    tagged = _git(ws, "rev-parse", "--verify", "--quiet", f"refs/tags/v{version}^{{commit}}")
    if tagged != _git(ws, "rev-parse", "HEAD"):
        faults.append(f"the tag v{version} is {f'at {tagged[:12]}, not here' if tagged else 'missing'}")
    changelog = (ws.root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] – \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        faults.append(f"CHANGELOG.md has no heading `## [{version}] – <date>`")
    return faults


def file_faults(ws: Workspace, version: str) -> list[str]:
    """Return what keeps the files in dist/ from being published; empty when each is of these sources and proven."""
    wanted, own = set(names(version)), {SUMS, provenance_name(version)}
    here = {path.name for path in ws.dist.glob("*")} - own
    faults = [f"{name} is missing; make it: nox -s build" for name in sorted(wanted - here)]
    faults += [f"{name} is no file of this release; move it out of dist/" for name in sorted(here - wanted)]
    digests = {name: workspace.file_sha256(ws.dist / name) for name in sorted(wanted & here)}
    again = ws.stamp(reproduce.STAMP).facts()
    proven = pipelines.up_to_date(TARGETS, ws)
    for name, digest in digests.items():
        if name.endswith(".whl") and proven.get(name) != digest:
            faults.append(f"{name} is not the one that was audited and proven from these sources; run nox -s build")
        elif again.get(name) != digest:
            faults.append(f"{name} was not reproduced; run nox -s reproduce")
    return faults


def provenance(digests: Mapping[str, str], version: str, ws: Workspace) -> dict[str, Any]:
    """Return an in-toto statement with SLSA's predicate: the commit, the builder, and what everything is made of."""
    commit, origin = _git(ws, "rev-parse", "HEAD"), _git(ws, "remote", "get-url", "origin") or project.PACKAGE
    materials: list[dict[str, Any]] = [
        {"uri": f"git+{origin}@refs/tags/v{version}", "digest": {"gitCommit": commit}},
    ]
    for name, digest in sorted(components.checksums(ws.crate / "Cargo.lock").items()):
        materials.append({"uri": f"pkg:cargo/{name}", "digest": {"sha256": digest}})
    for path in (ws.root / "glean_steps" / "pins.toml", *sorted((ws.root / "requirements").glob("*.txt"))):
        digest = workspace.file_sha256(path)
        materials.append({"uri": path.relative_to(ws.root).as_posix(), "digest": {"sha256": digest}})
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in digests.items()],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"urn:{project.PACKAGE}:nox-build:1",
                "externalParameters": {"version": version, "commands": ["nox -s build", "nox -s reproduce"]},
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {"id": os.environ.get("CIRCLE_BUILD_URL") or "urn:builder:a-maintainers-machine"},
                "metadata": {"invocationId": os.environ.get("CIRCLE_WORKFLOW_ID") or commit},
            },
        },
    }


def upload(files: Sequence[Path], python: Path, ws: Workspace) -> None:
    """Upload files one after the other; those that an earlier run has uploaded are left out.

    twine reads where to and as whom from its own variables; without any, it asks the CI for trusted publishing.

    Raises:
        ReleaseError: the index refused a file, or was not reached; says which are there.
    """
    # What one index has, such as that for tests, another one has not.
    index = [os.environ.get(name) for name in ("TWINE_REPOSITORY", "TWINE_REPOSITORY_URL")]
    stamp = ws.stamp(f"uploaded-{workspace.fingerprint(index)[:12]}")
    done = dict(stamp.facts())
    for number, path in enumerate(files):
        digest = workspace.file_sha256(path)
        if done.get(path.name) == digest:
            report.skip(path.name, "uploaded before")
            continue
        try:
            _twine(python, ["upload", "--verbose", "--non-interactive", "--disable-progress-bar", path], ws)
        except CommandFailedError as error:
            said = one_line(" ".join(error.tail[-20:]))
            taken = re.search("already exists|409 Conflict|File already", said)
            raise ReleaseError(
                f"{path.name} was not uploaded; {number} of {len(files)} files are there",
                why=f"the index has it already: {said}" if taken else said,
                fix="a version is published once: raise it" if taken else "run it again; it goes on where it stopped",
            ) from error
        done[path.name] = digest
        stamp.write("uploaded", facts=done)


def _twine(python: Path, words: Sequence[object], ws: Workspace) -> None:
    # On one line and without colours, since it is read in the middle of a sentence.
    env = runner.child_env({"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "1000"})
    ws.run([python, "-m", "twine", *words], timeout_s=TWINE_S, env=env)


def _other_auditor(path: Path, target: Target, python: Path, ws: Workspace) -> None:
    """Let auditwheel look at a wheel for glibc; those for musl it cannot read where glibc is the system's."""
    if not target.glibc:
        return
    said = one_line(ws.run([python, "-m", "auditwheel", "show", path], timeout_s=QUERY_S, quiet=True).stdout)
    if not agrees(said, target):
        raise ReleaseError(
            f"auditwheel does not agree about {path.name}",
            why=said,
            fix=f"find what keeps it from the tag {target.platform_tag}",
        )


def agrees(said: str, target: Target) -> bool:
    """Return whether what auditwheel says of a wheel for glibc agrees with its tag.

    It knows some versions of glibc alone, and names the next one of those for a tag between them; so the newest symbol
    version that it found counts.
    """
    if f'platform tag: "{target.platform_tag}"' in said:
        return True
    found = [tuple(map(int, version)) for version in re.findall(r"GLIBC_(\d+)\.(\d+)", said)]
    is_manylinux = re.search(r'platform tag: "manylinux_\d+_\d+_', said) is not None
    return is_manylinux and bool(found) and max(found) <= tuple(map(int, target.glibc.split(".")))


def _git(ws: Workspace, *words: str) -> str:
    system.require([system.GIT], ws)
    argv = ["git", *words]
    done = ws.run(argv, timeout_s=QUERY_S, cwd=ws.root, check=False, quiet=True, echo=False, split_stderr=True)
    return done.stdout.strip() if done.status == 0 else ""
