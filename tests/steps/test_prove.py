"""glean_steps.prove: a real wheel in a real Windows Python, and proofs that are not what they should be."""

from __future__ import annotations

import ast
import copy
import hashlib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import windows

from glean_steps import prove, windows_python, wine, workspace
from glean_steps.errors import CommandFailedError, ProofError
from glean_steps.windows_python import WindowsPython
from glean_steps.wine import Wine
from glean_steps.workspace import Workspace

PYTHON = {"python": "3.7.9", "pointer_bits": 64}
HOME = "Z:\\home\\user\\.glean\\python\\3.7.9-amd64\\Lib\\site-packages"
WHEEL = Path("dist/glean_py-0.1.0-py3-none-win_amd64.whl")
CORRECT: dict[str, Any] = {
    "ping": {
        "client_info": {
            "app_build": "Unknown",
            "app_display_version": "1.0",
            "architecture": "x86_64",
            "build_date": "1970-01-01T00:00:00+00:00",
            "client_id": "c0ffee00-dead-beef-cafe-000000000001",
            "first_run_date": "2024-05-06+02:00",
            "os": "Windows",
            "os_version": "10.0",
            "telemetry_sdk_build": "0.1.0",
        },
        "ping_info": {
            "seq": 0,
            "start_time": "2024-05-06T07:08:09.123+02:00",
            "end_time": "2024-05-06T07:08:09.456+02:00",
            "reason": "proof",
        },
        "metrics": {
            "boolean": {"proof.boolean": True},
            "counter": {"proof.counter": 42},
            "string": {"proof.string": "Grüße, 世界"},
            "uuid": {"proof.uuid": "01234567-89ab-cdef-0123-456789abcdef"},
        },
    },
    "path": "/submit/wheel-proof/wheel-proof/1/c0ffee00-dead-beef-cafe-000000000002",
    "python": "3.7.9",
    "pointer_bits": 64,
    "package": "Z:\\home\\user\\.glean\\python\\3.7.9-amd64\\lib\\site-packages\\glean_py\\__init__.py",
    "version": "0.1.0",
}
_ABSENT = object()


def changed(where: str, value: object) -> dict[str, Any]:
    """Return the right proof with one field replaced, or removed."""
    shown = copy.deepcopy(CORRECT)
    *path, last = where.split("/")
    inner = shown
    for name in path:
        inner = inner[name]
    if value is _ABSENT:
        del inner[last]
    else:
        inner[last] = value
    return shown


def test_a_right_proof_has_no_findings() -> None:
    assert prove.check(CORRECT, WHEEL, windows.AMD64, PYTHON, HOME) == []


@pytest.mark.parametrize(
    ("where", "value", "finding"),
    [
        ("ping", None, "ping body: None is not of type 'object'"),
        ("ping", _ABSENT, "ping body"),
        ("ping/extra", 1, "'extra' was unexpected"),
        ("ping/client_info", _ABSENT, "'client_info' is a required property"),
        ("ping/client_info/os", "Linux", "ping client_info/os"),
        ("ping/client_info/client_id", "no uuid", "ping client_info/client_id"),
        ("ping/client_info/client_id", 7, "ping client_info/client_id"),
        ("ping/client_info/first_run_date", "2024-05-06", "ping client_info/first_run_date"),
        ("ping/client_info/app_display_version", "2.0", "ping client_info/app_display_version"),
        *[
            (f"ping/client_info/{name}", _ABSENT, f"'{name}' is a required property")
            for name in CORRECT["ping"]["client_info"]
        ],
        ("ping/ping_info/seq", 1, "ping ping_info/seq"),
        ("ping/ping_info/reason", "", "ping ping_info/reason"),
        ("ping/ping_info/start_time", "2024-05-06T07:08+02:00", "ping ping_info/start_time"),
        ("ping/ping_info/end_time", "now", "ping ping_info/end_time"),
        *[
            (f"ping/ping_info/{name}", _ABSENT, f"'{name}' is a required property")
            for name in CORRECT["ping"]["ping_info"]
        ],
        ("ping/metrics", {}, "ping metrics"),
        ("ping/metrics/counter/proof.counter", 41, "ping metrics"),
        ("ping/metrics/counter/other", 1, "ping metrics"),
        ("ping/metrics/boolean/proof.boolean", False, "ping metrics"),
        ("ping/metrics/boolean/proof.boolean", 1, "ping metrics"),
        ("ping/metrics/string/proof.string", "GrÃ¼Ãe", "ping metrics"),
        ("ping/metrics/uuid/proof.uuid", "01234567-89AB-CDEF-0123-456789ABCDEF", "ping metrics"),
        ("ping/metrics/uuid", _ABSENT, "ping metrics"),
        ("pointer_bits", 32, "pointer_bits is 32, not 64"),
        ("python", "3.7.7", "python is '3.7.7', not '3.7.9'"),
        ("version", "0.0.9", "version is '0.0.9', not '0.1.0'"),
        ("version", _ABSENT, "version is None"),
        ("package", "Z:\\work\\checkout\\glean_py\\__init__.py", "not from site-packages"),
        ("package", _ABSENT, "not from site-packages"),
        ("path", "/submit/other/wheel-proof/1/x", "the submission path is"),
        ("path", "/submit/wheel-proof/wheel-proof/1", "the submission path is"),
        ("path", _ABSENT, "the submission path is"),
    ],
)
def test_each_wrong_field_is_found(where: str, value: object, finding: str) -> None:
    findings = prove.check(changed(where, value), WHEEL, windows.AMD64, PYTHON, HOME)
    assert len(findings) == 1 and finding in findings[0], findings


