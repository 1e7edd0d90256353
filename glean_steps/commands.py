"""Every command: its name, description, options and what it does. noxfile.py and tasks.py register what is here."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Sequence

from glean_steps import (
    any_wheel,
    catalog,
    circleci,
    docs,
    doctor,
    fuzz,
    options,
    pipelines,
    release,
    renew,
    reproduce,
    suites,
    workspace,
)
from glean_steps.options import ARCH, PYTHON, TARGET, WHEEL, Option
from glean_steps.targets import TARGETS, WINDOWS, Target, find_target
from glean_steps.workspace import Workspace


@dataclass(frozen=True)
class Command:
    """A session or task.

    Attributes:
        name: as the user types it.
        description: for the lists of nox and invoke; one line.
        run: is given the workspace and the options; a number that it returns is the exit status.
        options: by name, as `options.parse` takes them.
        remainder: which words are for another program: those behind a second `--`, or `all`.
    """

    name: str
    description: str
    run: Callable[[Workspace, argparse.Namespace], object]
    options: Mapping[str, Option] = field(default_factory=dict)
    remainder: str = ""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Return the values of the options; raises as `options.parse` does."""
        rest: List[str] = []
        if self.remainder == "all":
            words, rest = [], list(words)
        elif self.remainder and "--" in words:
            place = list(words).index("--")
            words, rest = words[:place], list(words[place + 1 :])
        values = options.parse(self.name, self.options, words)
        values.remainder = rest
        return values

    def __call__(self, words: Sequence[str]) -> None:
        """Run the command, and end this process with its exit code if it failed."""
        with pipelines.exit_codes():
            status = self.run(workspace.here(), self.parse(words))
            if isinstance(status, int) and status:
                raise SystemExit(status)


def _build(targets: Sequence[Target]) -> Callable[[Workspace, argparse.Namespace], object]:
    return lambda ws, given: pipelines.build_wheels(ws, targets, python=given.python)


def _locked(select: Callable[[Workspace, argparse.Namespace], Sequence[suites.Suite]]) -> Callable[..., object]:
    """Run a selection of suites while no other run writes to the checkout."""

    def run(ws: Workspace, given: argparse.Namespace) -> object:
        with ws.locked():
            return suites.run(select(ws, given), ws)

    return run


def _windows(ws: Workspace, given: argparse.Namespace) -> List[suites.Suite]:
    return catalog.windows([given.arch] if given.arch else WINDOWS, given.python)


def _fuzzing(ws: Workspace, given: argparse.Namespace) -> List[suites.Suite]:
    known = fuzz.targets(ws)
    for name in given.target or ():
        if name not in known:
            raise options.unknown("fuzz", "--target", name, known)
    return catalog.fuzzing(given.target or known, given.seconds, given.sanitizer)


def _bench(ws: Workspace, given: argparse.Namespace) -> object:
    import benchmarks

    return benchmarks.run_all(given.remainder)


# The architecture that most of the machines with another processor have.
_TESTED_TAG = "manylinux_2_17_aarch64"
_COMPARISON: Dict[str, Option] = {
    "--count": {"type": options.natural, "help": "how many programs"},
    "--seed": {"type": options.number, "help": "the first program"},
    "--zone": {"help": "the time zone that both packages run in"},
}

