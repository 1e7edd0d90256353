"""glean_steps.pipelines: what is made again and what is not, and that nothing unproven reaches dist/."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import windows

from glean_steps import errors, pipelines, runner, wine, workspace
from glean_steps.errors import AuditError, CommandFailedError, Interrupted, ProofError, SettingError, StepError
from glean_steps.targets import TARGETS, WINDOWS, Target
from glean_steps.workspace import Workspace

AMD64, WIN32 = WINDOWS[:2]


# --- exit codes -------------------------------------------------------------------------------------------------------

KINDS: list[type[StepError]] = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StepError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_error_ends_the_command_with_its_code_and_message(
    kind: type[StepError], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, pipelines.exit_codes():
        raise kind("it did not work", why="for a reason", fix="do something")
    assert caught.value.code == kind.exit_code
    assert "error: it did not work\n  why: for a reason\n  fix: do something" in capsys.readouterr().err


def test_a_failed_program_shows_its_last_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), pipelines.exit_codes():
        runner.run([sys.executable, "-c", "print('a' * 3); raise SystemExit(4)"], timeout_s=600, quiet=True)
    err = capsys.readouterr().err
    assert "failed with exit status 4" in err and err.rstrip().endswith("last lines:\n    aaa")


def test_ctrl_c_ends_the_command_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, pipelines.exit_codes():
        raise KeyboardInterrupt
    assert caught.value.code == 130 and "ended by Ctrl-C" in capsys.readouterr().err


def test_sigterm_ends_the_command_with_130() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as caught, pipelines.exit_codes():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.code == 130


@pytest.mark.parametrize("error", [ValueError("a defect"), SystemExit(7)])
def test_a_defect_and_an_exit_pass_through(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, pipelines.exit_codes():
        raise error
    assert caught.value is error


def test_every_test_and_code_that_the_documentation_names_exists(checkout: Path) -> None:
    text = (checkout / "docs" / "when-things-go-wrong.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    missing = [
        f"{file}::{test}"
        for file, test in named
        if f"\ndef {test}(" not in (checkout / "tests" / "steps" / file).read_text(encoding="utf-8")
    ]
    assert named and missing == []
    codes = {int(code) for code in re.findall(r"^\|[^|]*\| (\d+) \|", text, re.MULTILINE)}
    assert codes and codes <= {kind.exit_code for kind in KINDS} | {Interrupted.exit_code}


# --- single steps -----------------------------------------------------------------------------------------------------


def test_a_wheel_of_no_target_cannot_be_audited_without_naming_one(ws: Workspace) -> None:
    with pytest.raises(SettingError, match="cannot tell the target") as caught:
        pipelines.audit_wheels(ws, None, "dist/glean_py-0.1.0-py3-none-linux_x86_64.whl")
    assert caught.value.exit_code == 27 and "--target" in caught.value.fix


def test_a_wheel_cannot_be_retagged_without_naming_its_target(ws: Workspace) -> None:
    with pytest.raises(SettingError, match="needs its target"):
        pipelines.retag(ws, None, "some.whl")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_cleaning_ends_programs_and_leaves_wheels_tools_and_cache(ws: Workspace) -> None:
    kept = [ws.dist / "a.whl", ws.state / "tools" / "3.11" / "x", ws.cache / "downloads" / "x", ws.root / "setup.py"]
    gone = [
        ws.state / "prefix" / "p" / "x",
        ws.state / "stamps" / "x",
        ws.crate / "target" / "x",
        ws.root / "build" / "x",
    ]
    gone += [ws.root / "glean_py.egg-info" / "x"]
    for path in [*kept, *gone]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    env = {**os.environ, "WINEPREFIX": str(ws.state / "prefix" / "p")}
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=env)
    assert windows.until(lambda: wine.processes(ws.state / "prefix" / "p") == [program.pid])
    pipelines.clean(ws)
    assert program.wait(timeout=1800) == -signal.SIGTERM
    assert [path for path in kept if not path.exists()] == []
    assert [path for path in gone if path.parent.exists()] == []
    pipelines.clean(ws, cache=True)
    assert not ws.cache.exists() and kept[0].exists() and kept[1].exists()


def test_cleaning_removes_nothing_through_a_mount(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ws.cache / "wine32-root" / "home" / "x"
    kept.parent.mkdir(parents=True)
    kept.touch()
    monkeypatch.setattr(workspace, "mounts_below", lambda folder: [str(kept.parent)] if folder == ws.cache else [])
    with pytest.raises(errors.DiskError, match="nothing was removed"):
        pipelines.clean(ws, cache=True)
    assert kept.exists()


# --- real wheels ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> windows.Built:
    return windows.built_checkout(tmp_path_factory)


@pytest.fixture
def real(built: windows.Built, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The built checkout, for calls in this process."""
    for name in ("GLEAN_CACHE", "CARGO_TARGET_DIR", *windows.QUICK):
        monkeypatch.setenv(name, built.checkout.env()[name])
    return built.checkout.ws


def hashes(ws: Workspace) -> dict[str, str]:
    return {path.name: workspace.file_sha256(path) for path in ws.dist.iterdir()}


VARIABLES = (
    *("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO"),
    *("SOURCE_DATE_EPOCH", "GLEAN_WINDOWS_PYTHON"),
)


