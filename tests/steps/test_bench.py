"""The benchmarks: arithmetic, options, rounds, and what the document says. No timings."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from contextlib import ExitStack
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

import pytest

import benchmarks
from benchmarks import building, chart, cold, document, figures, place, stopwatch, table
from benchmarks.figures import Figures, Result
from benchmarks.table import BUILD, CORE, Comparison, Group
from glean_steps import project
from glean_steps.errors import (
    CommandFailedError,
    DownloadError,
    Interrupted,
    MissingArtifactError,
    SettingError,
    StepError,
)
from glean_steps.workspace import Workspace

GROUPS = table.load()
ONE = Comparison("1", "ours", "theirs", ("a", "b"), goal="1/2", note="a note", profile="most of it")
SINCE = {"date": "2026-01-02 03:04", "rounds": 3, "machine": {"machine": "quiet"}, "versions": {"Rust": "1.85.0"}}


def result(goal: Optional[str] = "1/2", ours: Sequence[float] = (1, 2, 3), **fields: object) -> Result:
    """Return a result whose ratio is 0.5 unless `ours` is given."""
    return Result(Comparison("1", "ours", "theirs", ("a", "b"), goal=goal, **fields), ours, (2, 4, 6))  # type: ignore[arg-type]


# --- arithmetic -------------------------------------------------------------------------------------------------------


def test_ratio_is_the_median_of_the_rounds_so_that_one_disturbed_round_does_not_count() -> None:
    disturbed = Result(ONE, (1.0, 1.0, 9.0), (2.0, 9.0, 9.0))
    assert disturbed.ratio == 0.5
    assert disturbed.ratio_of_medians == pytest.approx(1 / 9)


@pytest.mark.parametrize("ours, baseline", [([], []), ([1.0], [1.0, 2.0])])
def test_figures_of_different_rounds_are_refused(ours: Sequence[float], baseline: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        Result(ONE, ours, baseline).ratio  # noqa: B018


@pytest.mark.parametrize(
    "goal, text",
    [
        ("1", "met, 50 % below"),
        ("1/2", "met, 0 % below"),
        ("0.5001", "met, less than 1 % below"),
        ("0.499", "missed, less than 1 % above"),
        ("1/4", "missed, 100 % above"),
        (None, "no goal"),
    ],
)
def test_verdict_says_by_how_much(goal: Optional[str], text: str) -> None:
    assert result(goal).verdict == text


@pytest.mark.parametrize(
    "taken, unit, text",
    [
        ([0.25, 0.5, 12.0], "s", "0.250 / 0.500 / 12.000 s"),
        ([30.04, 20.0, 10.0], "s", "10.0 / 20.0 / 30.0 s"),
        ([1.5], "us", "1.50 / 1.50 / 1.50 µs"),
        ([9000.0], "us", "9.00 / 9.00 / 9.00 ms"),
        ([185.32], "ns", "185.3 / 185.3 / 185.3 ns"),
        ([5300.0, 5200.0, 5400.0], "ns", "5.20 / 5.30 / 5.40 µs"),
        ([0.0021], "s", "2.10 / 2.10 / 2.10 ms"),
        ([268863.0], "bytes", "268,863 bytes"),
        ([1.0, 2000.0], "bytes", "1 / 1,000 / 2,000 bytes"),
    ],
)
def test_spread_has_its_unit_once_and_significant_figures(taken: Sequence[float], unit: str, text: str) -> None:
    assert figures.spread(taken, unit) == text


def test_small_ratio_keeps_three_figures() -> None:
    assert [figures.ratio_text(ratio) for ratio in (0.000123, 0.00912, 0.5, 1.5)] == [
        "0.00012",
        "0.0091",
        "0.500",
        "1.50",
    ]


def test_keys_are_sorted_as_numbers() -> None:
    assert sorted(["10", "8.10", "8.2", "8"], key=figures.key_order) == ["8", "8.2", "8.10", "10"]


# --- the table --------------------------------------------------------------------------------------------------------


def test_each_comparison_has_its_own_key_and_a_group_that_measures_it() -> None:
    keys = [one.key for group in GROUPS for one in group.comparisons]
    assert len(keys) == len(set(keys))
    assert {group.name for group in GROUPS} == set(benchmarks.MEASURES)


def test_four_threads_are_judged_against_an_empty_call_with_four_threads() -> None:
    judged = next(one for group in GROUPS for one in group.comparisons if one.key == "20")
    assert judged.sides == ("glean_py, 4 threads", "empty, 4 threads") and judged.goal


def test_growth_compares_the_most_metrics_with_ours() -> None:
    grown = [one for group in GROUPS for one in group.comparisons if one.metrics]
    assert [(one.metrics, one.baseline) for one in grown[:3]] == [
        (10, "glean-sdk"),
        (1000, "glean-sdk"),
        (100_000, "ours with 1,000 metrics"),
    ]
    assert grown[2].sides == ("glean_py, 100000, ns", "glean_py, 1000, ns")


def test_benchmarks_and_their_document_shape_no_wheel(checkout: Path) -> None:
    """A changed chart must not make a wheel stale."""
    shaping = [checkout / name for name in (*project.SHAPES_A_WHEEL, project.PROOF)]
    for made in (checkout / "benchmarks", checkout / document.DOCUMENT, checkout / document.CHART):
        assert made.exists() and not any(made == one or one in made.parents for one in shaping)


# --- options ----------------------------------------------------------------------------------------------------------


def chosen(only: str) -> List[str]:
    """Return the keys of what `--only` chooses."""
    options = benchmarks.parse(["--only", only], GROUPS)
    return [one.key for group in GROUPS for one in group.comparisons if options.wants(group, one)]


def test_options_choose_rounds_comparisons_and_the_cold_run() -> None:
    assert benchmarks.parse([], GROUPS) == benchmarks.Options()
    parsed = benchmarks.parse(["--rounds", "3", "--only=1,2.1", "--cold"], GROUPS)
    assert parsed == benchmarks.Options(3, ("1", "2.1"), True)
    assert benchmarks.parse(["--only", "cold"], GROUPS).cold


def test_comparisons_are_chosen_by_key_group_and_part() -> None:
    assert chosen("2,8.1,20") == ["2", "2.1", "8.1", "20", "20.1", "20.2", "20.3"]
    assert chosen("ping,threads") == ["15", "20", "20.1", "20.2", "20.3"]
    assert chosen("build") == [one.key for group in GROUPS if group.part == BUILD for one in group.comparisons]


def test_a_part_is_whole_when_all_of_it_was_asked_for() -> None:
    for words, parts in (
        ([], [BUILD, CORE]),
        (["--only", "core"], [CORE]),
        (["--only", "1,2,3,4,5,6,7"], [BUILD]),
        (["--only", "cold"], []),
        (["--render"], []),
    ):
        options = benchmarks.parse(words, GROUPS)
        assert [part for part in (BUILD, CORE) if options.is_whole(part, GROUPS)] == parts


@pytest.mark.parametrize(
    "words", [["--rounds", "4"], ["--rounds", "x"], ["--rounds"], ["--only", "99"], ["--quick"], ["--round", "3"]]
)
def test_unknown_options_and_values_are_refused(words: Sequence[str]) -> None:
    with pytest.raises(SettingError):
        benchmarks.parse(words, GROUPS)


# --- rounds -----------------------------------------------------------------------------------------------------------


def measure(tmp_path: Path, sides: Dict[str, place.Side], *, once: bool = False, fail: bool = False) -> Result:
    """Measure one comparison, whose sides are `a` and `b`, in three rounds."""

    def opened(where: place.Place) -> Iterator[Dict[str, place.Side]]:
        if fail:
            raise DownloadError("nothing came", why="the server\nis away")
        yield sides

    group = Group("test", CORE, (ONE,), once=once)
    with ExitStack() as stack:
        taken = benchmarks.measure_group(group, opened, place.Place(Workspace(tmp_path, tmp_path / "cache"), stack), 3)
    return figures.results([group], {"test": taken})[0]


def test_first_round_does_not_count_and_unneeded_sides_do_not_run(tmp_path: Path) -> None:
    seen = []

    def side(name: str) -> place.Side:
        def run() -> float:
            seen.append(name)
            return float(len(seen))

        return run

    taken = measure(tmp_path, {name: side(name) for name in "abc"})
    assert seen == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert (taken.ours, taken.baseline) == ([4.0, 5.0, 8.0], [3.0, 6.0, 7.0])


def test_figures_that_do_not_vary_are_taken_once(tmp_path: Path) -> None:
    taken = measure(tmp_path, {"a": lambda: 1.0, "b": lambda: 2.0}, once=True)
    assert (taken.ours, taken.baseline) == ([1.0], [2.0])


def test_side_that_fails_twice_is_not_measured_and_says_why(tmp_path: Path) -> None:
    def broken() -> float:
        raise CommandFailedError("maturin failed", why="exit status 1")

    assert measure(tmp_path, {"a": lambda: 1.0, "b": broken}).verdict == "not measured: maturin failed: exit status 1"


def test_side_that_fails_once_is_forgiven(tmp_path: Path) -> None:
    answers = iter([0.0, 1.0, 1.0, 1.0, 1.0])
    assert measure(tmp_path, {"a": lambda: 1.0 / next(answers), "b": lambda: 1.0}).ratio == 1.0


def test_group_that_cannot_be_prepared_is_not_measured(tmp_path: Path) -> None:
    assert measure(tmp_path, {}, fail=True).verdict == "not measured: nothing came: the server is away"


def test_end_of_the_run_passes_through(tmp_path: Path) -> None:
    def ended() -> float:
        raise Interrupted("ended by SIGTERM")

    with pytest.raises(Interrupted):
        measure(tmp_path, {"a": ended, "b": ended})


# --- the document -----------------------------------------------------------------------------------------------------


def stored(part: str, comparisons: Sequence[Comparison], taken: Figures) -> tuple[Dict[str, object], List[Group]]:
    """Return what is stored of one group, and the group."""
    return {part: document.part_entry(SINCE, {"test": taken})}, [Group("test", part, tuple(comparisons))]


def test_closing_table_has_every_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    document.closing_table([result(note="a note"), Result(ONE, not_measured="no Wine here")]).print()
    printed = capsys.readouterr().out
    assert "1.00 / 2.00 / 3.00 s" in printed and "met, 0 % below" in printed and "1: a note" in printed
    assert "not measured: no Wine here" in printed


def test_document_has_goals_others_growth_and_what_was_not_measured() -> None:
    comparisons = [
        ONE,
        Comparison("2", "plain", "theirs", ("a", "b")),
        Comparison("3", "missing", "theirs", ("a", "c"), goal="1"),
        Comparison("4", "added", "theirs", ("a", "d"), goal="1"),
        Comparison("21.1", "10 metrics: disk", "glean-sdk", ("a", "b"), "bytes", metrics=10),
    ]
    taken = Figures({"a": [1.0, 2.0, 3.0], "b": [2.0, 4.0, 6.0]}, {"c": "a | b\nand more"})
    text = document.render(*stored(CORE, comparisons, taken))
    goals, _, rest = text.partition("### Without a goal")
    others, _, grown = rest.partition("### Growth")
    assert "met, 0 % below" in goals and "plain" in others and "| 21.1 |" in grown and "| 21.1 |" not in others
    assert "| not measured: a \\| b and more |" in goals and "newer than the last whole run" in goals
    assert "rounds: 3" in goals and "1.85.0" in goals and "benchmarks.svg" in goals and "Missed" not in text
    assert {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")} == {10}
    assert "## Building\n\nnot measured yet." in text and "no cold run yet" in text


@pytest.mark.parametrize("profile, text", [("most of it", "- 1: most of it\n"), ("", f"- 1: {document.NO_PROFILE}\n")])
def test_missed_goal_is_shown_with_its_profile_or_the_lack_of_one(profile: str, text: str) -> None:
    missed = Comparison("1", "ours", "theirs", ("a", "b"), goal="0.4", profile=profile)
    assert text in document.render(*stored(BUILD, [missed], Figures({"a": [1.0], "b": [2.0]})))


def test_cold_run_is_shown() -> None:
    run = {"date": "today", "commit": "abc1234", "seconds": 300.0, "memory": 900_000_000, "disk": {"cache": 5_000_000}}
    text = document.render({document.COLD: run}, [])
    assert "300 s" in text and "900.00 MB" in text and "| disk, cache | 5.00 MB |" in text and "abc1234" in text
    assert "not measured: no network (today)" in document.render(
        {"cold": {"date": "today", "failed": "no network"}}, []
    )


def test_document_and_chart_of_the_checkout_show_the_stored_figures(checkout: Path) -> None:
    kept = document.read(checkout)
    text = (checkout / document.DOCUMENT).read_text(encoding="utf-8")
    assert text == document.render(kept, GROUPS), "run nox -s bench -- --render"
    drawn = chart.render(document.part_results(kept, CORE, GROUPS))
    assert (checkout / document.CHART).read_text(encoding="utf-8") == drawn


def test_part_that_was_not_measured_keeps_its_figures(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(where: place.Place) -> Iterator[Dict[str, place.Side]]:
        yield {side: lambda: 1.0 for group in GROUPS for one in group.comparisons for side in one.sides}

    monkeypatch.setattr(benchmarks, "MEASURES", dict.fromkeys(benchmarks.MEASURES, measured))
    monkeypatch.setattr(benchmarks, "VERSIONS", dict.fromkeys(benchmarks.VERSIONS, lambda where: {"Rust": "1"}))
    (ws.root / "docs").mkdir()
    benchmarks.run_all(["--rounds", "1", "--only", "build"], ws=ws)
    first = document.read(ws.root)
    benchmarks.run_all(["--rounds", "1", "--only", "core"], ws=ws)
    assert list(first) == [BUILD] and document.read(ws.root)[BUILD] == first[BUILD]
    benchmarks.run_all(["--rounds", "1", "--only", "7"], ws=ws)
    second = document.read(ws.root)
    assert second[CORE]["groups"]["calls"]["taken"]["empty"] == [1.0]
    assert (ws.root / document.DOCUMENT).read_text(encoding="utf-8") == document.render(second, GROUPS)


def test_chart_shows_what_was_measured() -> None:
    grown = [
        Result(
            Comparison(f"21.{n}", "", base, ("a", "b"), "bytes", label="a < b", metrics=n * 10_000), (1e6 * n,), (2e6,)
        )
        for n, base in ((1, "glean-sdk"), (2, "ours with less"))
    ]
    missing = Result(Comparison("2", "left out", "x", ("a", "b"), goal="1"), not_measured="no Wine here")
    drawn = chart.render([*grown, result(), result("0.4"), missing])
    texts = [element.text for element in ElementTree.fromstring(drawn).iter() if element.tag.endswith("text")]
    assert "0.500 (≤ 1/2)" in texts and "0.500 (≤ 0.4, missed)" in texts and "a < b" in texts and "2.0 MB" in texts
    assert not any("left out" in str(text) for text in texts)
    assert ElementTree.fromstring(chart.render([])).tag.endswith("svg")


# --- steps of a measurement -------------------------------------------------------------------------------------------


def test_program_is_timed_and_its_output_kept() -> None:
    timed = stopwatch.run([sys.executable, "-c", "data = bytearray(30_000_000); print('seen')"], timeout_s=600)
    assert timed.output == "seen\n" and timed.seconds > 0 and timed.memory > 30_000_000


def test_program_that_fails_is_an_error_with_its_last_lines() -> None:
    with pytest.raises(CommandFailedError) as caught:
        stopwatch.run([sys.executable, "-c", "raise SystemExit('broken')"], timeout_s=600)
    assert caught.value.status == 1 and caught.value.tail == ["broken"]


def test_typed_command_knows_nothing_of_the_tool_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bootstrap.py").write_text("import os, sys; print(sys.argv[1:], dict(os.environ))")
    monkeypatch.setenv("PATH", os.pathsep.join([os.path.dirname(sys.executable), "/usr/bin"]))
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
    output = stopwatch.typed("nox", "-l", cwd=tmp_path, timeout_s=600, changes={"MORE": "1"}).output
    assert "['nox', '-l']" in output and "'PATH': '/usr/bin'" in output and "'MORE': '1'" in output
    assert "VIRTUAL_ENV" not in output


def test_changed_line_differs_each_time_and_stays_one_line(tmp_path: Path) -> None:
    source = tmp_path / "lib.rs"
    source.write_text('fn f(a: Option<u8>) {\n    a.expect("is there");\n}\n')
    texts = {source.read_text()}
    for _ in range(2):
        place.change_a_line(tmp_path)
        texts.add(source.read_text())
    assert len(texts) == 3 and all(text.count("\n") == 3 for text in texts)
    source.write_text("")
    with pytest.raises(MissingArtifactError):
        place.change_a_line(tmp_path)


def test_copy_of_the_checkout_has_sources_and_nothing_that_runs_made(ws: Workspace) -> None:
    for name in ("glean_core/src/lib.rs", "glean_core/target/x", ".glean/stamps/y", ".git/HEAD", "dist/w", "setup.py"):
        file = ws.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    with ExitStack() as stack:
        copy = place.Place(ws, stack).copy
        files = sorted(file.relative_to(copy.root).as_posix() for file in copy.root.rglob("*") if file.is_file())
    assert files == ["glean_core/src/lib.rs", "setup.py"] and copy.cache == ws.cache
    assert not copy.root.exists()


@pytest.mark.parametrize("name", ["bench", "docs"])
def test_requirements_are_pinned_with_hashes_and_name_no_host(checkout: Path, name: str) -> None:
    text = (checkout / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    pinned = [line for line in text.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    assert "://" not in text and pinned and all("==" in line and " --hash=sha256:" in line for line in pinned)


@pytest.mark.slow
def test_suite_is_what_passed(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('text', ['a b', 'ä'])\ndef test_passes(text): pass\n"
        "def test_fails(): assert False\n"
        "def test_skipped(): pytest.skip('no')\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-rp", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(argv, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False, timeout=600)
    names = building.passed(done.stdout)
    assert len(names) == 2 and names[0] == "test_it.py::test_passes[a b]"
    (tmp_path / "chosen").write_text("\n".join(names))
    again = subprocess.run(
        [*argv[:-1], "@chosen"], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False, timeout=120
    )
    assert again.returncode == 0 and building.passed(again.stdout) == names
    with pytest.raises(StepError):
        building.passed("no tests ran")


def test_file_with_two_names_takes_its_disk_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 100_000)
    alone = cold.disk_bytes(tmp_path)
    os.link(tmp_path / "one", tmp_path / "two")
    (tmp_path / "link").symlink_to("one")
    assert 100_000 <= alone <= cold.disk_bytes(tmp_path) < 2 * alone