SESSIONS: Sequence[Command] = (
    Command(
        "build_windows",
        "Build, audit and prove the Windows wheels; they are in dist/ then. `-- --python 3.13` proves under another.",
        _build(WINDOWS),
        {"--python": PYTHON},
    ),
    *[
        Command(
            f"build_windows({target.platform_tag})",
            f"The same for {target.triple} alone.",
            _build([target]),
            {"--python": PYTHON},
        )
        for target in WINDOWS
    ],
    Command(
        "build",
        "Build, audit and prove the wheel of every platform, and the source distribution; they are in dist/ then.",
        lambda ws, given: pipelines.build_all(ws, python=given.python),
        {"--python": PYTHON},
    ),
    *[
        Command(
            f"build({target.platform_tag})",
            f"The wheel for {target.triple} alone.",
            _build([target]),
            {"--python": PYTHON},
        )
        for target in TARGETS
    ],
    Command(
        "reproduce",
        "Build everything once more in a copy elsewhere, and compare the bytes. `-- --target win32` chooses.",
        lambda ws, given: reproduce.run(ws, [given.target] if given.target else TARGETS),
        {"--target": TARGET},
    ),
    Command(
        "release",
        "Check a release and write its hashes and provenance: `-- 0.1.0`; `--publish` uploads it.",
        lambda ws, given: release.run(ws, given.version.lstrip("v"), make=given.make, publish=given.publish),
        {
            "version": {"metavar": "VERSION", "help": "the version, as in Cargo.toml"},
            "--make": {"action": "store_true", "help": "make, prove and reproduce the files first"},
            "--publish": {"action": "store_true", "help": "upload it"},
        },
    ),
    Command(
        "test_windows",
        "Run the Rust and Python tests under Wine. `-- --python 3.13 --arch amd64` chooses.",
        _locked(_windows),
        {"--python": PYTHON, "--arch": {**ARCH, "help": "Windows architecture: amd64 or win32; both when absent"}},
    ),
    Command(
        "test_platforms",
        "Run the Rust and Python tests for arm64 under qemu, and prove the wheels of the other processors.",
        _locked(lambda ws, given: catalog.platforms(given.target or find_target(_TESTED_TAG))),
        {"--target": {**TARGET, "help": f"target triple or platform tag of the tests; {_TESTED_TAG} when absent"}},
    ),
    Command(
        "test_wheel",
        "Test any project's Windows wheel. `-- orjson --python 3.12,3.13 --arch amd64,win32 --import orjson`.",
        any_wheel.run,
        any_wheel.OPTIONS,
        remainder="--",
    ),
    Command(
        "tests",
        "Run every suite that this machine can, and say which did not run and why.",
        lambda ws, given: catalog.run_tests(ws),
    ),
    Command(
        "quick",
        "Check format and types, native Rust, one Python and the fast tests of the steps; about a minute.",
        _locked(lambda ws, given: catalog.quick(ws)),
    ),
    Command("lint", "Check formatting, types and the C header.", _locked(lambda ws, given: catalog.lint())),
    Command(
        "differential",
        "Compare with glean-sdk: the same random programs, pings field by field. `-- --count 500 --seed 7` chooses.",
        _locked(
            lambda ws, given: [
                catalog.differential(
                    given.count or catalog.FIXED_COUNT,
                    catalog.FIXED_SEED if given.seed is None else given.seed,
                    given.zone or "UTC",
                )
            ]
        ),
        _COMPARISON,
    ),
    Command(
        "nightly",
        "The same with thousands of new programs in several time zones, a long kill hunt, and cargo-deny.",
        _locked(
            lambda ws, given: catalog.nightly(
                ws,
                given.count or catalog.NIGHTLY_COUNT,
                given.seed,
                [given.zone] if given.zone else catalog.NIGHTLY_ZONES,
            )
        ),
        _COMPARISON,
    ),
    Command(
        "fuzz",
        "Fuzz the core for a bounded time. `-- --seconds 60 --target journal` chooses.",
        lambda ws, given: suites.run(_fuzzing(ws, given), ws),
        {
            "--seconds": {
                "type": options.natural,
                "default": fuzz.DEFAULT_SECONDS,
                "help": "how long each target runs",
            },
            "--target": {"action": "append", "help": "a fuzz target; may repeat; all when absent"},
            "--sanitizer": {"choices": fuzz.SANITIZERS, "default": "", "help": "the best there is when absent"},
        },
    ),
    Command("miri", "Run what Miri can run of the crate's tests.", _locked(lambda ws, given: [catalog.miri()])),
    Command(
        "bench",
        "Measure against other products in the same run and write docs/benchmarks.md. `-- --rounds 3` chooses.",
        _bench,
        remainder="all",
    ),
    Command(
        "docs",
        "Make the documentation's site, its warnings and broken links errors. `-- --external` asks other servers too.",
        lambda ws, given: docs.build(ws, external=given.external),
        docs.OPTIONS,
    ),
)