def test_a_proof_of_the_other_architecture_is_found() -> None:
    expected = {**PYTHON, "pointer_bits": 32}
    assert prove.check(CORRECT, WHEEL, windows.WIN32, expected, HOME) == ["pointer_bits is 64, not 32"]


def test_everything_wrong_is_found_at_once() -> None:
    shown = changed("ping/client_info/os", "Linux")
    shown["pointer_bits"], shown["version"] = 32, "9"
    assert len(prove.check(shown, WHEEL, windows.AMD64, PYTHON, HOME)) == 3


@pytest.mark.parametrize("shown", [{}, {"ping": []}, {"ping": {}, "path": None, "package": None}])
def test_what_is_no_proof_at_all_is_found(shown: dict[str, Any]) -> None:
    assert len(prove.check(shown, WHEEL, windows.AMD64, PYTHON, HOME)) >= 5


# --- a real wheel in a real Python under Wine -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> windows.Built:
    return windows.built_checkout(tmp_path_factory)


@pytest.fixture(scope="module")
def warm(built: windows.Built) -> Iterator[Wine]:
    with wine.session(windows.AMD64, built.checkout.ws) as running:
        yield running


@pytest.fixture
def real(built: windows.Built) -> Workspace:
    return built.checkout.ws


@pytest.fixture
def python(real: Workspace, warm: Wine) -> WindowsPython:
    return windows_python.choose(None, windows.AMD64, real)


@pytest.fixture
def wheel(real: Workspace) -> Path:
    (path,) = real.dist.glob("*-win_amd64.whl")
    return path


