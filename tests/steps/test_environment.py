"""Environments with pinned packages, and the Python that makes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from glean_steps import environment, interpreters, runner
from glean_steps.errors import MissingToolError, OfflineError
from glean_steps.workspace import Workspace


def test_newest_python_is_found_and_free_threaded_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(*versions: str) -> None:
        found = {
            text: interpreters.CPython(text.rstrip("t"), text.endswith("t"), Path(text), Path(text))
            for text in versions
        }
        monkeypatch.setattr(interpreters, "find_all", lambda: found)

    here("3.9.1", "3.13.0", "3.13.0t")
    assert environment.newest_python((3, 11)).version == "3.13.0"
    for versions in (("3.9.1",), ("3.14.0t",), ()):
        here(*versions)
        with pytest.raises(MissingToolError):
            environment.newest_python((3, 11))


def test_environment_is_made_once_and_again_when_its_requirements_change(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def run(argv: list[object], **options: object) -> None:
        started.append([str(word) for word in argv[1:4]])
        program = ws.state / "venvs" / "docs" / "bin" / "python"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch()

    monkeypatch.setattr(runner, "run", run)
    requirements = ws.root / "requirements" / "docs.txt"
    requirements.parent.mkdir()
    requirements.write_text("one==1")
    program = environment.pinned("docs", ws)
    assert started == [["-m", "venv", str(program.parents[1])], ["-m", "pip", "install"]]
    assert environment.pinned("docs", ws) == program and len(started) == 2
    requirements.write_text("one==2")
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    with pytest.raises(OfflineError):
        environment.pinned("docs", ws)
    monkeypatch.delenv("GLEAN_OFFLINE")
    environment.pinned("docs", ws)
    assert len(started) == 4