TASKS: Sequence[Command] = (
    Command(
        "doctor",
        "Say what is here, what is missing, the line that brings it, and which suites will run.",
        lambda ws, given: doctor.run(ws),
    ),
    Command(
        "toolchain",
        "Get a Rust standard library and a linker for the targets.",
        lambda ws, given: pipelines.prepare_toolchain(ws, given.target),
        {"--target": TARGET},
    ),
    Command(
        "build",
        "Cross-compile the core library.",
        lambda ws, given: pipelines.build(ws, given.target),
        {"--target": TARGET},
    ),
    Command(
        "wheel",
        "Build and pack a wheel into .glean/wheels, not yet retagged.",
        lambda ws, given: pipelines.pack(ws, given.target),
        {"--target": TARGET},
    ),
    Command(
        "retag",
        "Give a wheel its platform tag.",
        lambda ws, given: pipelines.retag(ws, given.target, given.wheel),
        {"--target": TARGET, "--wheel": {"help": "a wheel file; the one of the `wheel` task when absent"}},
    ),
    Command(
        "audit",
        "Open a wheel again and check that its name, metadata and library agree.",
        lambda ws, given: pipelines.audit_wheels(ws, given.target, given.wheel),
        {"--target": TARGET, "--wheel": WHEEL},
    ),
    Command(
        "wine-setup",
        "Make the Wine prefix and a Windows Python with pip and test dependencies in it.",
        lambda ws, given: pipelines.wine_setup(ws, given.python, given.arch),
        {"--python": PYTHON, "--arch": ARCH},
    ),
    Command(
        "wine-run",
        "Run Windows Python with the arguments after `--`; the exit status is Python's.",
        lambda ws, given: pipelines.wine_run(ws, given.python, given.arch, given.remainder),
        {"--python": PYTHON, "--arch": ARCH},
        remainder="--",
    ),
    Command(
        "wine-test",
        "Run the Rust and Python tests under Wine.",
        _locked(_windows),
        {"--python": PYTHON, "--arch": {**ARCH, "help": "Windows architecture: amd64 or win32; both when absent"}},
    ),
    Command(
        "env",
        'Print a target\'s cross environment for a shell: eval "$(python3 bootstrap.py invoke env)".',
        lambda ws, given: pipelines.print_env(ws, given.target),
        {"--target": {**TARGET, "help": f"target triple or platform tag; {TARGETS[0].triple} when absent"}},
    ),
    Command("header", "Write the C header anew from the Rust sources.", lambda ws, given: pipelines.write_header(ws)),
    Command(
        "ci-config",
        "Write the configuration of CircleCI anew from the table of targets.",
        lambda ws, given: print(circleci.write(ws)),
    ),
    Command(
        "pins",
        "Check every pin against its server, and offer newer versions of pip.",
        lambda ws, given: renew.run(ws, write=given.write),
        {"--write": {"action": "store_true", "help": "write newer versions of pip to pins.toml"}},
    ),
    Command(
        "clean",
        "Remove what runs made: .glean/ and build folders; dist/ and the tool environment stay.",
        lambda ws, given: pipelines.clean(ws, cache=given.cache),
        {
            "--cache": {
                "action": "store_true",
                "help": "the user's cache too: downloads, standard libraries, 32-bit Wine",
            }
        },
    ),
)


def task_calls(words: Sequence[str]) -> List[tuple[Command, List[str]]]:
    """Return the tasks of an invoke command line, each with its own words."""
    known = {command.name: command for command in TASKS}
    calls: List[tuple[Command, List[str]]] = []
    takes_value = False
    for place, word in enumerate(words):
        if word == "--":
            if calls:
                calls[-1][1].extend(words[place:] if calls[-1][0].remainder else [])
            break
        if word in known and not takes_value:
            calls.append((known[word], []))
        elif calls:
            calls[-1][1].append(word)
        option = calls[-1][0].options.get(word, {}) if calls else {}
        takes_value = bool(option) and option.get("action") != "store_true"
    return calls


def check_tasks(words: Sequence[str]) -> None:
    """Reject what a task does not take before invoke does, with the exit code of a wrong option."""
    if any(word in ("-h", "--help", "-l", "--list", "--complete") for word in words):
        return
    with pipelines.exit_codes():
        for command, own in task_calls(words):
            command.parse(own)


def arguments_of(command: Command, given: Mapping[str, Any]) -> List[str]:
    """Return the words that stand for the values which invoke parsed."""
    words: List[str] = []
    for name, value in given.items():
        if value is True:
            words.append(f"--{name}")
        elif value not in (None, False):
            words += [f"--{name}", str(value)]
    if command.remainder and "--" in sys.argv:
        words += sys.argv[sys.argv.index("--") :]
    return words
