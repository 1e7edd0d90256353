"""Whole commands that meet errors, hangs, signals and full disks; docs/when-things-go-wrong.md lists them.

Each runs `nox` or `invoke` as a user would, in a real checkout of the tests' own whose path holds a space and letters
outside ASCII. After each, nothing that it started runs any more.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import windows

from glean_steps import pipelines, wine, workspace
from glean_steps.targets import WINDOWS
from glean_steps.workspace import Workspace

pytestmark = [pytest.mark.wine, pytest.mark.slow]
AMD64, WIN32 = WINDOWS[:2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> windows.Built:
    return windows.built_checkout(tmp_path_factory)


@pytest.fixture
def own(built: windows.Built) -> windows.Checkout:
    return built.checkout


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(windows.MARK, windows.RUN)
    yield
    if not windows.until(lambda: windows.left_behind() == [], seconds=600):
        left = windows.left_behind()
        windows.end_left_behind()  # Else the next test would wait for the lock of this one.
        pytest.fail(f"still running: {left}")


def hashes(ws: Workspace) -> dict[str, str]:
    return {path.name: workspace.file_sha256(path) for path in ws.dist.iterdir()}


def every_file_in_dist_is_a_whole_wheel(ws: Workspace) -> bool:
    """Audit everything in dist/, hidden and unfinished files included."""
    for path in ws.dist.iterdir():
        (target,) = [each for each in WINDOWS if path.name.endswith(f"-{each.platform_tag}.whl")]
        pipelines.audit_wheel(path, target, ws)
    return True


def make_again(ws: Workspace, *names: str) -> None:
    """Let the next run make what the stamps of these names stand for."""
    for name in names:
        (ws.state / "stamps" / f"{name}.json").unlink(missing_ok=True)


# --- where it runs ----------------------------------------------------------------------------------------------------


def test_a_path_with_spaces_and_letters_outside_ascii_builds_and_proves_both_wheels(built: windows.Built) -> None:
    ws = built.checkout.ws
    assert " " in ws.root.name and not ws.root.name.isascii()
    assert len(hashes(ws)) == 2 and every_file_in_dist_is_a_whole_wheel(ws)
    for target in WINDOWS:
        assert f"Python {windows.EXACT} {target.arch}" in built.first.out
    assert "earlier; up to date" not in built.first.out
    assert all(digest in built.first.out for digest in hashes(ws).values())


def test_a_fresh_checkout_with_a_warm_cache_needs_no_network_at_all(built: windows.Built) -> None:
    """Its first run had GLEAN_OFFLINE and was in a network namespace without any interface that is up."""
    if not built.offline:
        pytest.skip(built.why_online)
    ask = "import socket; socket.create_connection(('127.0.0.1', 9), timeout=5)"
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", ask], capture_output=True, text=True, check=False, timeout=1800
    )
    assert "Network is unreachable" in done.stderr, "such a namespace was to have no network"
    assert built.first.status == 0 and "up to date" not in built.first.out
    for step in (
        "cross-compile",
        "make a Wine prefix for win32",
        f"Windows Python {windows.EXACT} amd64 with pip",
        "prove ",
    ):
        assert f"== {step}" in built.first.err


def test_offline_with_an_empty_cache_names_the_file_it_lacks(own: windows.Checkout, tmp_path: Path) -> None:
    done = own.run(
        *("invoke", "wine-setup", "--python", "3.8"),
        env={"GLEAN_OFFLINE": "1", "GLEAN_CACHE": str(tmp_path / "empty")},
    )
    assert done.status == 21, done.err
    assert "python-3.8.10-embed-amd64.zip" in done.err and "GLEAN_OFFLINE" in done.err


# --- what fails -------------------------------------------------------------------------------------------------------


def test_a_rust_syntax_error_ends_the_build_with_19_and_cargos_last_lines(own: windows.Checkout) -> None:
    before = hashes(own.ws)
    with own.changed("glean_core/src/lib.rs", lambda text: text + "\nfn oops( {\n"):
        done = own.run("nox", "-s", "build_windows")
    assert done.status == 19, done.err
    error = done.err.rpartition("error: cargo failed")[2]
    assert error.startswith(" with exit status 101") and "fn oops( {" in error and "could not compile" in error
    assert hashes(own.ws) == before


def test_a_program_that_hangs_under_wine_is_ended_with_its_whole_family_and_its_last_output_shown(
    own: windows.Checkout,
) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('so far', child.poll(), flush=True)\n"
        "time.sleep(600)\n"
    )
    started = own.start("invoke", "wine-run", "--", "-c", code, env={"GLEAN_WINE_TIMEOUT": "8"})
    (prefix,) = (own.ws.state / "prefix").glob("amd64-*")
    assert windows.until(lambda: sum("python.exe" in line for line in windows.left_behind()) >= 2), started.lines
    done = started.end()
    assert done.status == 20, done.err
    assert "did not end within 8 s" in done.err and done.err.rstrip().endswith("last lines:\n    so far None")
    assert "so far None" in done.out
    assert wine.processes(prefix) == []


def test_the_exit_status_of_a_windows_program_is_that_of_the_command(own: windows.Checkout) -> None:
    done = own.run("invoke", "wine-run", "--", "-c", "print('last words'); raise SystemExit(93)")
    assert done.status == 93 and done.out.splitlines() == ["last words"]


def test_a_damaged_prefix_is_noticed_and_made_again(own: windows.Checkout) -> None:
    (prefix,) = (own.ws.state / "prefix").glob("amd64-*")
    assert (prefix / ".complete").exists()
    (prefix / "system.reg").unlink()
    done = own.run("invoke", "wine-run", "--", "-c", "print('well again')")
    assert done.status == 0 and "well again" in done.out, done.err
    assert "make a Wine prefix for amd64" in done.err and (prefix / "system.reg").exists()


# --- disks ------------------------------------------------------------------------------------------------------------

MOUNTED = (
    'mount -t tmpfs -o "$1" none "$2" && folder=$2 && shift 2 && { "$@"; status=$?; ls -A "$folder"; exit $status; }'
)


@pytest.mark.parametrize(
    ("options", "why"), [("size=100k", "No space left on device"), ("ro", "Read-only file system")]
)
def test_a_full_or_read_only_dist_is_told_and_holds_no_half_wheel(
    built: windows.Built, own: windows.Checkout, options: str, why: str
) -> None:
    if not built.offline:
        pytest.skip(built.why_online)
    before = hashes(own.ws)
    done = own.run(
        *("nox", "-s", "build_windows(win_amd64)"),
        before=["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTED, "sh", options, own.ws.dist],
    )
    assert done.status == 18, done.err
    assert f"error: cannot write {own.ws.dist}" in done.err and why in done.err
    assert done.out.strip() == "", "the closing table, or a file that was left in dist/"
    assert hashes(own.ws) == before


# --- interruptions ----------------------------------------------------------------------------------------------------


def start_in_cargo(own: windows.Checkout) -> windows.Running:
    source = own.ws.crate / "src" / "lib.rs"
    source.write_text(source.read_text() + "// One more line to compile.\n")
    started = own.start("nox", "-s", "build_windows")
    started.until("Compiling glean_core")
    return started


def start_in_prefix(own: windows.Checkout) -> windows.Running:
    make_again(own.ws, "wheel-win_amd64")
    (prefix,) = (own.ws.state / "prefix").glob("amd64-*")
    (prefix / ".complete").unlink()
    started = own.start("nox", "-s", "build_windows")
    started.until("wineboot -i")
    assert windows.until(lambda: any("wineserver" in line for line in windows.left_behind()))
    return started


def start_in_proof(own: windows.Checkout) -> windows.Running:
    make_again(own.ws, "wheel-win_amd64", f"installed-{windows.PYTHON.version}-amd64")
    started = own.start("nox", "-s", "build_windows")
    started.until("== prove")
    assert windows.until(lambda: any("python.exe" in line for line in windows.left_behind()))
    return started


POINTS = {"cargo": start_in_cargo, "prefix": start_in_prefix, "proof": start_in_proof}


@pytest.mark.parametrize(
    ("point", "number"),
    [
        ("cargo", signal.SIGINT),
        ("cargo", signal.SIGKILL),
        ("prefix", signal.SIGKILL),
        ("prefix", signal.SIGTERM),
        ("proof", signal.SIGINT),
        ("proof", signal.SIGTERM),
        ("proof", signal.SIGKILL),
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else value,
)
def test_an_interrupted_build_leaves_no_program_and_no_half_wheel_and_the_next_run_makes_it_good(
    own: windows.Checkout, point: str, number: signal.Signals
) -> None:
    """After kill -9 nobody is left to end Wine's daemons; the next run does that, too."""
    started = POINTS[point](own)
    started.send(number)
    done = started.end()
    if number == signal.SIGKILL:
        assert done.status == -signal.SIGKILL
    else:
        assert done.status == 130, done.err
        assert windows.until(lambda: windows.left_behind() == [], seconds=600), windows.left_behind()
    assert every_file_in_dist_is_a_whole_wheel(own.ws)
    again = own.run("nox", "-s", "build_windows")
    assert again.status == 0, again.err
    assert len(hashes(own.ws)) == 2 and every_file_in_dist_is_a_whole_wheel(own.ws)
    unfinished = [path for path in own.ws.state.rglob("*.part") if "tools" not in path.parts]
    assert unfinished == [], "the next run was to sweep them"


