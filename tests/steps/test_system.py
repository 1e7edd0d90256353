"""Programs of the system: what is missing, how it is installed, and the one line where it may not be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import pytest

from glean_steps import system
from glean_steps.errors import MissingToolError
from glean_steps.runner import Completed
from glean_steps.targets import WINDOWS
from glean_steps.workspace import Workspace

NOTHING = system.Tool(
    name="nothing", why="is never there", packages=(("nothing-a", "nothing-b"),), programs=("glean-no-such-program",)
)
OTHER = system.Tool(name="other", why="is not there either", packages=(("other-c",),), files=("/no/such/file-*",))


class Recorder:
    """Stands in for `runner.run`: keeps every argv and answers from a table keyed by the first words."""

    def __init__(self, answers: Optional[Mapping[str, Completed]] = None) -> None:
        self.calls: List[List[str]] = []
        self.envs: List[Dict[str, str]] = []
        self._answers = dict(answers or {})

    def __call__(self, argv: Sequence[object], **options: Any) -> Completed:
        words = [str(word) for word in argv]
        self.calls.append(words)
        self.envs.append(dict(options.get("env") or {}))
        for start, answer in self._answers.items():
            if " ".join(words).startswith(start):
                return answer
        return Completed(words, 0, "")


def with_start(run: Recorder) -> Workspace:
    return Workspace(Path("/checkout"), Path("/cache"), run)


def policy(**versions: str) -> str:
    """Return what `apt-cache policy` prints for packages with these candidates; `_` stands for `-`."""
    return "".join(
        f"{name.replace('_', '-')}:\n  Installed: (none)\n  Candidate: {version}\n"
        for name, version in versions.items()
    )


@pytest.fixture
def root_with_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "is_root", lambda: True)
    monkeypatch.setattr(system, "_refreshed", [])
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"/bin/{name}" if "apt" in name else None)


def test_nothing_is_run_when_every_tool_is_here(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    run = Recorder()
    system.require([system.Tool("here", "is here", (("here",),), files=(f"{tmp_path}/he*",))], with_start(run))
    assert run.calls == []


def test_install_never_gives_one_line_with_every_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_INSTALL", "never")
    monkeypatch.setattr(system, "is_root", lambda: False)
    monkeypatch.setattr(system, "_has_lists", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"/bin/{name}" if "apt" in name else None)
    with pytest.raises(MissingToolError) as caught:
        system.require([NOTHING, OTHER], with_start(Recorder()))
    assert caught.value.exit_code == 14
    assert caught.value.fix == "sudo apt-get install -y nothing-a nothing-b other-c"
    assert "GLEAN_INSTALL=never" in caught.value.why


@pytest.mark.usefixtures("root_with_apt")
def test_root_gets_one_apt_call_for_all_tools_and_a_failing_update_is_ignored() -> None:
    run = Recorder({"apt-get update": Completed([], 100, "E: an unrelated source")})
    with pytest.raises(MissingToolError, match="nothing, other"):
        system.require([NOTHING, OTHER], with_start(run))
    assert [call[:2] for call in run.calls[:2]] == [["apt-get", "update"], ["apt-get", "install"]]
    assert run.calls[1][-3:] == ["nothing-a", "nothing-b", "other-c"]
    assert "--no-install-recommends" in run.calls[1]
    assert "DPkg::Lock::Timeout=300" in run.calls[1]
    assert run.envs[1]["DEBIAN_FRONTEND"] == "noninteractive"


@pytest.mark.usefixtures("root_with_apt")
def test_the_package_lists_are_refreshed_once_per_run() -> None:
    run = Recorder()
    for _ in range(2):
        with pytest.raises(MissingToolError):
            system.require([NOTHING], with_start(run))
    assert sum(call[:2] == ["apt-get", "update"] for call in run.calls) == 1


@pytest.mark.usefixtures("root_with_apt")
def test_an_apt_that_fails_is_quoted() -> None:
    run = Recorder({"apt-get install": Completed([], 100, "E: Unable to locate package nothing-a")})
    with pytest.raises(MissingToolError) as caught:
        system.require([NOTHING], with_start(run))
    assert "exit status 100" in caught.value.why
    assert "Unable to locate package nothing-a" in caught.value.why


@pytest.mark.usefixtures("root_with_apt")
def test_an_installation_that_was_interrupted_before_is_finished_first() -> None:
    run = Recorder({"apt-get install": Completed([], 100, "E: you must manually run 'dpkg --configure -a'")})
    with pytest.raises(MissingToolError):
        system.require([NOTHING], with_start(run))
    assert ["dpkg", "--configure", "-a"] in run.calls
    assert sum(call[:2] == ["apt-get", "install"] for call in run.calls) == 2


@pytest.mark.usefixtures("root_with_apt")
def test_offline_installs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    run = Recorder()
    with pytest.raises(MissingToolError, match="GLEAN_OFFLINE"):
        system.require([NOTHING], with_start(run))
    assert all(call[0] == "apt-cache" for call in run.calls)


@pytest.mark.usefixtures("root_with_apt")
def test_the_first_alternative_that_is_new_enough_is_chosen() -> None:
    debian = Recorder({"apt-cache policy rustc-web": Completed([], 0, policy(rustc_web="1.96.0", cargo_web="1.96.0"))})
    assert system.packages_for([system.RUST], with_start(debian)) == ["rustc-web", "cargo-web"]


@pytest.mark.usefixtures("root_with_apt")
def test_a_distribution_with_versioned_compilers_gives_its_newest() -> None:
    versioned = policy(**{"rustc_1.89": "1.89.0", "cargo_1.89": "1.89.0", "rust_1.89_src": "1.89.0"})
    run = Recorder(
        {
            "apt-cache pkgnames rustc-": Completed([], 0, "rustc-1.80\nrustc-1.89\nrustc-1.89-doc\nrustc-web\n"),
            "apt-cache policy rustc-1.89": Completed([], 0, versioned),
        }
    )
    assert system.packages_for([system.RUST_SOURCES], with_start(run)) == ["rustc-1.89", "cargo-1.89", "rust-1.89-src"]


@pytest.mark.usefixtures("root_with_apt")
def test_a_plain_compiler_that_is_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = system.Tool("rust", "builds", (("old",), ("new",)), programs=("x",), minimum="1.85")
    run = Recorder(
        {
            "apt-cache policy old": Completed([], 0, policy(old="1.75.0+dfsg")),
            "apt-cache policy new": Completed([], 0, policy(new="1.85.1")),
        }
    )
    assert system.packages_for([tool], with_start(run)) == ["new"]


def test_versions_compare_by_number() -> None:
    assert system.version_numbers("1.96.0+dfsg1-1~deb12u2") == (1, 96, 0)
    assert system.is_at_least("1.100", "1.85")
    assert not system.is_at_least("1.9", "1.85")
    assert system.is_at_least("anything", "")


def test_each_target_brings_the_row_of_its_linker() -> None:
    names = [tool.name for target in WINDOWS for tool in system.linkers(target)]
    assert names == ["mingw-amd64", "mingw-win32"]
    assert {tool.name for tool in system.TOOLS} >= set(names)


def test_every_row_says_what_it_is_for_and_what_brings_it() -> None:
    assert len({tool.name for tool in system.TOOLS}) == len(system.TOOLS)
    for tool in system.TOOLS:
        assert tool.why and tool.packages and (tool.programs or tool.files or tool.modules), tool.name


def test_a_programs_version_is_the_line_that_holds_one(tmp_path: Path) -> None:
    program = tmp_path / "clock"
    program.write_text("#!/bin/sh\necho a hint without a version\necho clock 8.15 of today\n")
    program.chmod(0o755)
    assert system.program_version(program, Workspace(tmp_path, tmp_path)) == "clock 8.15 of today"


def test_the_crates_own_minimum_is_read_from_its_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "Cargo.toml"
    manifest.write_text('[package]\nname = "x"\nrust-version = "1.77"\n')
    assert system.crate_rust_version(manifest) == "1.77"
    assert system.crate_rust_version(tmp_path / "absent") == ""
