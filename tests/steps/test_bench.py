"""glean_steps.bench: the arithmetic, the options, and what is said of rows that could not be measured. No timings."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Set

import pytest

from glean_steps import bench, interpreters
from glean_steps.bench import chart, cold, document, figures, groups, peers, profiles, stopwatch, store
from glean_steps.bench.figures import Result, Row
from glean_steps.bench.group import BUILD, CORE
from glean_steps.errors import (
    CommandFailedError,
    DownloadError,
    Interrupted,
    MissingArtifactError,
    MissingToolError,
    SettingError,
)
from glean_steps.workspace import Workspace

ROW = Row("1", "ours", "theirs", "a", "b", goal=0.5)
SINCE = document.Circumstances("2026-01-02 03:04", 3, {"machine": "quick | quiet"}, {"Rust": "1.85.0"})


def make_result(goal: Optional[float] = 0.5, **changes: object) -> Result:
    """Return a result whose ratio is 0.5."""
    fields: Dict[str, object] = {"ours": (1.0, 2.0, 3.0), "theirs": (2.0, 4.0, 6.0), **changes}
    return Result(Row("1", "ours", "theirs", "a", "b", goal=goal), **fields)  # type: ignore[arg-type]


# --- arithmetic -------------------------------------------------------------------------------------------------------


def test_the_ratio_is_the_median_of_the_rounds_so_that_one_disturbed_round_does_not_count() -> None:
    assert figures.median_ratio([1.0, 1.0, 50.0], [2.0, 2.0, 2.0]) == 0.5
    disturbed = make_result(ours=(1.0, 1.0, 9.0), theirs=(2.0, 9.0, 9.0))
    assert disturbed.ratio == 0.5
    assert disturbed.ratio_of_medians == pytest.approx(1 / 9)


@pytest.mark.parametrize("ours, theirs", [([], []), ([1.0], [1.0, 2.0])])
def test_figures_that_were_not_taken_in_the_same_rounds_are_refused(
    ours: Sequence[float], theirs: Sequence[float]
) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        figures.median_ratio(ours, theirs)


@pytest.mark.parametrize(
    "ratio, goal, text",
    [
        (0.5, 1.0, "met, 50 % below"),
        (1.0, 1.0, "met, 0 % below"),
        (0.9999, 1.0, "met, less than 1 % below"),
        (1.001, 1.0, "missed, less than 1 % above"),
        (3.0, 2.0, "missed, 50 % above"),
        (7.0, None, "no goal"),
    ],
)
def test_a_verdict_says_by_how_much(ratio: float, goal: Optional[float], text: str) -> None:
    assert figures.verdict(ratio, goal) == text


def test_a_spread_has_its_unit_once_and_figures_that_count() -> None:
    assert figures.spread([0.25, 0.5, 12.0], "s") == "0.250 / 0.500 / 12.000 s"
    assert figures.spread([30.04, 20.0, 10.0], "s") == "10.0 / 20.0 / 30.0 s"
    assert figures.spread([1.5], "us") == "1.50 / 1.50 / 1.50 µs"
    assert figures.spread([9000.0], "us") == "9.00 / 9.00 / 9.00 ms"
    assert figures.spread([185.32], "ns") == "185.3 / 185.3 / 185.3 ns"
    assert figures.spread([5300.0, 5200.0, 5400.0], "ns") == "5.20 / 5.30 / 5.40 µs"
    assert figures.spread([0.0021], "s") == "2.10 / 2.10 / 2.10 ms"
    assert figures.spread([268863.0], "bytes") == "268,863 bytes"


def test_a_small_ratio_keeps_three_figures() -> None:
    assert [figures.ratio_text(ratio) for ratio in (0.00912, 0.5, 1.5)] == ["0.0091", "0.500", "1.50"]
    assert figures.ratio_text(0.000123) == "0.00012"


def test_a_goal_that_is_a_part_is_written_as_one() -> None:
    assert [figures.goal_text(goal) for goal in (1 / 20, 1 / 6, 0.5, 0.33, 1.0, 1.3, None)] == [
        *("≤ 1/20", "≤ 1/6", "≤ 1/2", "≤ 0.33", "≤ 1", "≤ 1.3", "")
    ]


def test_rows_are_sorted_by_the_numbers_in_their_keys() -> None:
    assert sorted(["10", "8.10", "8.2", "8", "9"], key=figures.key_order) == ["8", "8.2", "8.10", "9", "10"]


def test_each_side_comes_first_in_turn() -> None:
    assert [figures.order_of_round("ABC", number)[0] for number in range(4)] == ["A", "B", "C", "A"]
    assert sorted(figures.order_of_round("ABC", 2)) == ["A", "B", "C"]


# --- options ----------------------------------------------------------------------------------------------------------


def test_options_choose_rounds_rows_and_the_cold_run() -> None:
    assert bench.parse([]) == bench.Options(5, (), False)
    assert bench.parse(["--rounds", "3", "--only=1,2.1", "--cold"]) == bench.Options(3, ("1", "2.1"), True)
    assert bench.parse(["--only", "cold"]).cold


def test_a_row_brings_those_that_belong_to_it() -> None:
    assert chosen("2,8.1,20") == ["2", "2.1", "2.2", "2.3", "8.1", "20", "20.1", "20.2"]


def test_a_group_and_a_part_can_be_asked_for_by_name() -> None:
    assert chosen("ping,threads") == ["15", "20", "20.1", "20.2"]
    building = [row.key for group in groups.GROUPS for row in group.rows if group.part == BUILD]
    assert chosen("build") == building and chosen("build,core") == chosen("")


def test_a_section_is_written_when_its_part_was_measured_whole() -> None:
    for words, parts in (
        ([], [BUILD, CORE]),
        (["--only", "core"], [CORE]),
        (["--only", "build,7"], [BUILD]),
        (["--only", "1,2,3,4,5,6"], [BUILD]),
        (["--only", "cold"], []),
        (["--render"], []),
    ):
        assert bench.parse(words).parts == parts


def chosen(only: str) -> List[str]:
    """Return the keys of the rows that `--only` chooses."""
    options = bench.parse(["--only", only])
    return [row.key for group in groups.GROUPS for row in group.rows if options.wants(group, row)]


@pytest.mark.parametrize("words", [["--rounds", "4"], ["--rounds", "x"], ["--rounds"], ["--only", "99"], ["--quick"]])
def test_what_cannot_be_used_is_refused(words: Sequence[str]) -> None:
    with pytest.raises(SettingError):
        bench.parse(words)


def test_every_row_is_measured_by_its_group_and_has_a_key_of_its_own() -> None:
    keys = [row.key for group in groups.GROUPS for row in group.rows]
    assert len(keys) == len(set(keys))
    assert {row.key: row.goal for group in groups.GROUPS for row in group.rows if row.goal} == {
        "1": 1.0,
        "2": 1.15,
        "3": 0.33,
        "4": 0.02,
        "5": 2.0,
        "6": 0.35,
        "7": 1.0,
        "8": 1.3,
        "9": 1 / 20,
        "10": 1 / 25,
        "11": 1 / 20,
        "12": 1 / 10,
        "13": 1 / 100,
        "14": 1 / 20,
        "15": 1 / 5,
        "16": 1 / 6,
        "16.1": 1.0,
        "17": 1 / 50,
        "18": 1 / 4,
        "19": 1 / 2,
        "19.1": 1 / 2,
        "19.2": 1.1,
        "19.3": 1.1,
        "20": 1.0,
    }


def test_notes_belong_to_rows() -> None:
    for group in groups.GROUPS:
        assert {key for key, _ in group.notes} <= {row.key for row in group.rows}


# --- rounds -----------------------------------------------------------------------------------------------------------


def measure(
    tmp_path: Path, sides: Dict[str, groups.Side], *, once: bool = False, rounds: int = 3, fail: bool = False
) -> Result:
    """Measure one row whose sides are `a` and `b`."""

    def opened(place: groups.Place, needed: Set[str]) -> Iterator[Dict[str, groups.Side]]:
        if fail:
            raise DownloadError("nothing came", why="the server\nis away")
        yield sides

    group = groups.Group("test", (ROW,), opened, once=once, notes=(("1", "a note"),))
    ws = Workspace(tmp_path, tmp_path / "cache")
    with bench.ExitStack() as stack:
        return bench.measure_group(group, [ROW], groups.Place(ws, stack), rounds)[0]


def test_the_first_round_does_not_count_and_sides_that_nobody_needs_do_not_run(tmp_path: Path) -> None:
    seen = []

    def side(name: str) -> groups.Side:
        def run() -> float:
            seen.append(name)
            return float(len(seen))

        return run

    result = measure(tmp_path, {name: side(name) for name in "abc"})
    assert seen == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert (result.ours, result.theirs, result.notes) == ((4.0, 5.0, 8.0), (3.0, 6.0, 7.0), ["a note"])


def test_figures_that_do_not_vary_are_taken_once(tmp_path: Path) -> None:
    result = measure(tmp_path, {"a": lambda: 1.0, "b": lambda: 2.0}, once=True)
    assert (result.ours, result.theirs) == ((1.0,), (2.0,))


def test_a_side_that_fails_twice_is_not_measured_and_says_why(tmp_path: Path) -> None:
    def broken() -> float:
        raise CommandFailedError("maturin failed", why="exit status 1")

    assert measure(tmp_path, {"a": lambda: 1.0, "b": broken}).verdict == "not measured: maturin failed: exit status 1"


def test_a_side_that_fails_once_is_forgiven(tmp_path: Path) -> None:
    answers = iter([0.0, 1.0, 1.0, 1.0, 1.0])

    def shaky() -> float:
        return 1.0 / next(answers)

    assert measure(tmp_path, {"a": lambda: 1.0, "b": shaky}).ratio == 1.0


def test_what_cannot_be_prepared_is_not_measured(tmp_path: Path) -> None:
    assert measure(tmp_path, {}, fail=True).verdict == "not measured: nothing came: the server is away"


def test_the_end_of_the_run_passes_through(tmp_path: Path) -> None:
    def ended() -> float:
        raise Interrupted("ended by SIGTERM")

    with pytest.raises(Interrupted):
        measure(tmp_path, {"a": ended, "b": ended})


# --- what is said -----------------------------------------------------------------------------------------------------


def test_the_table_has_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    missing = Result(ROW, not_measured="no Wine here")
    document.closing_table([make_result(notes=["a note"]), missing]).print()
    printed = capsys.readouterr().out
    assert "1.00 / 2.00 / 3.00 s" in printed and "met, 0 % below" in printed and "1: a note" in printed
    assert "not measured: no Wine here" in printed


def test_a_section_has_rows_with_and_without_a_goal_growth_and_what_was_not_measured() -> None:
    missing = Result(ROW, not_measured="a | b\nand more")
    growth = Result(Row("21.1", "10 metrics: disk", "glean-sdk", "a", "b", "bytes"), (1.0,), (2.0,))
    results = [growth, make_result(), make_result(goal=None), missing]
    text = document.render_part(CORE, results, SINCE, {})
    goals, _, rest = text.partition("### Without a goal")
    others, _, grown = rest.partition("### Growth")
    assert "met, 0 % below" in goals and "no goal" in others and "| 21.1 |" in grown and "| 21.1 |" not in others
    assert "| not measured: a \\| b and more |" in goals and "benchmarks.svg" in goals
    assert "in 3 rounds" in goals and "quick | quiet" in goals and "1.85.0" in goals
    columns = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert columns == {10}
    assert "Missed" not in text and "benchmarks.svg" not in document.render_part(BUILD, results, SINCE, {})


def test_a_missed_goal_is_shown_with_its_profile_or_with_the_lack_of_one() -> None:
    missed = make_result(goal=0.4)
    assert "- 1: most of it\n" in document.render_part(BUILD, [missed], SINCE, {"1": "most\nof it", "2": "x"}) + "\n"
    assert f"- 1: {document.NO_PROFILE}" in document.render_part(BUILD, [missed], SINCE, {})


def test_profiles_belong_to_rows_with_a_goal() -> None:
    keys = {row.key for group in groups.GROUPS for row in group.rows if row.goal is not None}
    assert set(profiles.PROFILES) <= keys


def test_sections_that_were_not_measured_stay_as_they_are() -> None:
    first = document.assemble({document.HEADINGS[BUILD]: document.render_part(BUILD, [make_result()], SINCE, {})})
    assert "## The telemetry core\n\nnot measured yet." in first and document.NO_COLD_RUN in first
    later = document.Circumstances("2027-01-01 00:00", 5, {}, {})
    core = document.render_part(CORE, [make_result()], later, {})
    second = document.assemble({document.HEADINGS[CORE]: core}, first)
    assert "not measured yet" not in second and "2027-01-01" in second and "2026-01-02" in second
    build = document.HEADINGS[BUILD]
    assert document.kept_section(second, build) == document.kept_section(first, build)
    assert document.assemble({}, second) == second


def test_the_cold_section_is_kept_until_there_is_a_new_one() -> None:
    old = cold.section(
        "2026-01-01", "abc1234", 300.0, cold.Peak(2_000_000_000, 900_000_000, "rustc"), {"cache": 5_000_000}
    )
    text = document.assemble({document.COLD: old})
    assert document.kept_section(text, document.COLD) == old
    assert "2.00 GB" in old and "900.00 MB (rustc)" in old and "300 s" in old
    new = document.assemble({document.COLD: f"{document.COLD}\n\nanother one"}, text)
    assert new.endswith(f"{document.COLD}\n\nanother one\n") and "abc1234" not in new
    assert new.partition(document.COLD)[0] == text.partition(document.COLD)[0]


def test_the_document_can_be_made_anew_from_the_stored_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    group = groups.Group("test", (ROW, Row("2", "new", "x", "c", "d")), lambda place, needed: iter(()), part=CORE)
    store.save(file, CORE, SINCE, [make_result()])
    store.save(file, BUILD, SINCE, [Result(ROW, not_measured="no Wine here")])
    since, results = store.load(file, CORE, [group])
    assert since == SINCE and store.parts(file) == [CORE, BUILD]
    assert (results[0].ours, results[0].theirs, results[0].ratio) == ((1.0, 2.0, 3.0), (2.0, 4.0, 6.0), 0.5)
    assert "newer" in results[1].not_measured
    assert store.parts(tmp_path / "nothing.json") == []


def test_the_document_of_the_checkout_shows_the_stored_figures(checkout: Path) -> None:
    text = (checkout / bench.DOCUMENT).read_text(encoding="utf-8")
    for part in store.parts(checkout / store.FILE):
        since, results = store.load(checkout / store.FILE, part, groups.GROUPS)
        section = document.render_part(part, results, since, profiles.PROFILES)
        assert document.kept_section(text, document.HEADINGS[part]) == section, "run nox -s bench -- --render"
        if part == CORE:
            assert (checkout / bench.CHART).read_text(encoding="utf-8") == chart.render(results)


# --- the chart --------------------------------------------------------------------------------------------------------


def test_the_chart_is_the_same_each_time_and_shows_what_was_measured() -> None:
    growth = [
        Result(Row(f"21.{n}", f"{n}0,000 metrics: a < b", peer, "a", "b", "bytes"), (1e6 * n,), (2e6,))
        for n, peer in ((1, "glean-sdk"), (2, "ours with less"))
    ]
    missing = Result(Row("2", "left out", "x", "a", "b", goal=1.0), not_measured="no Wine here")
    missed = Result(Row("3", "slow", "x", "a", "b", goal=0.4), (1.0,), (2.0,))
    results = [*growth, make_result(), missed, missing]
    drawn = chart.render(results)
    assert drawn == chart.render(list(reversed(results)))
    texts = [element.text for element in ElementTree.fromstring(drawn).iter() if element.tag.endswith("text")]
    assert "0.500 (≤ 1/2)" in texts and "0.500 (≤ 0.4, missed)" in texts and "a < b" in texts and "2.0 MB" in texts
    assert not any("left out" in str(text) for text in texts)
    assert ElementTree.fromstring(chart.render([])).tag.endswith("svg")


# --- steps of a measurement -------------------------------------------------------------------------------------------


def test_a_program_is_timed_and_its_output_kept() -> None:
    timed = stopwatch.run([sys.executable, "-c", "print('seen')"], timeout_s=60)
    assert timed.output == "seen\n" and timed.seconds > 0


def test_a_program_that_fails_is_an_error_with_its_last_lines() -> None:
    with pytest.raises(CommandFailedError) as caught:
        stopwatch.run([sys.executable, "-c", "raise SystemExit('broken')"], timeout_s=60)
    assert caught.value.status == 1 and caught.value.tail == ["broken"]


def test_the_typed_environment_knows_nothing_of_the_tool_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = os.path.dirname(sys.executable)
    monkeypatch.setenv("PATH", os.pathsep.join([tools, "/usr/bin"]))
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
    env = stopwatch.typed_env({"MORE": "1"})
    assert (env["PATH"], env.get("VIRTUAL_ENV"), env["MORE"]) == ("/usr/bin", None, "1")


def test_the_changing_line_says_something_else_each_time_and_stays_one_line(ws: Workspace) -> None:
    source = ws.crate / "src" / "lib.rs"
    source.parent.mkdir(parents=True)
    source.write_text('fn f(a: Option<u8>) {\n    a.expect("is there");\n}\n')
    line = peers.ChangingLine(ws)
    texts = []
    for _ in range(2):
        line.change()
        texts.append(source.read_text())
    assert texts[0] != texts[1]
    assert all(text.count("\n") == 3 and '.expect("is there (' in text for text in texts)


def test_a_crate_without_such_a_line_is_told(ws: Workspace) -> None:
    with pytest.raises(MissingArtifactError):
        peers.ChangingLine(ws)


def test_a_copy_of_the_checkout_has_sources_and_nothing_that_runs_made(ws: Workspace, tmp_path: Path) -> None:
    for name in (
        "glean_core/src/lib.rs",
        "glean_core/target/x",
        ".glean/stamps/y",
        ".git/HEAD",
        "dist/w.whl",
        "setup.py",
    ):
        file = ws.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    copy = peers.copy_checkout(ws, tmp_path / "copy")
    files = sorted(file.relative_to(copy.root).as_posix() for file in copy.root.rglob("*") if file.is_file())
    assert files == ["glean_core/src/lib.rs", "setup.py"] and copy.cache == ws.cache


def test_the_newest_python_is_measured_and_free_threaded_ones_are_not(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(*versions: str) -> None:
        found = {
            text: interpreters.CPython(text.rstrip("t"), text.endswith("t"), Path(text), Path(text))
            for text in versions
        }
        monkeypatch.setattr(interpreters, "find_all", lambda ws: found)

    here("3.9.1", "3.13.0", "3.13.0t")
    assert peers.newest_python(ws).version == "3.13.0"
    for versions in (("3.9.1",), ("3.14.0t",), ()):
        here(*versions)
        with pytest.raises(MissingToolError):
            peers.newest_python(ws)


def test_the_peers_are_pinned_with_hashes_and_name_no_host(checkout: Path, ws: Workspace) -> None:
    here = Workspace(checkout, ws.cache)
    assert peers.pinned_version("glean-sdk", here) == "71.0.0" and peers.pinned_version("maturin", here)
    assert peers.pinned_version("prometheus-client", here)
    text = peers.requirements_file(here).read_text(encoding="utf-8")
    assert "://" not in text
    pinned = [line for line in text.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    assert all(" --hash=sha256:" in line for line in pinned)
    with pytest.raises(MissingArtifactError):
        peers.pinned_version("nothing", here)


def test_the_sampler_counts_the_processes_that_have_the_mark() -> None:
    mark = f"GLEAN_BENCH_TEST={os.getpid()}"
    name, _, value = mark.partition("=")
    code = "data = bytearray(30_000_000); print('up', flush=True); input()"
    with cold.Sampler(mark) as sampler:
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, name: value}
        ) as process:
            assert process.stdout is not None and process.stdout.readline() == b"up\n"
            sampler._look()
            process.communicate(b"\n")
    assert sampler.peak.tree_bytes >= sampler.peak.one_bytes > 30_000_000


def test_a_file_with_two_names_takes_its_disk_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 100_000)
    alone = cold.disk_bytes(tmp_path)
    os.link(tmp_path / "one", tmp_path / "two")
    (tmp_path / "link").symlink_to("one")
    assert alone >= 100_000 and cold.disk_bytes(tmp_path) == alone
