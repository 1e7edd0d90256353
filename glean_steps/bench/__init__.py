"""`nox -s bench`: measure against peers in the same run, print a table, write docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
import time
import traceback
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Set

from glean_steps import report, system, workspace
from glean_steps.bench import chart, document, store
from glean_steps.bench.figures import Result, Row, key_order, order_of_round
from glean_steps.bench.group import CORE
from glean_steps.bench.groups import GROUPS, VERSIONS, Group, Place, Side
from glean_steps.bench.profiles import PROFILES
from glean_steps.errors import Interrupted, SettingError, StepError
from glean_steps.workspace import Workspace

DEFAULT_ROUNDS = 5
DOCUMENT = "docs/benchmarks.md"
CHART = "docs/benchmarks.svg"
COLD_KEY = "cold"


@dataclass(frozen=True)
class Options:
    """What stands after `--`.

    Attributes:
        rounds: how many rounds count; odd, so that a median is a figure that was measured.
        only: the rows, groups or parts to measure; all when empty.
        cold: make a cold run too.
        render: measure nothing; write the document anew from the figures that are there.
    """

    rounds: int = DEFAULT_ROUNDS
    only: Sequence[str] = ()
    cold: bool = False
    render: bool = False

    def wants(self, group: Group, row: Row) -> bool:
        """Return whether a row was asked for: by its own key, that of the row it belongs to, its group or its part."""
        if self.render:
            return False
        names = (row.key, row.key.split(".")[0], group.name, group.part)
        return not self.only or any(name in self.only for name in names)

    @property
    def parts(self) -> List[str]:
        """The parts that are measured whole, so that their sections can be written anew."""
        return [
            part
            for part in VERSIONS
            if all(self.wants(group, row) for group in GROUPS if group.part == part for row in group.rows)
        ]


def run_all(arguments: Sequence[str] = (), *, ws: Optional[Workspace] = None) -> List[Result]:
    """Measure the rows that `arguments` ask for, print the table, and write the sections of parts that it is all of.

    A row that cannot be measured says why; nothing is dropped. Sections of other parts stay as they are, each with a
    date of its own.

    Raises:
        SettingError: an option that there is not.
    """
    options = parse(arguments)
    ws = ws or workspace.here()
    now = time.strftime("%Y-%m-%d %H:%M")
    circumstances = {part: _circumstances(options, part, now, ws) for part in options.parts}
    results: Dict[str, List[Result]] = {part: [] for part in VERSIONS}
    with ExitStack() as stack:
        place = Place(ws, stack)
        for group in GROUPS:
            wanted = [row for row in group.rows if options.wants(group, row)]
            if wanted:
                results[group.part] += measure_group(group, wanted, place, options.rounds)
    for part in options.parts:
        store.save(ws.root / store.FILE, part, circumstances[part], results[part])
    cold = _cold_section(ws, now) if options.cold else ""
    written = store.parts(ws.root / store.FILE) if options.render else options.parts
    _write(ws, written, {document.COLD: cold} if cold else {})
    measured = [result for part in VERSIONS for result in results[part]]
    if measured:
        document.closing_table(measured).print()
    if cold:
        print(f"\n{cold}", flush=True)
    left = [part for part in VERSIONS if part not in written]
    if left:
        report.say(f"{DOCUMENT}: the section of {' and '.join(left)} was left as it was: not every row was measured")
    return measured


def _write(ws: Workspace, parts: Sequence[str], sections: Dict[str, str]) -> None:
    """Write the sections of some parts anew from the stored figures, and the chart that belongs to them."""
    for part in parts:
        circumstances, results = store.load(ws.root / store.FILE, part, GROUPS)
        sections[document.HEADINGS[part]] = document.render_part(part, results, circumstances, PROFILES)
        if part == CORE:
            workspace.write_text(ws.root / CHART, chart.render(results))
    if sections:
        path = ws.root / DOCUMENT
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        workspace.write_text(path, document.assemble(sections, before))


def parse(arguments: Sequence[str]) -> Options:
    """Return the options of a command line."""
    rounds, only, cold, render = DEFAULT_ROUNDS, [], False, False
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while words:
        word = words.pop(0)
        if word == "--cold":
            cold = True
        elif word == "--render":
            render = True
        elif word == "--rounds" and words:
            rounds = _odd(words.pop(0))
        elif word == "--only" and words:
            only += [key for key in words.pop(0).split(",") if key]
        else:
            raise SettingError(
                f"bench does not know {word!r}, or it lacks its value",
                why="it takes --rounds N, --only ROW[,ROW], --cold and --render",
                fix="python3 bootstrap.py nox -s bench -- --rounds 3 --only 1,2",
            )
    rows = {name for group in GROUPS for row in group.rows for name in (row.key, row.key.split(".")[0])}
    names = {name for group in GROUPS for name in (group.name, group.part)} | {COLD_KEY}
    unknown = [name for name in only if name not in rows | names]
    if unknown:
        there = ", ".join([*sorted(rows, key=key_order), *sorted(names)])
        raise SettingError(f"no row {', '.join(unknown)}", why=f"there are {there}")
    return Options(rounds, tuple(only), cold or COLD_KEY in only, render)


def _odd(text: str) -> int:
    if not text.isdigit() or int(text) % 2 == 0:
        raise SettingError(
            f"--rounds {text} cannot be used", why="it has to be an odd number, so that one round is the middle one"
        )
    return int(text)


def measure_group(group: Group, wanted: Sequence[Row], place: Place, rounds: int) -> List[Result]:
    """Measure the sides of the wanted rows in rounds and return a result for each row."""
    needed = {name for row in wanted for name in (row.ours, row.theirs)}
    figures: Dict[str, List[float]] = {name: [] for name in needed}
    failures: Dict[str, str] = {}
    with report.step(f"measure: {group.name}"):
        reason = _attempt(
            lambda: _rounds(group, needed, place, 1 if group.once else rounds, figures, failures),
        )
    results = []
    for row in wanted:
        why = reason or failures.get(row.ours, "") or failures.get(row.theirs, "")
        notes = [text for key, text in group.notes if key == row.key]
        if why:
            results.append(Result(row, not_measured=why, notes=notes))
        else:
            results.append(Result(row, tuple(figures[row.ours]), tuple(figures[row.theirs]), notes=notes))
    return results


def _rounds(
    group: Group,
    needed: Set[str],
    place: Place,
    rounds: int,
    figures: Dict[str, List[float]],
    failures: Dict[str, str],
) -> None:
    """Fill in the figures of each side; one that fails twice in a row is given up, with its reason."""
    with contextmanager(group.sides)(place, needed) as sides:
        names = [name for name in sides if name in needed]
        for number in range(0 if group.once else -1, rounds):  # The first round warms up and does not count.
            for name in order_of_round(names, number + 1):
                if name in failures:
                    continue
                figure = _figure(name, sides[name], failures)
                if figure is not None and (number >= 0):
                    figures[name].append(figure)
                    report.say(f"  round {number + 1} of {rounds}: {name}: {figure:.4g}")


def _figure(name: str, side: Side, failures: Dict[str, str]) -> Optional[float]:
    """Measure one side once; a failure that does not happen again is forgiven."""
    taken: List[float] = []
    for _ in range(2):
        reason = _attempt(lambda: taken.append(side()))
        if not reason:
            return taken[-1]
        report.say(f"  {name}: {reason}")
    failures[name] = reason
    return None


def _attempt(work: Callable[[], object]) -> str:
    """Do something and return why it failed in one line, or nothing; only the end of the run passes through."""
    try:
        work()
    except Interrupted:
        raise
    except StepError as error:
        report.say(str(error))
        return " ".join(f"{error.what}: {error.why}".rstrip(": ").split())[:300]
    except Exception as error:  # A peer's trouble, or a mistake here, must not cost the figures of the other rows.
        report.say(traceback.format_exc())
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def _cold_section(ws: Workspace, date: str) -> str:
    from glean_steps.bench import cold

    sections: List[str] = []
    reason = _attempt(lambda: sections.append(cold.measure(ws, date)))
    return f"{document.COLD}\n\nnot measured: {reason} ({date})" if reason else sections[0]


def _circumstances(options: Options, part: str, date: str, ws: Workspace) -> document.Circumstances:
    facts: Dict[str, str] = {}
    reason = _attempt(lambda: facts.update(VERSIONS[part](ws)))
    return document.Circumstances(
        date=date,
        rounds=options.rounds,
        machine=_machine(),
        versions=facts if not reason else {"versions": f"not known: {reason}"},
    )


def _machine() -> Dict[str, str]:
    """Return what kind of machine this is; nothing that tells which one."""
    load = os.getloadavg()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {report.human_size(memory)} of memory",
        "system": f"{system.os_release().get('PRETTY_NAME', platform.system())}, kernel {_kernel()}",
        "load when it began": " ".join(f"{each:.2f}" for each in load) + " (1, 5 and 15 minutes)",
    }


def _kernel() -> str:
    """Return the kernel's version without what its builder appended."""
    found = re.match(r"[\d.]+\d", platform.release())
    return found.group(0) if found else platform.system()


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
