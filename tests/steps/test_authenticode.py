"""glean_steps.authenticode on the real signed runtime of CPython, and on programs that somebody else signed."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import windows

from glean_steps import authenticode, system
from glean_steps.errors import MissingToolError, WrongHashError

SIGNER = authenticode.SIGNER
LIBRARY = f"python{windows.PYTHON.digits}.dll"


@pytest.fixture(autouse=True)
def _tools() -> None:
    windows.need_osslsigncode()
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine")


@pytest.fixture(scope="module")
def packed() -> Path:
    """The rebuilt Python for amd64, which any run on a machine like this one has made."""
    return windows.rebuilt_python()


@pytest.fixture
def dll(packed: Path, tmp_path: Path) -> Path:
    """The real library, signed by the Python Software Foundation."""
    with zipfile.ZipFile(packed) as opened:
        return Path(opened.extract(LIBRARY, tmp_path))


@pytest.fixture
def exe(packed: Path, tmp_path: Path) -> Path:
    """The rebuilt python.exe, which nobody signed."""
    with zipfile.ZipFile(packed) as opened:
        return Path(opened.extract("python.exe", tmp_path))


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)


def certificate(folder: Path, name: str, subject: str, purpose: str) -> None:
    """Make NAME.pem and NAME.key below the authority in ca.pem."""
    (folder / f"{name}.ext").write_text(f"extendedKeyUsage={purpose}\nkeyUsage=critical,digitalSignature\n")
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", "csr", "-subj", subject)
    openssl(
        *(folder, "x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.pem"),
    )


@pytest.fixture
def sign(tmp_path: Path, exe: Path, monkeypatch: pytest.MonkeyPatch) -> Signer:
    """Sign with certificates of an authority of the test's own, which the test's bundle knows."""
    return Signer(tmp_path, exe, monkeypatch)


class Signer:
    def __init__(self, folder: Path, exe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.exe = folder, exe
        openssl(
            *(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem"),
            *("-subj", f"/O={SIGNER}/CN=An authority of that name", "-days", "30"),
        )
        certificate(folder, "clock", "/O=Some Clock", "critical,timeStamping")
        monkeypatch.setattr(authenticode, "_BUNDLES", (str(folder / "ca.pem"),))

    def __call__(self, subject: str) -> Path:
        certificate(self.folder, "signer", subject, "codeSigning")
        signed = self.folder / "signed.exe"
        subprocess.run(
            [
                *("osslsigncode", "sign", "-certs", "signer.pem", "-key", "signer.key"),
                *("-TSA-certs", "clock.pem", "-TSA-key", "clock.key", "-in", self.exe, "-out", signed),
            ],
            cwd=self.folder,
            check=True,
            capture_output=True,
            timeout=60,
        )
        return signed


def test_the_real_python_dll_has_a_valid_signature(dll: Path) -> None:
    authenticode.check_signature(dll)


@pytest.mark.parametrize("offset", [0x2000, 0x100000])
def test_a_flipped_byte_makes_the_signature_invalid(dll: Path, offset: int) -> None:
    content = bytearray(dll.read_bytes())
    content[offset] ^= 1
    dll.write_bytes(content)
    with pytest.raises(WrongHashError, match=f"no valid signature of the {SIGNER}") as caught:
        authenticode.check_signature(dll)
    assert caught.value.exit_code == 16 and "MISMATCH" in caught.value.why


def test_a_byte_that_was_added_behind_the_signature_makes_it_invalid(dll: Path) -> None:
    dll.write_bytes(dll.read_bytes() + b"evil" * 64)
    with pytest.raises(WrongHashError):
        authenticode.check_signature(dll)


def test_a_program_without_a_signature_is_refused(exe: Path) -> None:
    with pytest.raises(WrongHashError, match=r"python\.exe has no valid signature") as caught:
        authenticode.check_signature(exe)
    assert "No signature found" in caught.value.why


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "python.exe").write_text("#!/bin/sh\n")
    with pytest.raises(WrongHashError):
        authenticode.check_signature(tmp_path / "python.exe")


def test_a_signature_of_an_unknown_authority_is_refused(sign: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = sign(f"/O={SIGNER}")
    authenticode.check_signature(signed)  # The authority is known here, so all that follows differs by that alone.
    monkeypatch.undo()
    with pytest.raises(WrongHashError, match="no valid signature"):
        authenticode.check_signature(signed)


@pytest.mark.parametrize(
    "subject",
    [
        "/O=Somebody Else/CN=Somebody",
        f"/O=Somebody Else/CN={SIGNER}",
        f"/O=Somebody Else/CN=Not O={SIGNER}",
        f"/CN={SIGNER}",
        f"/O={SIGNER} Impersonators",
    ],
)
def test_a_valid_signature_of_somebody_else_is_refused(sign: Signer, subject: str) -> None:
    """Even when the authority above them is called like the right signer, and is trusted."""
    with pytest.raises(WrongHashError, match=f"no valid signature of the {SIGNER}"):
        authenticode.check_signature(sign(subject))


def test_the_parts_of_an_archive_are_checked_by_name(packed: Path) -> None:
    authenticode.check_python(packed, [LIBRARY, "_ssl.pyd"])
    with pytest.raises(WrongHashError, match=r"python\.exe"):
        authenticode.check_python(packed, [LIBRARY, "python.exe"])
    with pytest.raises(WrongHashError, match=r"has no python30\.dll"):
        authenticode.check_python(packed, ["python30.dll"])


def test_without_certificates_it_says_what_brings_them(dll: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticode, "_BUNDLES", ("/no/such/bundle",))
    with pytest.raises(MissingToolError, match="no certificate bundle") as caught:
        authenticode.check_signature(dll)
    assert "ca-certificates" in caught.value.fix


def test_without_osslsigncode_it_says_what_brings_it(dll: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEAN_INSTALL", "never")
    monkeypatch.setattr(system, "find", lambda tool: None)
    with pytest.raises(MissingToolError, match="missing: osslsigncode") as caught:
        authenticode.check_signature(dll)
    assert "osslsigncode" in caught.value.fix and caught.value.exit_code == 14
