"""Fuzzing: the pinned cargo-fuzz, what it is asked to build, how a target is run, and what a finding looks like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pytest

from glean_steps import catalog, errors, fuzz, suites, system, toolchain
from glean_steps.errors import (
    CommandFailedError,
    MissingArtifactError,
    MissingToolError,
    OfflineError,
    SettingError,
)
from glean_steps.runner import Completed
from glean_steps.suites import Result
from glean_steps.toolchain import Rust
from glean_steps.workspace import Workspace

TRIPLE = "x86_64-unknown-linux-gnu"
MANIFEST = """# cargo-fuzz-version: 0.13.2
[package]
[[bin]]
name = "journal"
path = "fuzz_targets/journal.rs"
[[bin]]
name = "boundary"
path = "fuzz_targets/boundary.rs"
"""


class Programs:
    """Stands in for `runner.run`: cargo installs a file, cargo-fuzz builds files, a target ends with `status`."""

    def __init__(self) -> None:
        self.calls: List[List[str]] = []
        self.options: List[Dict[str, Any]] = []
        self.fails = ""
        self.status = 0
        self.builds = True
        self.litters = False

    def __call__(self, argv: Sequence[object], **options: Any) -> Completed:
        words = [str(word) for word in argv]
        self.calls.append(words)
        self.options.append(options)
        if self.fails and self.fails in words:
            raise CommandFailedError(f"{self.fails} failed", status=101)
        output = ""
        if "install" in words:
            root = Path(words[words.index("--root") + 1])
            (root / "bin").mkdir()
            (root / "bin" / "cargo-fuzz").touch()
            (root / "target").mkdir()
        elif "build" in words:
            folder = Path(words[words.index("--target-dir") + 1]) / TRIPLE / "release"
            folder.mkdir(parents=True, exist_ok=True)
            if self.builds:
                (folder / words[-1]).touch()
        else:
            output = self.fuzz(words, options)
            return Completed(words, self.status, output)
        return Completed(words, 0, output)

    def fuzz(self, words: Sequence[str], options: Dict[str, Any]) -> str:
        """Play a target that libFuzzer runs."""
        prefix = next(word.partition("=")[2] for word in words if word.startswith("-artifact_prefix="))
        if self.litters:
            Path(options["cwd"], "db").mkdir()
        if self.status:
            Path(prefix + "crash-1").touch()
            return "thread '<unnamed>' panicked at src/a.rs:1:2:\nwhat happened\nstat::peak_rss_mb: 99\n"
        return "stat::number_of_executed_units: 4711\nstat::peak_rss_mb: 99\n"

    def named(self, word: str) -> List[List[str]]:
        """Return the calls with this word."""
        return [call for call in self.calls if word in call]


@pytest.fixture
def crate(ws: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    (ws.crate / "fuzz").mkdir(parents=True)
    (ws.crate / "fuzz" / "Cargo.toml").write_text(MANIFEST)
    rust = Rust(
        tmp_path / "rust/bin/cargo", tmp_path / "rust/bin/rustc", Path("rustdoc"), None, "a test", "1.95.0", TRIPLE
    )
    monkeypatch.setattr(toolchain, "host_rust", lambda ws: rust)
    monkeypatch.setattr(system, "require", lambda tools, ws: None)
    return ws


def fuzz_all(ws: Workspace, names: Sequence[str] = ("journal", "boundary"), seconds: int = 60) -> List[Result]:
    return suites.run(catalog.fuzzing(names, seconds, ""), ws)


def build(ws: Workspace) -> Path:
    return fuzz.build(["journal"], "none", ws)["journal"]


def sanitizer_runtime(tmp_path: Path) -> None:
    folder = tmp_path / "rust" / "lib" / "rustlib" / TRIPLE / "lib"
    folder.mkdir(parents=True)
    (folder / "librustc-stable_rt.asan.a").touch()


def test_the_pinned_cargo_fuzz_is_installed_once_and_whole(crate: Workspace) -> None:
    run = Programs()
    assert build(replace(crate, start=run)) == build(replace(crate, start=run))
    [install] = run.named("install")
    assert install[1:6] == ["install", "cargo-fuzz", "--locked", "--version", "0.13.2"]
    assert [path.name for path in (crate.cache / "cargo-fuzz-0.13.2").iterdir()] == ["bin"]


def test_an_installation_that_failed_is_made_again(crate: Workspace) -> None:
    run = Programs()
    run.fails = "install"
    with pytest.raises(CommandFailedError):
        build(replace(crate, start=run))
    assert not (crate.cache / "cargo-fuzz-0.13.2").exists()
    run.fails = ""
    assert build(replace(crate, start=run)).is_file()


def test_offline_says_where_cargo_fuzz_is_missing(crate: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"cargo-fuzz 0\.13\.2"):
        build(replace(crate, start=Programs()))


def test_a_stable_compiler_builds_with_the_address_sanitizer_if_it_has_one(crate: Workspace, tmp_path: Path) -> None:
    for has_one, sanitizer in ((False, "none"), (True, "address")):
        if has_one:
            sanitizer_runtime(tmp_path)
        run = Programs()
        made = fuzz.build(["journal"], "", replace(crate, start=run))
        assert made["journal"].name == "journal"
        [call] = run.named("build")
        assert call[call.index("--sanitizer") + 1] == sanitizer
        env = run.options[run.calls.index(call)]["env"]
        assert env["RUSTC_BOOTSTRAP"] == "1"
        assert env["RUSTC"].endswith("rustc")


def test_a_build_that_makes_nothing_is_an_error(crate: Workspace) -> None:
    run = Programs()
    run.builds = False
    with pytest.raises(MissingArtifactError):
        fuzz.build(["journal"], "none", replace(crate, start=run))


def test_every_target_runs_for_its_time_with_what_it_found_before(crate: Workspace) -> None:
    run = Programs()
    results = fuzz_all(replace(crate, start=run), seconds=7)
    assert [(result.suite, result.passed, result.failed) for result in results] == [
        ("fuzz, journal", 1, 0),
        ("fuzz, boundary", 1, 0),
    ]
    assert "4711 inputs in 7 s" in results[0].notes[0]
    [call] = [call for call in run.calls if call[0].endswith("/journal")]
    assert "-max_total_time=7" in call
    home = crate.state / "fuzz" / "journal"
    assert call[1:4] == [str(home / name) for name in ("corpus", "seeds", "findings")]
    options = run.options[run.calls.index(call)]
    assert options["env"]["GLEAN_FUZZ_SEEDS"] == str(home / "seeds")
    assert options["timeout_s"] > 7


def test_a_finding_fails_the_suite_and_says_how_to_see_it_again(
    crate: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Programs()
    run.status = 77
    with pytest.raises(errors.TestsFailedError, match="2 of 2 suites failed"):
        fuzz_all(replace(crate, start=run))
    printed = capsys.readouterr()
    assert "exit status 77: thread '<unnamed>' panicked at src/a.rs:1:2: what happened" in printed.out
    assert "crash-1" in printed.out


def test_a_target_that_writes_to_the_working_directory_fails(crate: Workspace) -> None:
    run = Programs()
    run.litters = True
    with pytest.raises(errors.TestsFailedError):
        fuzz_all(replace(crate, start=run), ["journal"])


def test_what_is_missing_is_told_and_not_taken_for_a_failure(
    crate: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def require(tools: Sequence[system.Tool], ws: Workspace) -> None:
        if fuzz.CXX_COMPILER in tools:
            raise MissingToolError("c++ is missing", why="nothing may be installed", fix="apt-get install -y g++")

    monkeypatch.setattr(system, "require", require)
    with pytest.raises(errors.TestsFailedError, match="no suite ran"):
        fuzz_all(replace(crate, start=Programs()))
    printed = capsys.readouterr().out
    assert "NOT RUN" in printed
    assert "apt-get install -y g++" in printed


def test_a_manifest_without_a_pinned_version_is_refused(crate: Workspace) -> None:
    (crate.crate / "fuzz" / "Cargo.toml").write_text("[package]\n")
    with pytest.raises(SettingError, match="cargo-fuzz-version"):
        build(replace(crate, start=Programs()))
    (crate.crate / "fuzz" / "Cargo.toml").unlink()
    with pytest.raises(SettingError, match=r"cannot read Cargo\.toml"):
        build(replace(crate, start=Programs()))


def test_this_projects_own_targets_are_there_and_pinned(checkout: Path, tmp_path: Path) -> None:
    ws = Workspace(root=checkout, cache=tmp_path)
    names = fuzz.targets(ws)
    assert names == ["journal", "boundary", "assembler"]
    for name in names:
        assert (ws.crate / "fuzz" / "fuzz_targets" / f"{name}.rs").is_file()
    assert (ws.crate / "fuzz" / "Cargo.lock").is_file()
    assert toolchain.pinned_version("cargo-fuzz", ws.crate / "fuzz" / "Cargo.toml").count(".") == 2
