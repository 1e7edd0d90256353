"""`nox -s bench`: measure everything against its baselines, print a table, write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import platform
import re
import time
import traceback
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, NoReturn, Optional, Sequence, Set, Tuple

from benchmarks import building, cold, core, document, figures, page, platforms, table, uploads
from benchmarks.figures import Figures, Result, key_order
from benchmarks.place import Measure, Place, Side
from benchmarks.table import BUILD, CORE, PAGE, PLATFORMS, UPLOADS, Comparison, Group
from glean_steps import report, system, workspace
from glean_steps.errors import Interrupted, SettingError, StepError
from glean_steps.workspace import Workspace

# What measures each group, by its name, and the versions of what takes part.
MEASURES: Dict[str, Measure] = {
    **building.MEASURES,
    **core.MEASURES,
    **uploads.MEASURES,
    **page.MEASURES,
    **platforms.MEASURES,
}
VERSIONS: Dict[str, Callable[[Place], Dict[str, str]]] = {
    BUILD: building.versions,
    CORE: core.versions,
    UPLOADS: uploads.versions,
    PAGE: page.versions,
    PLATFORMS: platforms.versions,
}


@dataclass(frozen=True)
class Options:
    """What stands after `--`.

    Attributes:
        rounds: how many rounds count; odd, so that a median is a figure that was measured.
        only: the comparisons, groups or parts to measure; all when empty.
        cold: make a cold run too.
        render: measure nothing; write the document anew from the stored figures.
    """

    rounds: int = 5
    only: Tuple[str, ...] = ()
    cold: bool = False
    render: bool = False

    def wants(self, group: Group, comparison: Comparison) -> bool:
        """Return whether a comparison was asked for: by its key, that of the one it belongs to, its group or part."""
        names = (comparison.key, comparison.key.split(".")[0], group.name, group.part)
        return not self.render and (not self.only or any(name in self.only for name in names))

    def is_whole(self, part: str, groups: Sequence[Group]) -> bool:
        """Return whether every comparison of a part was asked for, so that its section can be written anew."""
        return all(self.wants(group, one) for group in groups if group.part == part for one in group.comparisons)


def run_all(arguments: Sequence[str] = (), *, ws: Optional[Workspace] = None) -> List[Result]:
    """Measure what `arguments` ask for, print the table, and write the sections of parts that were measured whole.

    What cannot be measured says why; nothing is dropped. Other sections keep their figures and their date.

    Raises:
        SettingError: an unknown option, value or comparison.
    """
    groups = table.load()
    options = parse(arguments, groups)
    ws = ws or workspace.here()
    taken: Dict[str, Figures] = {}
    chosen: List[Group] = []
    stored = document.read(ws.root)
    date = time.strftime("%Y-%m-%d %H:%M")
    machine = _machine()
    with ExitStack() as stack:
        place = Place(ws, stack)
        for group in groups:
            wanted = tuple(one for one in group.comparisons if options.wants(group, one))
            if wanted:
                chosen.append(Group(group.name, group.part, wanted, group.once))
                taken[group.name] = measure_group(chosen[-1], MEASURES[group.name], place, options.rounds)
        for part, versions in VERSIONS.items():
            if options.is_whole(part, groups):
                since: Dict[str, Any] = {"date": date, "rounds": options.rounds, "machine": machine, "versions": {}}
                why = _attempt(lambda: since["versions"].update(versions(place)))  # noqa: B023
                since["versions"].update({"versions": f"unknown: {why}"} if why else {})
                names = [group.name for group in groups if group.part == part]
                stored[part] = document.part_entry(since, {name: taken[name] for name in names})
    if options.cold:
        made: Dict[str, Any] = {}
        why = _attempt(lambda: made.update(cold.measure(ws)))
        stored[document.COLD] = {"date": date, **({"failed": why} if why else made)}
    document.write(ws.root, stored, groups)
    measured = figures.results(chosen, taken)
    if measured:
        document.closing_table(measured).print()
    report.say(f"{document.DOCUMENT}: written; parts that were not measured whole keep their earlier figures")
    return measured


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingError(f"bench: {message}", fix="python3 bootstrap.py nox -s bench -- --rounds 3 --only 1,2")


def parse(arguments: Sequence[str], groups: Sequence[Group]) -> Options:
    """Return the options of a command line."""
    parser = _Parser("bench", allow_abbrev=False)
    parser.add_argument("--rounds", type=_odd, default=5)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--render", action="store_true")
    given = parser.parse_args(list(arguments))
    only = tuple(name for text in given.only for name in text.split(",") if name)
    keys = {name for group in groups for one in group.comparisons for name in (one.key, one.key.split(".")[0])}
    names = {name for group in groups for name in (group.name, group.part)} | {document.COLD}
    unknown = [name for name in only if name not in keys | names]
    if unknown:
        there = ", ".join([*sorted(keys, key=key_order), *sorted(names)])
        raise SettingError(f"bench: unknown comparison {', '.join(unknown)}", why=f"there are {there}")
    return Options(given.rounds, only, given.cold or document.COLD in only, given.render)


def _odd(text: str) -> int:
    if not text.isdigit() or int(text) % 2 == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not an odd number; one round has to be the middle one")
    return int(text)


# --- rounds -----------------------------------------------------------------------------------------------------------


def measure_group(group: Group, measure: Measure, place: Place, rounds: int) -> Figures:
    """Measure the sides that a group's comparisons need, in rounds."""
    needed = {name for one in group.comparisons for name in one.sides}
    made = Figures()
    with report.step(f"measure: {group.name}"):
        why = _attempt(
            lambda: _rounds(measure, needed, place, 0 if group.once else -1, 1 if group.once else rounds, made)
        )
    return Figures({}, dict.fromkeys(needed, why)) if why else made


