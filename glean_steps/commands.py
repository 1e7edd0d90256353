"""Every command: its name, description, options and what it does. noxfile.py and tasks.py register what is here."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any, Callable, List, Mapping, Optional, Sequence

from glean_steps import (
    any_wheel,
    cargo,
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
from glean_steps.errors import SettingError
from glean_steps.options import ARCH, PYTHON, TARGET, WHEEL, Option
from glean_steps.targets import TARGETS, WINDOWS, Target, find_target
from glean_steps.workspace import Workspace


@dataclass(frozen=True)
class Command:
    """A session or task.

    Attributes:
        name: as the user types it.
        description: for the lists of nox and invoke; one line.
        run: is given the workspace and the options by name; a number that it returns is the exit status.
        options: by name, as `options.parse` takes them.
        remainder: which words are for another program: those behind a second `--`, or `all`.
    """

    name: str
    description: str
    run: Callable[..., object]
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
        if self.remainder:
            values.remainder = rest
        return values

    def __call__(self, words: Sequence[str]) -> None:
        """Run the command, and end this process with its exit code if it failed."""
        with pipelines.exit_codes():
            status = self.run(workspace.here(), **vars(self.parse(words)))
            if isinstance(status, int) and status:
                raise SystemExit(status)


def _build_each(session: str, targets: Sequence[Target], what: str) -> List[Command]:
    """Return the sessions that build one wheel alone."""
    return [
        Command(
            f"{session}({target.platform_tag})",
            f"{what} for {target.triple} alone.",
            partial(pipelines.build_wheels, targets=[target]),
            {"--python": PYTHON},
        )
        for target in targets
    ]


def _locked(select: Callable[..., Sequence[suites.Suite]]) -> Callable[..., object]:
    """Run a selection of suites while no other run writes to the checkout."""

    @wraps(select)
    def run(ws: Workspace, **given: Any) -> object:
        with ws.locked():
            return suites.run(select(ws, **given), ws)

    return run


def _fuzz(ws: Workspace, seconds: int, target: Optional[Sequence[str]], sanitizer: str) -> object:
    known = fuzz.targets(ws)
    for name in target or ():
        if name not in known:
            raise SettingError(
                f"fuzz: --target {name} is unknown",
                why=f"it takes one of: {', '.join(known)}",
                fix="choose one of them",
            )
    return suites.run(catalog.fuzzing(target or known, seconds, sanitizer), ws)


def _bench(ws: Workspace, remainder: Sequence[str]) -> object:
    import benchmarks

    return benchmarks.run_all(remainder)


def _comparison(count: int, seed: Optional[int], zone: str) -> Mapping[str, Option]:
    """Return the options of a comparison with glean-sdk, and their defaults."""
    return {
        "--count": {"type": options.natural, "default": count, "help": "how many programs"},
        "--seed": {"type": options.number, "default": seed, "help": "the first program"},
        "--zone": {"default": zone, "help": "the time zone that both packages run in"},
    }


# The architecture that most of the machines with another processor have.
_TESTED = find_target("manylinux_2_17_aarch64")
_test_windows = _locked(lambda ws, python, target: catalog.windows([target] if target else WINDOWS, python))
_TEST_WINDOWS: Mapping[str, Option] = {
    "--python": PYTHON,
    "--arch": {**ARCH, "default": None, "help": "Windows architecture: amd64 or win32; both when absent"},
}

SESSIONS: Sequence[Command] = (
    Command(
        "build_windows",
        "Build, audit and prove the Windows wheels; they are in dist/ then. `-- --python 3.13` proves under another.",
        partial(pipelines.build_wheels, targets=WINDOWS),
        {"--python": PYTHON},
    ),
    *_build_each("build_windows", WINDOWS, "The same"),
    Command(
        "build",
        "Build, audit and prove the wheel of every platform, and the source distribution; they are in dist/ then.",
        pipelines.build_all,
        {"--python": PYTHON},
    ),
    *_build_each("build", TARGETS, "The wheel"),
    Command(
        "reproduce",
        "Build everything once more in a copy elsewhere, and compare the bytes. `-- --target win32` chooses.",
        lambda ws, target: reproduce.run(ws, [target] if target else TARGETS),
        {"--target": TARGET},
    ),
    Command(
        "release",
        "Check a release and write its hashes and provenance: `-- 0.1.0`; `--publish` uploads it.",
        lambda ws, version, **given: release.run(ws, version.lstrip("v"), **given),
        {
            "version": {"metavar": "VERSION", "help": "the version, as in Cargo.toml"},
            "--make": options.flag("make, prove and reproduce the files first"),
            "--publish": options.flag("upload it"),
        },
    ),
    Command(
        "test_windows",
        "Run the Rust and Python tests under Wine. `-- --python 3.13 --arch amd64` chooses.",
        _test_windows,
        _TEST_WINDOWS,
    ),
    Command(
        "test_platforms",
        "Run the Rust and Python tests for arm64 under qemu, and prove the wheels of the other processors.",
        _locked(lambda ws, target: catalog.platforms(target)),
        {"--target": options.target_or(_TESTED)},
    ),
    Command(
        "test_wheel",
        "Test any project's Windows wheel. `-- orjson --python 3.12,3.13 --arch amd64,win32 --import orjson`.",
        lambda ws, **given: any_wheel.run(ws, argparse.Namespace(**given)),
        any_wheel.OPTIONS,
        remainder="--",
    ),
    Command(
        "tests", "Run every suite that this machine can, and say which did not run and why.", _locked(catalog.tests)
    ),
    Command(
        "quick",
        "Check format and types, native Rust, one Python and the fast tests of the steps; about a minute.",
        _locked(catalog.quick),
    ),
    Command("lint", "Check formatting, types and the C header.", _locked(lambda ws: catalog.lint())),
    Command(
        "differential",
        "Compare with glean-sdk: the same random programs, pings field by field. `-- --count 500 --seed 7` chooses.",
        _locked(lambda ws, **given: [catalog.differential(**given)]),
        _comparison(catalog.FIXED_COUNT, catalog.FIXED_SEED, "UTC"),
    ),
    Command(
        "nightly",
        "The same with thousands of new programs in several time zones, a long kill hunt, and cargo-deny.",
        _locked(catalog.nightly),
        _comparison(catalog.NIGHTLY_COUNT, None, ""),
    ),
    Command(
        "fuzz",
        "Fuzz the core for a bounded time. `-- --seconds 60 --target journal` chooses.",
        _fuzz,
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
    Command("miri", "Run what Miri can run of the crate's tests.", _locked(lambda ws: [catalog.miri()])),
    Command(
        "bench",
        "Measure against other products in the same run and write docs/benchmarks.md. `-- --rounds 3` chooses.",
        _bench,
        remainder="all",
    ),
    Command(
        "docs",
        "Make the documentation's site, its warnings and broken links errors. `-- --external` asks other servers too.",
        docs.build,
        {"--external": options.flag("ask the servers of all links to other sites too")},
    ),
)

TASKS: Sequence[Command] = (
    Command(
        "doctor",
        "Say what is here, what is missing, the line that brings it, and which suites will run.",
        doctor.run,
    ),
    Command(
        "toolchain",
        "Get a Rust standard library and a linker for the targets.",
        pipelines.prepare_toolchain,
        {"--target": TARGET},
    ),
    Command("build", "Cross-compile the core library.", pipelines.build, {"--target": TARGET}),
    Command(
        "wheel", "Build and pack a wheel into .glean/wheels, not yet retagged.", pipelines.pack, {"--target": TARGET}
    ),
    Command(
        "retag",
        "Give a wheel its platform tag.",
        pipelines.retag,
        {"--target": TARGET, "--wheel": {**WHEEL, "help": "a wheel file; the one of the `wheel` task when absent"}},
    ),
    Command(
        "audit",
        "Open a wheel again and check that its name, metadata and library agree.",
        pipelines.audit_wheels,
        {"--target": TARGET, "--wheel": WHEEL},
    ),
    Command(
        "wine-setup",
        "Make the Wine prefix and a Windows Python with pip and test dependencies in it.",
        pipelines.wine_setup,
        {"--python": PYTHON, "--arch": ARCH},
    ),
    Command(
        "wine-run",
        "Run Windows Python with the arguments after `--`; the exit status is Python's.",
        pipelines.wine_run,
        {"--python": PYTHON, "--arch": ARCH},
        remainder="--",
    ),
    Command("wine-test", "Run the Rust and Python tests under Wine.", _test_windows, _TEST_WINDOWS),
    Command(
        "env",
        'Print a target\'s cross environment for a shell: eval "$(python3 bootstrap.py invoke env)".',
        lambda ws, target: print(cargo.print_env(target, ws=ws), end=""),
        {"--target": options.target_or(TARGETS[0])},
    ),
    Command("header", "Write the C header anew from the Rust sources.", pipelines.write_header),
    Command(
        "ci-config",
        "Write the configuration of CircleCI anew from the table of targets.",
        lambda ws: print(circleci.write(ws)),
    ),
    Command(
        "pins",
        "Check every pin against its server, and offer newer versions of pip.",
        renew.run,
        {"--write": options.flag("write newer versions of pip to pins.toml")},
    ),
    Command(
        "clean",
        "Remove what runs made: .glean/ and build folders; dist/ and the tool environment stay.",
        pipelines.clean,
        {"--cache": options.flag("the user's cache too: downloads, standard libraries, 32-bit Wine")},
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