def rewritten(wheel: Path, into: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Return a copy of a wheel with changed members; pip does not compare them with RECORD."""
    into.mkdir()
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(into / wheel.name, "w") as target:
        for member in source.infolist():
            target.writestr(member, change(member.filename, source.read(member)))
    return into / wheel.name


@pytest.mark.wine
@pytest.mark.slow
@pytest.mark.parametrize("target", [windows.AMD64, windows.WIN32], ids=lambda target: target.arch)
def test_a_right_wheel_is_proven_and_hands_back_its_ping(built: windows.Built, target: Any) -> None:
    ws = built.checkout.ws
    (path,) = ws.dist.glob(f"*-{target.platform_tag}.whl")
    with wine.session(target, ws) as running:
        python = windows_python.choose(None, target, ws)
        proof = prove.prove_under_wine(target, python, path, ws)
    assert proof.ping["metrics"]["string"] == {"proof.string": "Grüße, 世界"}
    assert proof.ping["client_info"]["os"] == "Windows"
    assert proof.python.startswith(f"Python {windows.EXACT} {target.arch} (")
    assert proof.how == "Wine" and proof.where.startswith("wine-")
    again = json_ping(running.prefix)
    assert again == [], "the proof's data folder was to be removed"


def json_ping(prefix: Path) -> list[Path]:
    return [path for path in prefix.glob("drive_c/users/*/Temp/*/data/pending_pings/*")]


@pytest.mark.wine
@pytest.mark.slow
def test_a_wheel_with_a_library_that_cannot_be_loaded_is_not_proven(
    wheel: Path, python: WindowsPython, warm: Wine, real: Workspace, tmp_path: Path
) -> None:
    broken = rewritten(wheel, tmp_path / "w", lambda name, data: b"MZ nothing" if name.endswith(".dll") else data)
    with pytest.raises(CommandFailedError, match=r"failed with exit status 1") as caught:
        prove.prove_under_wine(windows.AMD64, python, broken, real)
    assert caught.value.exit_code == 19 and caught.value.status == 1
    assert any("glean_core" in line or "OSError" in line for line in caught.value.tail), caught.value.tail
    prove.install(wheel, python, warm, real)


@pytest.mark.wine
@pytest.mark.slow
def test_a_wheel_that_records_something_else_is_not_proven(
    wheel: Path, python: WindowsPython, warm: Wine, real: Workspace, tmp_path: Path
) -> None:
    def negate(name: str, data: bytes) -> bytes:
        if not name.endswith("metrics/boolean.py"):
            return data
        return (
            data
            + b"\n_as_is = BooleanMetricType.set\nBooleanMetricType.set = lambda self, value: _as_is(self, not value)\n"
        )

    with pytest.raises(ProofError, match="failed its smoke test") as caught:
        prove.prove_under_wine(windows.AMD64, python, rewritten(wheel, tmp_path / "w", negate), real)
    assert caught.value.exit_code == 24
    assert "ping metrics" in caught.value.why and "'proof.boolean': False" in caught.value.why
    prove.install(wheel, python, warm, real)


@pytest.mark.wine
@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "why"), [("print('not json')\n", "its last line was 'not json'"), ("", "it printed nothing")]
)
def test_a_proof_that_hands_back_no_ping_says_what_it_printed(
    script: str, why: str, built: windows.Built, wheel: Path, python: WindowsPython
) -> None:
    with (
        built.checkout.changed("tests/bindings/prove_wheel.py", lambda text: script),
        pytest.raises(ProofError, match="handed back no ping") as caught,
    ):
        prove.prove_under_wine(windows.AMD64, python, wheel, built.checkout.ws)
    assert caught.value.why == why


@pytest.mark.wine
@pytest.mark.slow
def test_a_wheel_is_installed_again_only_when_it_or_its_installed_files_changed(
    wheel: Path, python: WindowsPython, warm: Wine, real: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove.install(wheel, python, warm, real)
    installs: list[list[Path]] = []
    original = windows_python.pip_install

    def counted(into: WindowsPython, running: Wine, wheels: list[Path], **options: bool) -> None:
        installs.append(wheels)
        original(into, running, wheels, **options)

    monkeypatch.setattr(windows_python, "pip_install", counted)
    prove.install(wheel, python, warm, real)
    assert installs == []
    package = python.home / "Lib" / "site-packages" / "glean_py"
    (library,) = package.glob("*.dll")
    library.unlink()
    prove.install(wheel, python, warm, real)
    assert installs == [[wheel]] and library.exists()
    assert workspace.file_sha256(library) == sha256_in(wheel, "glean_py/" + library.name)


def sha256_in(wheel: Path, member: str) -> str:
    with zipfile.ZipFile(wheel) as opened:
        return hashlib.sha256(opened.read(member)).hexdigest()


@pytest.mark.wine
@pytest.mark.slow
def test_the_proof_runs_away_from_the_checkout(built: windows.Built, wheel: Path, python: WindowsPython) -> None:
    """Else the package of the checkout would be proven, not the one in the wheel."""
    say = "import os, sys\nprint(ascii([os.getcwd(), *sys.path]))\n"
    ws = built.checkout.ws
    with built.checkout.changed("tests/bindings/prove_wheel.py", lambda text: say), pytest.raises(ProofError) as caught:
        prove.prove_under_wine(windows.AMD64, python, wheel, ws)
    said = ast.literal_eval(caught.value.why.partition("its last line was ")[2])
    folder, *searched = [str(path).lower() for path in ast.literal_eval(said)]
    home, root = wine.windows_path(python.home).lower(), wine.windows_path(ws.root).lower()
    assert "glean-proof-" in folder
    assert searched and [path for path in searched if path.startswith(root) and not path.startswith(home)] == []


def test_a_python_of_another_version_needs_its_own_proof() -> None:
    """A substitute runtime may differ in its last part, and then that is what has to be shown."""
    assert prove.check(CORRECT, WHEEL, windows.AMD64, {**PYTHON, "python": "3.7.8"}, HOME) == [
        "python is '3.7.9', not '3.7.8'"
    ]