def _rounds(measure: Measure, needed: Set[str], place: Place, first: int, rounds: int, made: Figures) -> None:
    """Fill in the figures of each side; one that fails twice in a row is given up, with its reason.

    Args:
        first: the number of the first round; rounds below 0 warm up and do not count.
    """
    with contextmanager(measure)(place) as sides:
        names = [name for name in sides if name in needed]
        for number in range(first, rounds):
            for name in order_of_round(names, number + 1):
                figure = None if name in made.failed else _figure(name, sides[name], made.failed)
                if figure is not None and number >= 0:
                    made.taken.setdefault(name, []).append(figure)
                    report.say(f"  round {number + 1} of {rounds}: {name}: {figure:.4g}")


def order_of_round(names: Sequence[str], number: int) -> Sequence[str]:
    """Return the sides in the order of one round: turned by one each time, so that none is always first."""
    start = number % len(names) if names else 0
    return [*names[start:], *names[:start]]


def _figure(name: str, side: Side, failed: Dict[str, str]) -> Optional[float]:
    """Measure one side once; a failure that does not happen again is forgiven."""
    taken: List[float] = []
    why = ""
    for _ in range(2):
        why = _attempt(lambda: taken.append(side()))
        if not why:
            return taken[-1]
        report.say(f"  {name}: {why}")
    failed[name] = why
    return None


def _attempt(work: Callable[[], object]) -> str:
    """Do something and return why it failed in one line, or nothing; only the end of the run passes through."""
    try:
        work()
    except Interrupted:
        raise
    except StepError as error:
        report.say(str(error))
        # A command line has paths of this machine, and the reason is published.
        why = "" if error.why.startswith("command: ") else error.why
        return " ".join(f"{error.what}: {why}".rstrip(": ").split())[:300]
    except Exception as error:  # Trouble of one baseline, or a mistake here, must not cost the other figures.
        report.say(traceback.format_exc())
        return f"{type(error).__name__}: {error}"[:300]
    return ""


# --- circumstances ----------------------------------------------------------------------------------------------------


def _machine() -> Dict[str, str]:
    """Return what kind of machine this is; nothing that says which one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    kernel = re.match(r"[\d.]+\d", platform.release())  # Without what its builder appended.
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {report.human_size(memory)} of memory",
        "system": f"{system.os_release().get('PRETTY_NAME', platform.system())}, "
        f"kernel {kernel.group(0) if kernel else platform.system()}",
        "load when it began": " ".join(f"{each:.2f}" for each in os.getloadavg()) + " (1, 5 and 15 minutes)",
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
