"""glean_steps.wine: which Wine is used, prefixes, sessions, and what real Windows programs see and hand back."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import windows

from glean_steps import runner, system, toolchain, wine
from glean_steps.errors import (
    CommandFailedError,
    DeadlineError,
    MissingToolError,
    NotProvableError,
    StepError,
)
from glean_steps.runner import Completed
from glean_steps.targets import WINDOWS, Target
from glean_steps.wine import Provider, Wine
from glean_steps.workspace import Workspace

AMD64, WIN32 = WINDOWS[:2]
BOTH = pytest.mark.parametrize("target", WINDOWS, ids=lambda target: target.arch)


class Recorder:
    """Stands in for `runner.run`: keeps every argv; `answers` maps the start of a command line to what it does."""

    def __init__(self, answers: Mapping[str, Callable[[list[str]], str] | str | int] | None = None) -> None:
        self.calls: list[str] = []
        self._answers = answers or {}

    def __call__(self, argv: Sequence[object], **options: Any) -> Completed:
        words = [str(word) for word in argv]
        line = " ".join(words)
        self.calls.append(line)
        for start, given in self._answers.items():
            if not line.startswith(start):
                continue
            answer = given(words) if callable(given) else given
            if isinstance(answer, int):
                if options.get("check", True):
                    raise CommandFailedError(f"{words[0]} failed", why=line, status=answer)
                return Completed(words, answer, "")
            return Completed(words, 0, answer)
        return Completed(words, 0, "wine-9.9\n" if line.endswith(" --version") else "")


# --- which Wine -------------------------------------------------------------------------------------------------------


@pytest.fixture
def debian_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Debian machine with a 64-bit Wine alone, where this process may do everything."""
    monkeypatch.setattr(wine, "has_wine32", lambda: False)
    monkeypatch.setattr(system, "is_root", lambda: True)
    monkeypatch.setattr(system, "why_not_installed", lambda: "")
    monkeypatch.setattr(system, "find", lambda tool: Path("/bin") / tool.name)
    monkeypatch.setattr(system, "find_program", lambda name, folders=(): Path("/bin") / name)
    monkeypatch.setattr(system, "os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"})


@pytest.mark.usefixtures("debian_root")
def test_64_bit_programs_run_in_this_machines_wine(ws: Workspace) -> None:
    run = Recorder()
    assert wine.provider_for(AMD64, replace(ws, start=run)) == Provider(
        "this machine's Wine", "wine-9.9", "/bin/wine64", "64"
    )
    assert run.calls == ["/bin/wine64 --version"]


@pytest.mark.usefixtures("debian_root")
def test_32_bit_programs_run_in_this_machines_wine_where_its_32_bit_half_is_installed(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wine, "has_wine32", lambda: True)
    run = Recorder()
    assert wine.provider_for(WIN32, replace(ws, start=run)).name == "this machine's Wine, 32-bit"
    assert run.calls == ["wine --version"], "nothing is installed that is not needed"


