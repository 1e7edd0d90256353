"""glean.h: the pinned cbindgen, what it writes, and what happens when the header and the sources differ."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, List, Sequence

import pytest

from glean_steps import header, project, system, toolchain
from glean_steps.errors import CommandFailedError, HeaderDriftError, MissingArtifactError, OfflineError, SettingError
from glean_steps.runner import Completed
from glean_steps.toolchain import Rust
from glean_steps.workspace import Workspace


class Programs:
    """Stands in for `runner.run`: cargo installs a file, cbindgen writes `text`."""

    def __init__(self, text: str = "int glean_add(int);\n") -> None:
        self.text = text
        self.calls: List[List[str]] = []
        self.install_fails = False

    def __call__(self, argv: Sequence[object], **options: Any) -> Completed:
        words = [str(word) for word in argv]
        self.calls.append(words)
        if words[1] == "install":
            if self.install_fails:
                raise CommandFailedError("cargo failed with exit status 101", status=101)
            root = Path(words[words.index("--root") + 1])
            (root / "bin").mkdir()
            (root / "bin" / "cbindgen").touch()
            (root / "target").mkdir()
        elif self.text:
            Path(words[words.index("--output") + 1]).write_text(self.text)
        return Completed(words, 0, "")


@pytest.fixture
def crate(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (ws.crate / "src").mkdir(parents=True)
    (ws.crate / "src" / "lib.rs").write_text("// a crate\n")
    (ws.crate / "Cargo.toml").write_text("[package]\n")
    (ws.crate / "cbindgen.toml").write_text('# cbindgen-version: 0.29.4\nlanguage = "C"\n')
    rust = Rust(Path("/rust/cargo"), Path("/rust/rustc"), Path("/rust/rustdoc"), None, "made by a test", "1.90.0", "")
    monkeypatch.setattr(toolchain, "host_rust", lambda ws: rust)
    monkeypatch.setattr(system, "require", lambda tools, ws: None)
    return ws


def test_the_pinned_cbindgen_is_installed_once_and_whole(crate: Workspace) -> None:
    run = Programs()
    assert header.generate(replace(crate, start=run)) == header.generate(replace(crate, start=run)) == run.text
    [install] = [call for call in run.calls if call[1] == "install"]
    assert install[:6] == ["/rust/cargo", "install", "cbindgen", "--locked", "--version", "0.29.4"]
    assert [path.name for path in (crate.cache / "cbindgen-0.29.4").iterdir()] == ["bin"]


def test_an_installation_that_failed_is_made_again(crate: Workspace) -> None:
    run = Programs()
    run.install_fails = True
    with pytest.raises(CommandFailedError):
        header.generate(replace(crate, start=run))
    assert not (crate.cache / "cbindgen-0.29.4").exists()
    run.install_fails = False
    assert header.generate(replace(crate, start=run)) == run.text


def test_offline_says_where_cbindgen_is_missing(crate: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"cbindgen-0\.29\.4"):
        header.generate(replace(crate, start=Programs()))


def test_writing_makes_the_check_pass_and_an_up_to_date_check_starts_nothing(crate: Workspace) -> None:
    run = Programs()
    assert header.write(replace(crate, start=run)).read_text() == run.text
    run.calls.clear()
    header.check(replace(crate, start=run))
    assert run.calls == []


def test_a_header_that_is_right_keeps_its_time(crate: Workspace) -> None:
    path = header.write(replace(crate, start=Programs()))
    before = path.stat().st_mtime_ns
    header.write(replace(crate, start=Programs()))
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("edited", ["the header", "the sources"])
def test_a_difference_is_shown_shortly(crate: Workspace, edited: str) -> None:
    path = header.write(replace(crate, start=Programs()))
    run = Programs()
    if edited == "the header":
        path.write_text("int glean_subtract(int);\n")
    else:
        (crate.crate / "src" / "lib.rs").write_text("// a changed crate\n")
        run.text = "\n".join(f"int glean_{number}(void);" for number in range(200)) + "\n"
    with pytest.raises(HeaderDriftError) as caught:
        header.check(replace(crate, start=run))
    assert caught.value.exit_code == 25
    text = str(caught.value)
    assert "invoke header" in text
    assert ("-int glean_subtract(int);" if edited == "the header" else "more lines") in text
    assert len(text.splitlines()) <= header.DIFF_LINES + 5


def test_a_missing_header_is_a_difference(crate: Workspace) -> None:
    with pytest.raises(HeaderDriftError):
        header.check(replace(crate, start=Programs()))


def test_a_cbindgen_that_writes_nothing_is_an_error(crate: Workspace) -> None:
    with pytest.raises(MissingArtifactError):
        header.generate(replace(crate, start=Programs(text="")))


def test_a_configuration_without_a_pinned_version_is_refused(crate: Workspace) -> None:
    (crate.crate / "cbindgen.toml").write_text('language = "C"\n')
    with pytest.raises(SettingError, match="cbindgen-version"):
        header.generate(replace(crate, start=Programs()))


def test_this_projects_own_configuration_pins_a_version(checkout: Path) -> None:
    assert toolchain.pinned_version("cbindgen", checkout / "glean_core" / "cbindgen.toml").count(".") == 2


def test_every_constant_of_the_header_belongs_to_the_abi() -> None:
    root = Path(__file__).resolve().parents[2]
    text = (root / project.CRATE / project.HEADER).read_text(encoding="utf-8")
    names = re.findall(r"^#define (\w+)", text, re.MULTILINE)
    assert len(names) > 10
    assert [name for name in names if not name.startswith("GLEAN_")] == []