def test_a_wheels_key_changes_with_what_shapes_it(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(**changes: Any) -> str:
        return pipelines._wheel_key(
            changes.get("target", AMD64), ws, changes.get("python"), changes.get("sources", "s")
        )

    seen = [key(), key(target=WIN32), key(python="3.13"), key(sources="t")]
    for name in VARIABLES:
        with monkeypatch.context() as inner:
            inner.setenv(name, "1")
            seen.append(key())
    monkeypatch.setattr(wine, "identity", lambda: ["another Wine"])
    seen.append(key())
    monkeypatch.setattr(sys, "version", "another Python")
    seen.append(key())
    assert len(set(seen)) == len(seen) and key() == seen[-1]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.platform_tag)
def test_what_a_build_writes_leaves_the_key_of_its_wheel(
    target: Target, ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current folder is that of the checkout, in which a build makes others."""
    monkeypatch.chdir(tmp_path)
    before = pipelines._wheel_key(target, ws, None, "s")
    os.utime(tmp_path, ns=(1, 1))
    (tmp_path / "made by a build").mkdir()
    assert pipelines._wheel_key(target, ws, None, "s") == before


def test_the_tools_that_pack_a_wheel_shape_it(ws: Workspace) -> None:
    before = pipelines._sources(ws)
    (ws.root / "requirements").mkdir()
    (ws.root / "requirements" / "tools.txt").write_text("setuptools==1\n")
    assert pipelines._sources(ws) != before


@pytest.mark.wine
@pytest.mark.slow
def test_a_second_run_starts_no_program(
    real: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(real)
    monkeypatch.setattr(runner.subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    built = pipelines.build_wheels(real, WINDOWS)
    assert [wheel.fresh for wheel in built] == [False, False] and hashes(real) == before
    out = capsys.readouterr().out
    assert all(digest in out for digest in before.values()) and out.count("earlier; up to date") == 2


@pytest.mark.wine
@pytest.mark.slow
def test_damaged_and_missing_wheels_in_dist_are_noticed_and_made_again_byte_by_byte(real: Workspace) -> None:
    before = hashes(real)
    (changed,) = real.dist.glob("*-win_amd64.whl")
    (missing,) = real.dist.glob("*-win32.whl")
    content, times = bytearray(changed.read_bytes()), changed.stat()
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))  # As a bad disk would: nothing but its bytes tells.
    missing.unlink()
    built = pipelines.build_wheels(real, WINDOWS)
    assert [wheel.fresh for wheel in built] == [True, True]
    assert hashes(real) == before


@pytest.mark.wine
@pytest.mark.slow
def test_a_wheel_that_fails_its_audit_does_not_reach_dist(built: windows.Built, real: Workspace) -> None:
    before = hashes(real)
    promise = "\nuint8_t glean_not_there(void);\n"
    with (
        built.checkout.changed("glean_core/include/glean.h", lambda text: text + promise),
        pytest.raises(AuditError, match="glean_not_there") as caught,
    ):
        pipelines.build_wheels(real, [AMD64])
    assert caught.value.exit_code == 23 and hashes(real) == before


@pytest.mark.wine
@pytest.mark.slow
def test_a_wheel_that_fails_its_proof_does_not_reach_dist(built: windows.Built, real: Workspace) -> None:
    before = hashes(real)
    with (
        built.checkout.changed("tests/bindings/prove_wheel.py", lambda text: text.replace("add(42)", "add(41)")),
        pytest.raises(ProofError, match="failed its smoke test") as caught,
    ):
        pipelines.build_wheels(real, [AMD64])
    assert caught.value.exit_code == 24 and "'proof.counter': 41" in caught.value.why
    assert hashes(real) == before
    assert wine.processes(next((real.state / "prefix").glob("amd64-*"))) == []


@pytest.mark.wine
@pytest.mark.slow
def test_windows_python_runs_with_the_wheel_and_its_exit_status_comes_back(
    real: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "import glean_py, sys; print(ascii(glean_py.__file__)); print('to', file=sys.stderr); raise SystemExit(77)"
    assert pipelines.wine_run(real, None, WIN32, ["-c", code]) == 77
    out, err = capfd.readouterr()
    assert "site-packages" in out and "to" in err.split()


@pytest.mark.wine
@pytest.mark.slow
def test_a_build_that_fails_leaves_the_stamp_of_the_last_good_one(
    built: windows.Built, real: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = real.stamp("wheel-win_amd64")
    before = stamp.path.read_text()
    monkeypatch.setattr(pipelines, "audit_wheel", lambda *_: (_ for _ in ()).throw(CommandFailedError("x", why="y")))
    with built.checkout.changed("glean_py/py.typed", lambda text: text + "\n"), pytest.raises(CommandFailedError):
        pipelines.build_wheels(real, [AMD64])
    assert stamp.path.read_text() == before
    assert [wheel.fresh for wheel in pipelines.build_wheels(real, [AMD64])] == [False]


def test_a_stamp_without_its_wheel_is_not_up_to_date(ws: Workspace) -> None:
    stamp = ws.stamp("wheel-win_amd64")
    stamp.write("key", files=[ws.dist / "gone.whl"], facts={"name": "gone.whl"})
    assert not stamp.is_current("key")


def test_publishing_is_one_step_and_keeps_other_versions(ws: Workspace, tmp_path: Path) -> None:
    wheel = tmp_path / "glean_py-2.0-py3-none-win32.whl"
    wheel.write_bytes(b"whole")
    (ws.dist).mkdir()
    (ws.dist / "glean_py-1.0-py3-none-win32.whl").write_bytes(b"old")
    (ws.dist / wheel.name).write_bytes(b"earlier")
    assert pipelines._publish(wheel, ws) == ws.dist / wheel.name
    assert {path.name: path.read_bytes() for path in ws.dist.iterdir()} == {
        "glean_py-1.0-py3-none-win32.whl": b"old",
        wheel.name: b"whole",
    }