@pytest.mark.usefixtures("debian_root")
def test_a_missing_32_bit_half_is_installed_where_the_distribution_can(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[bool] = []
    monkeypatch.setattr(wine, "has_wine32", lambda: bool(installed))

    def install(words: list[str]) -> str:
        if "--simulate" not in words:
            installed.append(True)
        return "Inst libwine:i386\n"

    run = Recorder({"apt-get install": install})
    assert wine.provider_for(WIN32, replace(ws, start=run)) == Provider(
        "this machine's Wine, 32-bit", "wine-9.9", "wine", "64+32"
    )
    assert "dpkg --add-architecture i386" in run.calls
    assert "dpkg --remove-architecture i386" not in run.calls


@pytest.mark.usefixtures("debian_root")
@pytest.mark.parametrize("trial", [100, "Remv wine64 [8.0]\nInst wine32:i386\n"], ids=["refused", "would remove"])
def test_a_32_bit_half_that_cannot_be_installed_beside_the_other_leaves_no_trace_and_is_not_tried_again(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, trial: int | str
) -> None:
    monkeypatch.setattr(wine, "_PROVIDERS", {"win32": (wine._multiarch_wine32,)})
    run = Recorder({"apt-get install": trial})
    with pytest.raises(NotProvableError):
        wine.provider_for(WIN32, replace(ws, start=run))
    installs = [call for call in run.calls if call.startswith("apt-get install")]
    assert len(installs) == 1 and "--simulate" in installs[0], "the real installation was not to be tried"
    assert "dpkg --remove-architecture i386" in run.calls
    again = Recorder()
    with pytest.raises(NotProvableError):
        wine.provider_for(WIN32, replace(ws, start=again))
    assert again.calls == []


@pytest.mark.usefixtures("debian_root")
def test_an_architecture_that_was_there_before_stays(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wine, "_PROVIDERS", {"win32": (wine._multiarch_wine32,)})
    run = Recorder({"dpkg --print-foreign-architectures": "i386\n", "apt-get install": 100})
    with pytest.raises(NotProvableError):
        wine.provider_for(WIN32, replace(ws, start=run))
    assert not any("-architecture i386" in call for call in run.calls)


@pytest.mark.usefixtures("debian_root")
def test_the_private_root_is_made_once_from_the_archive_that_this_machine_uses(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wine, "_PROVIDERS", {"win32": (wine._private_wine32,)})
    listed = (
        "http://other.example/debian main Packages sid\n"
        "http://mirror.example/debian contrib Packages bookworm\n"
        "http://mirror.example/debian main Translations bookworm\n"
        "http://mirror.example/debian main Packages bookworm\n"
    )
    run = Recorder({"apt-get indextargets": listed})
    provider = wine.provider_for(WIN32, replace(ws, start=run))
    (made,) = [call for call in run.calls if call.startswith("debootstrap")]
    assert made.endswith(" http://mirror.example/debian") and " --arch=i386 " in made and " bookworm " in made
    assert provider.root is not None and (provider.root / ".complete").is_file()
    assert provider.root.is_relative_to(ws.cache)
    again = Recorder()
    assert wine.provider_for(WIN32, replace(ws, start=again)) == provider
    assert not any(call.startswith("debootstrap") for call in again.calls)


@pytest.mark.usefixtures("debian_root")
def test_a_private_root_that_failed_midway_is_not_taken_for_one(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wine, "_PROVIDERS", {"win32": (wine._private_wine32,)})
    listed = "http://m.example/debian main Packages bookworm\n"
    run = Recorder({"apt-get indextargets": listed, "debootstrap": 1})
    with pytest.raises(NotProvableError, match="no Wine here runs win32 programs"):
        wine.provider_for(WIN32, replace(ws, start=run))
    assert [path for path in (ws.cache / "wine32-root").iterdir() if path.is_dir()] == []


@pytest.mark.usefixtures("debian_root")
def test_where_no_wine_can_run_a_target_every_attempt_is_told(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "is_root", lambda: False)
    monkeypatch.setattr(system, "why_not_installed", lambda: "installing packages needs root")
    with pytest.raises(NotProvableError) as caught:
        wine.provider_for(WIN32, replace(ws, start=Recorder()))
    assert caught.value.exit_code == 28
    assert "a private 32-bit root needs root" in caught.value.why
    assert "wine32:i386" in caught.value.fix


@pytest.mark.usefixtures("debian_root")
def test_offline_no_private_root_is_made(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_OFFLINE", "1")
    monkeypatch.setattr(wine, "_PROVIDERS", {"win32": (wine._private_wine32,)})
    run = Recorder()
    with pytest.raises(NotProvableError, match="GLEAN_OFFLINE forbids making it"):
        wine.provider_for(WIN32, replace(ws, start=run))
    assert not any("debootstrap" in call for call in run.calls)


def test_without_wine_the_line_that_installs_it_is_told(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_INSTALL", "never")
    monkeypatch.setattr(system, "find", lambda tool: None)
    with pytest.raises(NotProvableError, match="missing: wine") as caught:
        wine.provider_for(AMD64, replace(ws, start=Recorder()))
    assert "apt-get install" in caught.value.fix


@pytest.mark.usefixtures("debian_root")
def test_a_wine_that_was_found_is_remembered_until_another_is_installed(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "wine"
    program.parent.mkdir()
    program.write_text("")
    monkeypatch.setenv("PATH", str(program.parent))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    first, second, third = Recorder(), Recorder(), Recorder({"/bin/wine64 --version": "wine-10.0\n"})
    found = wine.remembered_provider(AMD64, replace(ws, start=first))
    assert wine.remembered_provider(AMD64, replace(ws, start=second)) == found and second.calls == []
    os.utime(program, (1, 1))
    wine.remembered_provider(AMD64, replace(ws, start=third))
    assert third.calls == ["/bin/wine64 --version"]


def test_a_prefix_is_named_after_everything_that_shapes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider("this machine's Wine", "wine-8.0")
    seen = [wine.prefix_key(provider, AMD64)]
    assert wine.prefix_key(replace(provider), AMD64) == seen[0]
    seen.append(wine.prefix_key(provider, WIN32))
    seen.append(wine.prefix_key(replace(provider, version="wine-9.0"), AMD64))
    seen.append(wine.prefix_key(replace(provider, name="another"), AMD64))
    seen.append(wine.prefix_key(replace(provider, loader="/usr/lib/wine/wine64"), AMD64))
    seen.append(wine.prefix_key(replace(provider, halves="64+32"), AMD64))
    for name, value in (("_REGISTRY", "REGEDIT4\n"), ("_SHIM_C", "int x;"), ("_RECIPE", 99)):
        with monkeypatch.context() as inner:
            inner.setattr(wine, name, value)
            seen.append(wine.prefix_key(provider, AMD64))
    assert len(set(seen)) == len(seen)


@pytest.mark.usefixtures("debian_root")
def test_a_32_bit_half_that_is_installed_later_makes_another_64_bit_prefix_and_keeps_its_loader(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's `wine` starts the 32-bit loader from then on, which ends with 53 in a prefix without syswow64."""
    before = wine.provider_for(AMD64, replace(ws, start=Recorder()))
    monkeypatch.setattr(wine, "has_wine32", lambda: True)
    after = wine.provider_for(AMD64, replace(ws, start=Recorder()))
    assert before.loader == after.loader == "/bin/wine64"
    assert wine.prefix_key(before, AMD64) != wine.prefix_key(after, AMD64)
    assert Wine(ws, after, Path("/p"), AMD64).env()["WINELOADER"] == "/bin/wine64"


# --- the environment --------------------------------------------------------------------------------------------------


def test_a_program_can_open_no_window_and_no_python_setting_reaches_it(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Debian 13's Wine aborts where TMPDIR is set.
    names = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "WINELOADER", "TMPDIR"}
    for name in names:
        monkeypatch.setenv(name, "/here")
    monkeypatch.setenv("DISPLAY", ":0")
    env = Wine(ws, Provider("Wine", "1"), Path("/p"), WIN32).env({"MORE": "1", "HOME": None})
    assert env["WINEPREFIX"] == "/p" and env["WINEARCH"] == "win32"
    assert env["DISPLAY"] == "" and env["WAYLAND_DISPLAY"] == "" and env["MORE"] == "1"
    assert not {*names, "HOME"} & set(env)


def test_what_the_caller_wants_to_see_of_wine_is_shown(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WINEDEBUG", raising=False)
    warm = Wine(ws, Provider("Wine", "1"), Path("/p"), AMD64)
    assert warm.env()["WINEDEBUG"] == "-all"
    monkeypatch.setenv("WINEDEBUG", "+loaddll")
    assert warm.env()["WINEDEBUG"] == "+loaddll"


def test_a_path_is_written_as_windows_programs_read_it() -> None:
    assert wine.windows_path(Path("/tmp/Größe 世界/a.exe")) == "Z:\\tmp\\Größe 世界\\a.exe"


# --- finding and ending the programs of a prefix ----------------------------------------------------------------------


@pytest.fixture
def native(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program of this machine that carries the variable of a prefix."""
    started: list[subprocess.Popen[str]] = []

    def start(prefix: Path, code: str = "") -> subprocess.Popen[str]:
        words = [sys.executable, "-c", f"import signal, time\n{code}\nprint('up', flush=True)\ntime.sleep(600)"]
        env = {**os.environ, "WINEPREFIX": str(prefix), windows.MARK: windows.RUN}
        process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_programs_of_a_prefix_are_found_and_no_others(tmp_path: Path, native: Any) -> None:
    mine, other, longer = native(tmp_path / "p"), native(tmp_path / "q"), native(tmp_path / "p2")
    assert wine.processes(tmp_path / "p") == [mine.pid]
    wine.end_prefix(tmp_path / "p")
    assert mine.wait(timeout=1800) == -signal.SIGTERM
    assert wine.processes(tmp_path / "p") == []
    assert other.poll() is None and longer.poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_program_that_ignores_being_asked_is_killed(
    tmp_path: Path, native: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wine, "END_TIMEOUT_S", 0.3)
    stubborn = native(tmp_path / "p", "signal.signal(15, signal.SIG_IGN); signal.signal(2, signal.SIG_IGN)")
    wine.end_prefix(tmp_path / "p")
    assert stubborn.wait(timeout=1800) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_end_waits_for_a_program_that_has_no_environment_any_more(tmp_path: Path, native: Any) -> None:
    """A wineserver that ends is like that for a moment, and has its lock still; the next one could not start then."""
    fading = """
import ctypes
def fade(*_):
    start, end = (int(word) for word in open("/proc/self/stat").read().rpartition(")")[2].split()[47:49])
    ctypes.memset(start, 0, end - start)
    time.sleep(1)
    raise SystemExit(3)
signal.signal(signal.SIGTERM, fade)"""
    process = native(tmp_path / "p", fading)
    wine.end_prefix(tmp_path / "p")
    assert process.poll() == 3


def test_a_prefix_with_no_programs_ends_at_once(tmp_path: Path) -> None:
    wine.end_prefix(tmp_path / "p")
    assert wine.processes(tmp_path / "p") == []


# --- real prefixes ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A checkout whose prefixes are made."""
    return windows.built_checkout(tmp_path_factory).checkout.ws


@pytest.fixture(scope="module")
def sessions(real: Workspace) -> Iterator[dict[str, Wine]]:
    with wine.session(AMD64, real) as amd64, wine.session(WIN32, real) as win32:
        yield {"amd64": amd64, "win32": win32}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Target, str, str], Path]:
    """Compile a C program for a target, once for all tests."""
    folder = tmp_path_factory.mktemp("programs")
    made: dict[tuple[str, str], Path] = {}

    def build(target: Target, name: str, source: str) -> Path:
        if (target.arch, name) not in made:
            file = folder / f"{name}.c"
            file.write_text(source)
            program = folder / f"{name}-{target.arch}.exe"
            subprocess.run([target.linker, "-O1", "-o", program, file], check=True, timeout=1800)
            made[target.arch, name] = program
        return made[target.arch, name]

    return build


EXIT = "#include <stdlib.h>\nint main(int c, char **v) { return c > 1 ? atoi(v[1]) : 0; }\n"
CAT = (
    "#include <stdio.h>\nint main(void) { int c, n = 0; while ((c = getchar()) != EOF) n++; "
    'printf("%d bytes, then the end\\n", n); return 0; }\n'
)
CRASH = "int main(void) { volatile int *nowhere = 0; *nowhere = 1; return 0; }\n"
ABORT = '#include <stdlib.h>\n#include <stdio.h>\nint main(void) { puts("so far"); fflush(stdout); abort(); }\n'
WINDOW = '#include <windows.h>\nint main(void) { return MessageBoxA(0, "click me", "a dialog", MB_OK) ? 0 : 5; }\n'


@pytest.mark.wine
@pytest.mark.slow
@BOTH
def test_a_prefix_is_whole_and_belongs_to_its_architecture(real: Workspace, target: Target) -> None:
    provider, prefix = wine.ensure_prefix(target, real)
    assert prefix == real.state / "prefix" / f"{target.arch}-{wine.prefix_key(provider, target)}"
    assert f"#arch={target.wine_arch}" in (prefix / "system.reg").read_text()
    user = (prefix / "user.reg").read_text()
    assert '"ShowCrashDialog"=dword:00000000' in user and '"Version"="win10"' in user and '"Graphics"="null"' in user
    system32 = prefix / "drive_c" / "windows" / "system32"
    assert [path.name for path in system32.glob("bcryptprimitives.*")] == ["bcryptprimitives.dll"]


@pytest.mark.wine
@BOTH
def test_exit_statuses_come_back_true(sessions: dict[str, Wine], programs: Any, target: Target) -> None:
    program = programs(target, "exit", EXIT)
    for status in (0, 1, 2, 3, 42, 53, 126, 127, 128, 137, 254, 255):
        assert sessions[target.arch].run([program, status], timeout_s=600, check=False).status == status


@pytest.mark.wine
def test_every_exit_status_from_0_to_255_comes_back_true(sessions: dict[str, Wine], programs: Any) -> None:
    program = programs(AMD64, "exit", EXIT)
    script = f'for status in $(seq 0 255); do wine "{program}" $status </dev/null; echo "$status $?"; done'
    done = runner.run(["sh", "-c", script], timeout_s=300, env=sessions["amd64"].env(), quiet=True)
    pairs = [line.split() for line in done.stdout.splitlines()]
    assert len(pairs) == 256 and [pair for pair in pairs if pair[0] != pair[1]] == [], done.stdout[-5000:]


@pytest.mark.wine
def test_a_failing_program_is_an_error_with_its_status_and_last_lines(sessions: dict[str, Wine], programs: Any) -> None:
    with pytest.raises(CommandFailedError) as caught:
        sessions["amd64"].run([programs(AMD64, "abort", ABORT)], timeout_s=600)
    assert caught.value.status == 3 and "so far" in caught.value.tail


@pytest.mark.wine
@BOTH
def test_a_program_has_a_standard_input_that_is_empty(sessions: dict[str, Wine], programs: Any, target: Target) -> None:
    done = sessions[target.arch].run([programs(target, "cat", CAT)], timeout_s=600)
    assert done.stdout.strip() == "0 bytes, then the end"


@pytest.mark.wine
@BOTH
def test_a_program_that_crashes_ends_by_itself_and_no_dialog_waits(
    sessions: dict[str, Wine], programs: Any, target: Target
) -> None:
    done = sessions[target.arch].run([programs(target, "crash", CRASH)], timeout_s=600, check=False)
    assert done.status == 5, "0xC0000005 modulo 256: an access violation"


@pytest.mark.wine
@BOTH
def test_a_path_with_spaces_and_letters_of_all_kinds_reaches_a_program(
    sessions: dict[str, Wine], programs: Any, target: Target, tmp_path: Path
) -> None:
    folder = tmp_path / "Größe 世界"
    folder.mkdir()
    program = shutil.copy2(programs(target, "exit", EXIT), folder / "ein Programm.exe")
    assert sessions[target.arch].run([program, "7"], timeout_s=600, cwd=folder, check=False).status == 7


@pytest.mark.wine
def test_a_session_inside_a_session_is_the_same_one(sessions: dict[str, Wine], real: Workspace) -> None:
    with wine.session(AMD64, real) as inner:
        assert inner is sessions["amd64"]
    assert wine.processes(sessions["amd64"].prefix), "the inner one must not end the outer one's server"


# --- what Rust needs --------------------------------------------------------------------------------------------------

RUST = """\
use std::collections::HashMap;
fn main() {
    // Every map is seeded with ProcessPrng of bcryptprimitives.dll.
    let map: HashMap<&str, i32> = [("a", 1)].into_iter().collect();
    let caught = std::panic::catch_unwind(|| panic!("caught"));
    println!("{} {}", map["a"], caught.is_err());
}
"""


@pytest.mark.parametrize("is_there", [True, False])
def test_a_shim_is_built_where_the_dll_is_missing_and_nowhere_else(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    dll = tmp_path / "prefix" / "drive_c" / "windows" / "system32" / "bcryptprimitives.dll"
    dll.parent.mkdir(parents=True)
    if is_there:
        dll.write_bytes(b"MZ")
    built: list[Path] = []
    monkeypatch.setattr(wine, "_build_shim", lambda target, path, ws: built.append(path))
    wine._fill_prefix(Wine(replace(ws, start=Recorder()), Provider("Wine", "1"), tmp_path / "prefix", AMD64))
    assert built == ([] if is_there else [dll])


@pytest.fixture(scope="module")
def rust_programs(real: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rust")
    (folder / "main.rs").write_text(RUST)
    made = {}
    for target in WINDOWS:
        rust = toolchain.rust_for(target, real)
        program = folder / f"rust-{target.arch}.exe"
        runner.run(
            [
                *(rust.rustc, "--edition", "2021", "--target", target.triple, f"-Clinker={target.linker}"),
                *(("--sysroot", rust.sysroot) if rust.sysroot else ()),
                *("-Clink-arg=-static-libgcc", "-o", program, folder / "main.rs"),
            ],
            timeout_s=300,
        )
        made[target.arch] = program
    return made


@pytest.mark.wine
@pytest.mark.slow
@BOTH
def test_a_rust_program_starts_and_without_the_shim_it_does_not(
    sessions: dict[str, Wine], rust_programs: dict[str, Path], target: Target
) -> None:
    session = sessions[target.arch]
    done = session.run([rust_programs[target.arch]], timeout_s=600, split_stderr=True)
    assert done.stdout.strip() == "1 true"
    dll = session.prefix / "drive_c" / "windows" / "system32" / "bcryptprimitives.dll"
    if b"Wine builtin DLL" in dll.read_bytes()[:256]:
        pytest.skip(f"{session.provider.version} has its own bcryptprimitives.dll, so there is no shim to take away")
    aside = dll.with_name("aside.dll")
    dll.rename(aside)
    try:
        assert session.run([rust_programs[target.arch]], timeout_s=600, check=False).status != 0
    finally:
        aside.rename(dll)


# --- making, damaging, interrupting prefixes --------------------------------------------------------------------------


@pytest.fixture
def remembered(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(wine, "remembered_provider", lambda target, ws: Provider("Wine", "wine-9.9"))
    return ws


def test_a_wineboot_that_makes_nothing_leaves_no_prefix(remembered: Workspace) -> None:
    with pytest.raises(CommandFailedError, match="wineboot made no prefix"):
        wine.ensure_prefix(AMD64, replace(remembered, start=Recorder()))
    assert list((remembered.state / "prefix").iterdir()) == []


def test_a_prefix_of_another_key_goes_and_what_a_killed_run_left_unfinished_too_with_its_programs(
    remembered: Workspace, native: Any
) -> None:
    """With a stand-in for wineboot."""
    folder = remembered.state / "prefix"
    gone = subprocess.Popen(["true"])
    gone.wait()
    old, unfinished = folder / "amd64-0123456789ab", folder / f".amd64-fedcba987654.xyz.{gone.pid}.part"
    other = folder / "win32-0123456789ab"
    for each in (old, unfinished, other):
        each.mkdir(parents=True)
    survivors = [native(old), native(unfinished)]
    stranger = native(other)

    class Boot(Recorder):
        def __call__(self, argv: Sequence[object], **options: Any) -> Completed:
            if list(argv)[1:] == ["wineboot", "-i"]:
                prefix = Path(options["env"]["WINEPREFIX"])
                (prefix / "drive_c" / "windows" / "system32").mkdir(parents=True)
                (prefix / "drive_c" / "windows" / "system32" / "bcryptprimitives.dll").touch()
                (prefix / "system.reg").touch()
            return super().__call__(argv, **options)

    run = Boot()
    _, prefix = wine.ensure_prefix(AMD64, replace(remembered, start=run))
    assert sorted(folder.iterdir()) == sorted([prefix, other])
    assert [process.wait(timeout=1800) for process in survivors] == [-signal.SIGTERM] * 2
    assert stranger.poll() is None
    assert not any("gcc" in call for call in run.calls), "a Wine that has the DLL gets no shim"
    calls = len(run.calls)
    wine.ensure_prefix(AMD64, replace(remembered, start=run))
    assert len(run.calls) == calls, "a finished prefix costs nothing"


def test_the_shim_needs_the_targets_compiler(ws: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLEAN_INSTALL", "never")
    monkeypatch.setattr(system, "find", lambda tool: None)
    with pytest.raises(MissingToolError, match="mingw-win32"):
        wine._build_shim(WIN32, tmp_path / "bcryptprimitives.dll", replace(ws, start=Recorder()))


@pytest.mark.wine
@pytest.mark.slow
def test_a_session_ends_everything_when_its_block_fails_and_replaces_what_a_killed_run_left(
    sessions: dict[str, Wine], real: Workspace, tmp_path: Path
) -> None:
    """In a copy of the real prefix, whose server is another one."""
    prefix = sessions["amd64"].prefix
    own = Workspace(tmp_path / "own", real.cache)
    copy = own.state / "prefix" / prefix.name
    copy.parent.mkdir(parents=True)
    subprocess.run(["cp", "--archive", "--reflink=auto", prefix, copy], check=True)
    env = {**replace(sessions["amd64"], prefix=copy).env(), windows.MARK: windows.RUN}
    subprocess.run(["wineserver", "-p"], env=env, check=True, timeout=1800)
    (left,) = wine.processes(copy)
    with pytest.raises(StepError), wine.session(AMD64, own) as session:
        assert session.prefix == copy and left not in wine.processes(copy)
        session.run(["cmd", "/c", "start", "/b", "ping", "-n", "600", "127.0.0.1"], timeout_s=600, detached=True)
        assert len(wine.processes(copy)) > 1
        raise StepError("the block failed")
    assert wine.processes(copy) == []
    assert wine.processes(prefix), "the other prefix's programs are not its business"


@pytest.mark.wine
@pytest.mark.slow
def test_a_dialog_that_a_program_opens_meets_the_deadline(sessions: dict[str, Wine], programs: Any) -> None:
    """Nobody can click it, with or without a desktop to draw it on. It is the last test because it ends the session."""
    program = programs(WIN32, "window", WINDOW)
    try:
        done = sessions["win32"].run([program], timeout_s=4, check=False)
    except DeadlineError as error:
        assert error.exit_code == 20 and wine.processes(sessions["win32"].prefix) == []
    else:
        assert done.status in (0, 5), "it was refused"