def test_of_two_runs_in_one_checkout_the_second_waits_and_says_for_whom(own: windows.Checkout, tmp_path: Path) -> None:
    wait = "[time.sleep(0.05) for _ in iter(lambda: os.path.exists(sys.argv[1]), True)]"
    code = f"import os, sys, time; print('up', flush=True); {wait}"
    first = own.start("invoke", "wine-run", "--", "-c", code, wine.windows_path(tmp_path / "go on"))
    assert windows.until(lambda: "up\n" in first.out), first.lines
    second = own.start("nox", "-s", "build_windows")
    second.until(f"waiting for process {first.process.pid} (")
    (line,) = [line for line in second.lines if "waiting for process" in line]
    assert "wine-run" in line and str(own.ws.state / "lock") in line
    assert first.process.poll() is None and second.process.poll() is None
    (tmp_path / "go on").touch()
    assert first.end().status == 0
    done = second.end()
    assert done.status == 0 and done.out.count("earlier; up to date") == 2, done.err


# --- tests that fail --------------------------------------------------------------------------------------------------


def test_failing_tests_under_wine_fail_their_suites_and_the_command_with_26(own: windows.Checkout) -> None:
    """A Python and a Rust test, each named in the closing table with what it said above it."""
    python, rust = own.ws.root / "tests" / "bindings" / "test_wrong.py", own.ws.crate / "tests" / "wrong.rs"
    for other in python.parent.glob("test_*.py"):
        if other.name != "test_counter.py":
            other.unlink()
    shutil.rmtree(rust.parent)
    rust.parent.mkdir()
    python.write_text("def test_wrong() -> None:\n    assert 'what was said' == 'last'\n")
    rust.write_text('#[test]\nfn wrong() {\n    panic!("said by Rust");\n}\n')
    quicker = {"CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "0"}
    done = own.run(
        "nox", "-s", "test_windows", "--", "--arch", "amd64", "--python", windows.PYTHON.version, env=quicker
    )
    assert done.status == 26, done.err
    asked, exact = windows.PYTHON.version, windows.EXACT
    name = f"Python, Wine {exact} amd64" + ("" if exact == asked else f" (for {asked})")
    rows = [line for line in done.out.splitlines() if ", Wine " in line and "  " in line]
    assert [(line.partition("  ")[0], line.split()[-1]) for line in rows] == [
        ("Rust, Wine amd64", "FAILED"),
        (name, "FAILED"),
    ]
    assert "Rust, Wine amd64: failed: wrong" in done.out
    assert f"{name}: failed: tests.bindings.test_wrong::test_wrong" in done.out
    assert "what was said" in done.err and "said by Rust" in done.err
    assert "2 of 2 suites failed" in done.err


def test_no_wineserver_is_left_after_any_of_it(own: windows.Checkout) -> None:
    below = b"WINEPREFIX=" + str(own.ws.root).encode()
    left = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and below in (entry / "environ").read_bytes():
                left.append((entry / "cmdline").read_bytes())
        except OSError:
            continue
    assert left == []
