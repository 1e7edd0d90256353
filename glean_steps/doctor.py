"""What is here, what is missing and the one line that brings it, and which suites will run.

It prints the probes of the prerequisites and changes nothing: no file, no package, no network.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import List, Mapping, Sequence, Tuple

from glean_steps import catalog, prove, report, runner, settings, system, windows_python
from glean_steps.errors import MissingToolError, StepError
from glean_steps.prerequisites import Prerequisite, Probe
from glean_steps.targets import TARGETS, WINDOWS
from glean_steps.toolchain import TargetRust
from glean_steps.wine import Prefix, Wines
from glean_steps.workspace import Workspace

# Measured with du on Debian 12, in a checkout that had built and tested both targets: the checkout, and the cache.
COLD_BYTES = 2_700_000_000 + 1_300_000_000


def run(ws: Workspace) -> int:
    """Print what is here, what is missing and which suites will run.

    Returns:
        0 when the main job can run as things are, or after packages that it installs by itself; else MissingToolError's
        exit code.
    """
    folders = (ws.state, ws.crate / "target", ws.cache)
    suites = catalog.tests(ws)
    job = main_job()
    wanted = [*job, *(need for suite in suites for need in suite.needs)]
    needs = list(dict.fromkeys(need for need in wanted if not isinstance(need, Wines)))
    sizes = runner.side_by_side([partial(folder_size, folder) for folder in folders], 4)
    tools = runner.side_by_side([partial(_look, tool, ws) for tool in system.TOOLS], 4)
    probes = dict(zip(needs, runner.side_by_side([partial(need.probe, ws) for need in needs], 4)))
    missing = tuple(dict.fromkeys(name for probe in probes.values() for name in probe.missing))
    _tool_table(tools, missing).print()
    rows: List[Sequence[str]] = [[need.name, probe.why or probe.text] for need, probe in probes.items()]
    report.Table("Prerequisites", ("what", "is"), rows).print()
    rows = [[suite.name, verdict([probes[need] for need in suite.needs if need in probes])] for suite in suites]
    report.Table("Suites of `nox -s tests`", ("suite", "verdict"), rows).print()
    _proof_table(ws).print()
    _space_table(dict(zip(folders, sizes)), ws).print()
    _settings_table().print()
    if missing:
        print(f"\nmissing: {', '.join(missing)}\n  fix: {system.install_line(system.tools(*missing), ws)}")
        reason = system.why_not_installed()
        print(f"  not done automatically: {reason}" if reason else "  done automatically by the commands that need it")
    of_job = [probes[need] for need in job]
    print(f"\nnox -s build_windows: {verdict(of_job)}", flush=True)
    return 0 if can_run(of_job) else MissingToolError.exit_code


def main_job() -> Tuple[Prerequisite, ...]:
    """Return what building and proving the Windows wheels needs."""
    return tuple(
        need
        for target in WINDOWS
        for need in (TargetRust(target), Prefix(target), windows_python.Environment(None, target))
    )


def can_run(probes: Sequence[Probe]) -> bool:
    """Return whether what needs these can run as things are, or after packages that are installed automatically."""
    return not any(probe.why or (probe.missing and system.why_not_installed()) for probe in probes)


def verdict(probes: Sequence[Probe]) -> str:
    """Return whether what needs these will run, and else why not and what would change that."""
    absent = ", ".join(dict.fromkeys(name for probe in probes for name in probe.missing))
    if not can_run(probes):
        reasons = list(dict.fromkeys(f"{probe.why} → {probe.fix}" for probe in probes if probe.why))
        reasons += [f"missing {absent} → the line at the end"] if absent else []
        return f"will not run: {'; '.join(reasons)}"
    later = list(dict.fromkeys(probe.later for probe in probes if probe.later))
    first = f"; it first {', '.join(later)}" if later else ""
    installing = f" after installing {absent} (done automatically as root)" if absent else ""
    return f"will run{installing}{first}"


def _proof_table(ws: Workspace) -> report.Table:
    table = report.Table("Proofs of `nox -s build`", ("wheel", "proven by", "verdict"))
    for target in TARGETS:
        probe = prove.WAYS[target.proof].probe(target, ws)
        table.rows.append([target.platform_tag, probe.text, verdict([probe])])
    return table


def _tool_table(found: Sequence[Tuple[str, str]], missing: Sequence[str]) -> report.Table:
    table = report.Table("System", ("tool", "version", "where", "what it does"))
    for tool, (path, version) in zip(system.TOOLS, found):
        where = path or ("missing" if tool.name in missing else "not here, and not needed now")
        table.rows.append([tool.name, version, where, tool.why])
    return table


def _look(tool: system.Tool, ws: Workspace) -> Tuple[str, str]:
    """Return where a tool is and the version that it prints."""
    path = system.find(tool)
    if path is None or not tool.programs:
        return str(path or ""), ""
    try:
        return str(path), system.program_version(path, ws)
    except StepError as error:
        return str(path), error.what


def _space_table(sizes: Mapping[Path, int], ws: Workspace) -> report.Table:
    table = report.Table("Space", ("folder", ">used", ">free on its disk"))
    for path, size in sizes.items():
        table.rows.append([str(path), report.human_size(size), report.human_size(free_space(path))])
    table.notes.append(
        f"a cold run fills about {report.human_size(COLD_BYTES)}, and system packages 2.3 GB where they are missing"
    )
    left = max(0, COLD_BYTES - sum(sizes.values()))
    if min(free_space(ws.state), free_space(ws.cache)) < left:
        table.notes.append(
            f"that may not fit: about {report.human_size(left)} are still to come; GLEAN_CACHE names another disk"
        )
    return table


def _settings_table() -> report.Table:
    table = report.Table("Settings in force", ("variable", "value", "meaning"))
    for entry in settings.entries():
        if entry.name in os.environ:
            table.rows.append([entry.name, os.environ[entry.name], entry.meaning])
    table.notes += settings.check()
    if not table.rows:
        table.notes.append("none; CONTRIBUTING.md lists what there is")
    return table


def folder_size(folder: Path) -> int:
    """Return the bytes of the files below a folder; links count as links."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue  # Removed by another run meanwhile.
    return total


def free_space(folder: Path) -> int:
    """Return the free bytes on the disk that holds a folder or will hold it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
