"""glean_steps.audit: a right wheel with a real DLL passes, each way to be wrong is found and named."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import shutil
import stat
import struct
import subprocess
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import pytest

from glean_steps import audit, components, library, settings, targets, wheel
from glean_steps import zig as zig_linker
from glean_steps.errors import AuditError, MissingArtifactError
from glean_steps.targets import Target
from glean_steps.workspace import Workspace

X64, X86 = targets.find_target("win_amd64"), targets.find_target("win32")

HEADER = """\
#ifndef SMALL_H
#define SMALL_H
#include <stdint.h>
#define GLEAN_CALL(x) glean_not_a_function(x)
/* int32_t glean_in_a_comment(void); */
typedef void (*glean_callback)(int32_t code);
typedef struct { int32_t (*glean_member)(void); } glean_table;
#ifdef __cplusplus
extern "C" {
#endif
// int32_t glean_in_another(void);
int32_t glean_one(int32_t value);
const uint8_t *glean_two(const char *text,
                         glean_callback done);
#ifdef __cplusplus
}
#endif
#endif
"""

SOURCE = """\
#include <stdint.h>
__declspec(dllexport) int32_t glean_one(int32_t value) { return value + 1; }
__declspec(dllexport) const uint8_t *glean_two(const char *text, void (*done)(int32_t))
{ (void)done; return (void *)text; }
"""

LOCK = """\
version = 4

[[package]]
name = "memmap2"
version = "0.9.5"
source = "registry+https://example.org/index"
checksum = "fd3f7eed9d3848f8b98834af67102b720745c4ec028fcd0aa0239277e7de374f"
"""

COMPONENTS = {
    components.LIST: json.dumps(
        {
            "components": [
                {
                    "name": "memmap2",
                    "version": "0.9.5",
                    "hashes": [{"content": "fd3f7eed9d3848f8b98834af67102b720745c4ec028fcd0aa0239277e7de374f"}],
                },
                {"name": "std", "version": "1.95.0"},
            ]
        }
    ),
    components.LICENCES: "\nmemmap2 0.9.5 (MIT)\nstd 1.95.0 (MIT)\n",
}

METADATA = """\
Metadata-Version: 2.1
Name: small-package
Version: 1.5
Requires-Python: >=3.7
Requires-Dist: cffi>=1.15
"""

PACKAGE_FILES = {"glean_py/__init__.py": b"x = 1\n", "glean_py/py.typed": b"", "glean_py/_glean_ffi.py": b"ffi = 1\n"}
EXPECTED = frozenset({*PACKAGE_FILES, "glean_py/glean_core.dll"})

needs_mingw = pytest.mark.skipif(
    any(shutil.which(target.linker) is None for target in targets.WINDOWS),
    reason="no mingw compilers (gcc-mingw-w64-x86-64, gcc-mingw-w64-i686): no DLLs to audit",
)


Build = Callable[..., bytes]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compile a DLL with mingw; the same question gets the same answer without compiling again."""
    folder = tmp_path_factory.mktemp("dlls")
    made: dict[tuple[object, ...], bytes] = {}

    def compile_dll(
        target: Target = X64, *, source: str = "", options: tuple[str, ...] = (), strip: bool = True
    ) -> bytes:
        key = (target.triple, source, options, strip)
        if key not in made:
            file = folder / f"{len(made)}.c"
            file.write_text(SOURCE + source)
            out = file.with_suffix(".dll")
            runtime = () if "-shared-libgcc" in options else ("-static-libgcc",)
            harden = ("-Wl,--nxcompat", "-Wl,--dynamicbase", "-Wl,--no-insert-timestamp", *runtime)
            argv = [target.linker, "-shared", *(["-s"] if strip else ["-g"]), *harden, "-o", out, file, *options]
            subprocess.run(argv, check=True, timeout=1800)
            made[key] = out.read_bytes()
        return made[key]

    return compile_dll


def import_library(folder: Path, target: Target, dll: str, function: str, *, delay: bool = False) -> str:
    """Make an import library for a DLL that nobody has; return its path."""
    definition, out = folder / f"{dll}.def", folder / f"lib{dll}.a"
    definition.write_text(f"LIBRARY {dll}\nEXPORTS\n{function}\n")
    flags = ["--output-delaylib" if delay else "--output-lib", out]
    subprocess.run([target.dlltool, "--input-def", definition, *flags], check=True, timeout=1800)
    return str(out)


@dataclass
class Wheel:
    """A wheel in the making: a test changes one thing and writes it."""

    library: bytes
    tag: str = "py3-none-win_amd64"
    name: str = "small_package-1.5"
    metadata: str = METADATA
    wheel: str | None = None
    files: dict[str, bytes] = field(default_factory=lambda: dict(PACKAGE_FILES))
    record: Callable[[list[str]], list[str]] = lambda rows: rows
    library_name: str = "glean_py/glean_core.dll"
    components: dict[str, str] = field(default_factory=lambda: dict(COMPONENTS))

    def write(self, folder: Path) -> Path:
        info = f"{self.name}.dist-info"
        files = {**self.files, self.library_name: self.library, f"{info}/METADATA": self.metadata.encode()}
        files.update({f"{info}/{name}": text.encode() for name, text in self.components.items()})
        text = f"Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: false\nTag: {self.tag}\n"
        files[f"{info}/WHEEL"] = (text if self.wheel is None else self.wheel).encode()
        rows = [record_row(name, data) for name, data in files.items()]
        rows = self.record([*rows, f"{info}/RECORD,,"])
        files[f"{info}/RECORD"] = ("\n".join(rows) + "\n").encode()
        path = folder / f"{self.name}-{self.tag}.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for name, data in files.items():
                out.writestr(name, data)
        return path


def record_row(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(data)}"


@pytest.fixture
def header(tmp_path: Path) -> Path:
    path = tmp_path / "glean.h"
    path.write_text(HEADER)
    path.with_name("Cargo.lock").write_text(LOCK)
    return path


def findings(path: Path, header: Path, target: Target = X64, **more: object) -> list[str]:
    """Return what an audit finds; empty when the wheel passes."""
    options: dict[str, object] = {
        "lock": header.with_name("Cargo.lock"),
        "expected_files": EXPECTED,
        "private_folders": ("/home/", "/root/"),
        **more,
    }
    try:
        audit.check(path, target, header=header, **options)  # type: ignore[arg-type]
    except AuditError as error:
        assert error.exit_code == 23
        lines = [line.strip() for line in error.why.splitlines() if line.strip()]
        assert all(line.startswith("- ") for line in lines)
        assert f"{len(lines)} finding" in error.what
        return [line[2:] for line in lines]
    return []


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


# --- a right wheel ----------------------------------------------------------------------------------------------------


@needs_mingw
@pytest.mark.parametrize("target", targets.WINDOWS, ids=lambda target: target.platform_tag)
def test_a_right_wheel_passes_and_is_described(target: Target, build: Build, header: Path, tmp_path: Path) -> None:
    path = Wheel(build(target), tag=f"py3-none-{target.platform_tag}").write(tmp_path)
    passed = audit.check(path, target, header=header, lock=header.with_name("Cargo.lock"), expected_files=EXPECTED)
    assert passed.exports == ("glean_one", "glean_two")
    assert {name.lower() for name in passed.imports} == {"kernel32.dll", "msvcrt.dll"}
    assert passed.size_bytes == path.stat().st_size
    assert passed.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    text = "\n".join(audit.report_lines(passed))
    assert passed.sha256 in text and str(path) in text and "2 functions" in text
    assert ("AMD64, 64 bit" if target is X64 else "x86, 32 bit") in text


def test_the_expected_files_are_those_of_the_checkout(ws: Workspace) -> None:
    for name in (
        "__init__.py",
        "py.typed",
        "metrics/counter.py",
        "ffi_build.py",
        "notes.txt",
        "glean_core.so",
        "__pycache__/a.py",
    ):
        path = ws.root / "glean_py" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    sources = {"__init__.py", "py.typed", "metrics/counter.py", "_glean_ffi.py", "glean_core.dll"}
    assert audit.expected_files(ws, X64) == {f"glean_py/{name}" for name in sources}


def test_functions_are_read_from_a_header_and_nothing_else_is() -> None:
    assert audit.declared_functions(HEADER) == {"glean_one", "glean_two"}
    more = "static inline int glean_inline(int a) { return glean_used(a); }\nunsigned char glean_three(void);\n"
    assert audit.declared_functions(HEADER + more) == {"glean_one", "glean_two", "glean_three"}


def test_the_projects_own_header_declares_functions(checkout: Path) -> None:
    path = checkout / "glean_core/include/glean.h"
    declared = audit.declared_functions(path.read_text())
    assert {"glean_initialize", "glean_counter_add"} <= declared
    assert all(name.startswith("glean_") for name in declared)


def test_a_missing_header_or_wheel_is_named(tmp_path: Path, header: Path) -> None:
    path = tmp_path / "small_package-1.5-py3-none-win_amd64.whl"
    with pytest.raises(MissingArtifactError, match=r"none\.h"):
        audit.check(path, X64, header=tmp_path / "none.h", lock=tmp_path / "Cargo.lock", expected_files=())
    with pytest.raises(MissingArtifactError, match="small_package"):
        audit.check(path, X64, header=header, lock=header.with_name("Cargo.lock"), expected_files=())


@needs_mingw
@pytest.mark.parametrize("target", targets.WINDOWS, ids=lambda target: target.platform_tag)
def test_a_wheel_of_this_project_has_the_files_that_are_expected(
    target: Target, build: Build, tmp_path: Path, ws: Workspace, checkout: Path
) -> None:
    """Everything is the project's own but for the library, whose functions do nothing."""
    for name in (
        "setup.py",
        "pyproject.toml",
        "LICENSE",
        "glean_py",
        "glean_steps",
        "glean_core/Cargo.toml",
        "glean_core/Cargo.lock",
        "glean_core/cdylib",
        "glean_core/src",
        "glean_core/include",
    ):
        source, copy = checkout / name, ws.root / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.dll", "*.so", "__pycache__"))
        else:
            shutil.copyfile(source, copy)
    header = ws.crate / "include/glean.h"
    functions = sorted(audit.declared_functions(header.read_text()))
    source = ws.root / "functions.c"
    source.write_text("".join(f"__declspec(dllexport) void {name}(void) {{}}\n" for name in functions))
    library = tmp_path / "built" / target.library
    library.parent.mkdir()
    options = ["-shared", "-s", "-static-libgcc", "-Wl,--nxcompat", "-Wl,--dynamicbase", "-Wl,--no-insert-timestamp"]
    subprocess.run([target.linker, *options, "-o", library, source], check=True, timeout=1800)
    made = wheel.pack_and_retag(library, target, ws=ws)
    lock = ws.crate / "Cargo.lock"
    passed = audit.check(made, target, header=header, lock=lock, expected_files=audit.expected_files(ws, target))
    assert list(passed.exports) == functions


# --- name and archive -------------------------------------------------------------------------------------------------


@needs_mingw
def test_a_wheel_that_was_not_retagged_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    path = Wheel(build(), tag="cp311-cp311-linux_x86_64").write(tmp_path)
    assert only(findings(path, header)) == "file name: its tag is cp311-cp311-linux_x86_64, not py3-none-win_amd64"


@needs_mingw
def test_a_wheel_that_was_only_renamed_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    path = Wheel(build(), tag="py3-none-linux_x86_64").write(tmp_path)
    path = path.rename(tmp_path / "small_package-1.5-py3-none-win_amd64.whl")
    assert only(findings(path, header)) == "WHEEL: Tag is py3-none-linux_x86_64, not py3-none-win_amd64"


@pytest.mark.parametrize(
    "name", ["small.whl", "small_package-1.5-py3-none.whl", "small_package-x!-py3-none-win_amd64.whl"]
)
def test_a_name_that_is_no_wheels_name_is_found(name: str, header: Path, tmp_path: Path) -> None:
    path = Wheel(b"MZ").write(tmp_path).rename(tmp_path / name)
    assert any(line.startswith("file name: it is not one that PEP 427 allows") for line in findings(path, header))


def _link(out: zipfile.ZipFile) -> None:
    member = zipfile.ZipInfo("glean_py/link")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    out.writestr(member, "/etc/passwd")


HOSTILE: list[tuple[Callable[[zipfile.ZipFile], None], str]] = [
    (lambda out: out.writestr("../evil", "x"), "leaves the folder"),
    (lambda out: out.writestr("/evil", "x"), "leaves the folder"),
    (lambda out: out.writestr("C:/evil", "x"), "none on Windows"),
    (lambda out: out.writestr("a\\evil", "x"), "none on Windows"),
    (lambda out: out.writestr("GLEAN_PY/__INIT__.py", "x"), "the same file as"),
    (lambda out: out.writestr("glean_py/__init__.py/x", "x"), "a file has the name of its folder"),
    (_link, "it is a link"),
]


@pytest.mark.parametrize(("add", "reason"), HOSTILE)
def test_a_hostile_archive_is_found(
    add: Callable[[zipfile.ZipFile], None], reason: str, header: Path, tmp_path: Path
) -> None:
    path = Wheel(b"MZ").write(tmp_path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as out:
        add(out)
    found = only(findings(path, header))
    assert found.startswith("archive: ") and reason in found


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: b"", lambda data: b"x"])
def test_a_damaged_archive_is_found(change: Callable[[bytes], bytes], header: Path, tmp_path: Path) -> None:
    path = Wheel(b"MZ").write(tmp_path)
    path.write_bytes(change(path.read_bytes()))
    assert only(findings(path, header)).startswith("archive: ")


# --- metadata ---------------------------------------------------------------------------------------------------------


@needs_mingw
@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda rows: [row for row in rows if "py.typed" not in row], "RECORD: it does not list glean_py/py.typed"),
        (lambda rows: [*rows, "glean_py/more.py,sha256=x,1"], "RECORD: it lists glean_py/more.py, which is not in"),
        (lambda rows: [*rows, rows[0]], "RECORD: it lists glean_py/__init__.py 2 times"),
        (lambda rows: [rows[0].replace(",6", ",7"), *rows[1:]], "RECORD: the size of glean_py/__init__.py is 7"),
        (lambda rows: [rows[0].replace("sha256=", "sha256=x"), *rows[1:]], "RECORD: the hash of glean_py/__init__.py"),
        (lambda rows: [rows[0].replace("sha256=", "md5="), *rows[1:]], "RECORD: the hash of glean_py/__init__.py"),
        (lambda rows: ["glean_py/__init__.py,,6", *rows[1:]], "RECORD: the hash of glean_py/__init__.py is missing"),
        (lambda rows: [*rows[:-1], rows[-1][:-2] + ",sha256=x,1"], "RECORD: it holds a hash or size of itself"),
        (lambda rows: rows[:-1], "RECORD: it does not list small_package-1.5.dist-info/RECORD"),
        (lambda rows: [*rows, "one"], "RECORD: the line 'one' does not have three columns"),
    ],
)
def test_a_wrong_record_is_found(
    change: Callable[[list[str]], list[str]], finding: str, build: Build, header: Path, tmp_path: Path
) -> None:
    path = Wheel(build(), record=change).write(tmp_path)
    assert only(findings(path, header)).startswith(finding)


@needs_mingw
def test_a_content_that_was_changed_after_packing_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    right = Wheel(build())
    rows: list[str] = []
    right.record = lambda made: rows.extend(made) or made  # type: ignore[func-returns-value]
    right.write(tmp_path)
    changed = dataclasses.replace(
        right, files={**PACKAGE_FILES, "glean_py/__init__.py": b"x = 2\n"}, record=lambda _: rows
    )
    assert only(findings(changed.write(tmp_path), header)).startswith(
        "RECORD: the hash of glean_py/__init__.py is sha256="
    )


@needs_mingw
@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("Name: small-package", "Name: other", "METADATA: Name is other, the file name says small_package"),
        ("Version: 1.5", "Version: 1.6", "METADATA: Version is 1.6, the file name says 1.5"),
        ("Requires-Python: >=3.7\n", "", "METADATA: Requires-Python is missing"),
        ("Requires-Python: >=3.7", "Requires-Python: new", "METADATA: 'new' is invalid for 'requires-python'"),
        ("Requires-Dist: cffi>=1.15", "Requires-Dist: other", "METADATA: Requires-Dist does not name cffi"),
        ("Requires-Dist: cffi>=1.15", "Requires-Dist: cffi\nNonsense: 1", "METADATA: the field nonsense is unknown"),
        ("Metadata-Version: 2.1", "Metadata-Version: 9.9", "METADATA: "),
    ],
)
def test_wrong_core_metadata_is_found(
    old: str, new: str, finding: str, build: Build, header: Path, tmp_path: Path
) -> None:
    path = Wheel(build(), metadata=METADATA.replace(old, new)).write(tmp_path)
    assert only(findings(path, header)).startswith(finding)


@needs_mingw
@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "Wheel-Version: 2.0\nRoot-Is-Purelib: false\nTag: py3-none-win_amd64\n",
            "WHEEL: Wheel-Version is 2.0, not 1.0",
        ),
        ("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-win_amd64\n", "WHEEL: Root-Is-Purelib is true, not"),
        ("Wheel-Version: 1.0\nRoot-Is-Purelib: false\n", "WHEEL: Tag is missing, not py3-none-win_amd64"),
        (
            "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-win_amd64\nTag: py3-none-win32\n",
            "WHEEL: Tag is py3-none-win_amd64, py3-none-win32, not",
        ),
        (
            "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-win_amd64\nBuild: 7\n",
            "WHEEL: Build is 7, not absent",
        ),
    ],
)
def test_wrong_wheel_metadata_is_found(text: str, finding: str, build: Build, header: Path, tmp_path: Path) -> None:
    path = Wheel(build(), wheel=text).write(tmp_path)
    assert only(findings(path, header)).startswith(finding)


@needs_mingw
def test_a_file_too_many_and_a_file_too_few_are_found(build: Build, header: Path, tmp_path: Path) -> None:
    files = {**PACKAGE_FILES, "glean_py/secrets.txt": b"", "tests/test_it.py": b""}
    del files["glean_py/_glean_ffi.py"]
    assert findings(Wheel(build(), files=files).write(tmp_path), header) == [
        "glean_py/_glean_ffi.py: it is missing from the wheel",
        "glean_py/secrets.txt: it does not belong in the wheel",
        "tests/test_it.py: it does not belong in the wheel",
    ]


@needs_mingw
def test_licences_beside_the_metadata_are_welcome(build: Build, header: Path, tmp_path: Path) -> None:
    files = {**PACKAGE_FILES, "small_package-1.5.dist-info/licenses/LICENSE": b"free"}
    assert findings(Wheel(build(), files=files).write(tmp_path), header) == []


# --- library ----------------------------------------------------------------------------------------------------------


@needs_mingw
@pytest.mark.parametrize(("target", "other"), [(X64, X86), (X86, X64)], ids=["64 in 32", "32 in 64"])
def test_a_library_of_the_other_machine_is_found(
    target: Target, other: Target, build: Build, header: Path, tmp_path: Path
) -> None:
    path = Wheel(build(target), tag=f"py3-none-{other.platform_tag}").write(tmp_path)
    found = only(findings(path, header, other))
    assert f"it is for {target.machine}, {target.pointer_bits} bit; the tag {other.platform_tag}" in found


def test_an_elf_library_in_a_windows_wheel_is_found(header: Path, tmp_path: Path) -> None:
    path = Wheel(b"\x7fELF" + bytes(1000)).write(tmp_path)
    finding = "glean_py/glean_core.dll: it is not a Windows library but a Linux library (ELF)"
    assert only(findings(path, header)) == finding


def test_a_linux_library_instead_of_the_dll_is_found(header: Path, tmp_path: Path) -> None:
    path = Wheel(b"\x7fELF" + bytes(1000), library_name="glean_py/libglean_core.so").write(tmp_path)
    assert findings(path, header) == [
        "glean_py/glean_core.dll: it is missing from the wheel",
        "glean_py/libglean_core.so: it does not belong in the wheel",
        "glean_py/glean_core.dll: there is no library; native files inside: glean_py/libglean_core.so",
    ]


@pytest.mark.parametrize("data", [b"", b"MZ", b"MZ" + bytes(500), b"no library at all" * 50])
def test_a_file_that_is_no_library_is_found(data: bytes, header: Path, tmp_path: Path) -> None:
    path = Wheel(data).write(tmp_path)
    assert only(findings(path, header)).startswith("glean_py/glean_core.dll: it is not a Windows library")


@needs_mingw
@pytest.mark.parametrize("size", [70, 300, 1000])
def test_a_library_that_was_cut_is_found(size: int, build: Build, header: Path, tmp_path: Path) -> None:
    assert findings(Wheel(build()[:size]).write(tmp_path), header)


@needs_mingw
def test_a_program_instead_of_a_dll_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    data = edited(build(), characteristics=lambda flags: flags & ~0x2000)
    assert only(findings(Wheel(data).write(tmp_path), header)).endswith("it is a program, not a DLL")


@needs_mingw
def test_an_optional_header_of_the_other_width_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    data = edited(build(X86), machine=lambda _: 0x8664)
    found = findings(Wheel(data).write(tmp_path), header)
    assert any("it is for AMD64, 32 bit" in line or "it cannot be read" in line for line in found), found


@needs_mingw
def test_an_export_that_the_header_does_not_declare_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    data = build(source="__declspec(dllexport) int rust_eh_personality(void) { return 1; }")
    found = only(findings(Wheel(data).write(tmp_path), header))
    assert found.endswith("it exports what the header does not declare: rust_eh_personality")


@needs_mingw
def test_a_declared_function_that_is_not_exported_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    header.write_text(HEADER + "void glean_three(void);\n")
    found = only(findings(Wheel(build()).write(tmp_path), header))
    assert found.endswith("it does not export what the header declares: glean_three")


@needs_mingw
def test_a_header_without_functions_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    header.write_text("#define NOTHING\n")
    found = findings(Wheel(build()).write(tmp_path), header)
    assert found[0] == "header: it declares no function"


@needs_mingw
@pytest.mark.parametrize("target", targets.WINDOWS, ids=lambda target: target.platform_tag)
@pytest.mark.parametrize(
    ("dll", "reason"),
    [
        ("python37.dll", "tie the wheel to one Python"),
        ("libgcc_s_seh-1.dll", "link it statically"),
        ("libwinpthread-1.dll", "link it statically"),
        ("VCRUNTIME140.dll", "a bare Windows does not have"),
        ("unknown.dll", "not among the libraries"),
    ],
)
def test_an_import_that_not_every_windows_has_is_found(
    target: Target, dll: str, reason: str, build: Build, header: Path, tmp_path: Path
) -> None:
    library = import_library(tmp_path, target, dll, "foreign")
    source = "int foreign(void);\nint (*keep)(void) = foreign;\n"
    path = Wheel(build(target, source=source, options=(library,)), tag=f"py3-none-{target.platform_tag}").write(
        tmp_path
    )
    found = only(findings(path, header, target))
    assert f"it imports {dll}: " in found and reason in found


@needs_mingw
def test_mingws_own_shared_runtime_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    """The way it happens: something unwinds, and nobody said -static-libgcc."""
    source = "void *_Unwind_GetCFA(void *);\nvoid *keep(void *frame) { return _Unwind_GetCFA(frame); }"
    data = build(X86, source=source, options=("-shared-libgcc",))
    found = only(findings(Wheel(data, tag="py3-none-win32").write(tmp_path), header, X86))
    assert "it imports libgcc_s" in found and "link it statically" in found


@needs_mingw
def test_a_delayed_import_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    """mingw's ld does not fill in the directory of delayed imports, so the test points it at one made by hand."""
    data = with_delayed_import(
        build(source='char room[256] __attribute__((section(".data"))) = "ROOM";'), b"python37.dll"
    )
    found = only(findings(Wheel(data).write(tmp_path), header))
    assert "it imports python37.dll" in found


@needs_mingw
def test_a_library_that_is_not_stripped_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    found = findings(Wheel(build(strip=False)).write(tmp_path), header, private_folders=())
    assert len(found) == 2
    assert "it is not stripped: " in found[0] and "symbols" in found[0]
    assert "it is not stripped: debug sections " in found[1]


@needs_mingw
@pytest.mark.parametrize(
    ("option", "flag"), [("-Wl,--disable-nxcompat", "NX_COMPAT"), ("-Wl,--disable-dynamicbase", "DYNAMIC_BASE")]
)
def test_a_library_without_protection_is_found(
    option: str, flag: str, build: Build, header: Path, tmp_path: Path
) -> None:
    found = findings(Wheel(build(options=(option,))).write(tmp_path), header)
    assert any(f"it lacks the flag {flag}" in line for line in found), found


@needs_mingw
def test_a_section_that_can_be_written_and_run_is_found(build: Build, header: Path, tmp_path: Path) -> None:
    source = '__attribute__((section(".wild,\\"wx\\"#"))) int wild = 1;'
    found = findings(Wheel(build(source=source)).write(tmp_path), header)
    assert only(found).endswith("its section .wild can be written and run")


@needs_mingw
@pytest.mark.parametrize("text", ['"/home/somebody/project/src/lib.rs"', 'L"/home/somebody/project/src/lib.rs"'])
def test_a_path_of_the_building_machine_in_the_library_is_found(
    text: str, build: Build, header: Path, tmp_path: Path
) -> None:
    kind = "unsigned short" if text.startswith("L") else "char"
    data = build(
        source=f"const {kind} leak[] = {text}; const void *keep(void); const void *keep(void) {{ return leak; }}"
    )
    found = only(findings(Wheel(data).write(tmp_path), header))
    assert (
        found.startswith("glean_py/glean_core.dll: it holds a path of the machine")
        and "/home/somebody/project" in found
    )


@needs_mingw
def test_a_path_of_the_checkout_in_a_source_is_found(
    build: Build, header: Path, tmp_path: Path, checkout: Path
) -> None:
    files = {**PACKAGE_FILES, "glean_py/__init__.py": f"here = '{checkout}/glean_py/a.py'\n".encode()}
    path = Wheel(build(), files=files).write(tmp_path)
    found = only(findings(path, header, private_folders=None))
    assert found.startswith("glean_py/__init__.py: it holds a path of the machine that built it")


@needs_mingw
def test_everything_wrong_is_reported_at_once(build: Build, header: Path, tmp_path: Path) -> None:
    path = Wheel(
        build(X86, source="__declspec(dllexport) int extra(void) { return 1; }", strip=False),
        tag="py3-none-linux_x86_64",
        metadata=METADATA.replace("cffi", "other"),
        record=lambda rows: rows[1:],
        files={**PACKAGE_FILES, "stray": b""},
    ).write(tmp_path)
    found = "\n".join(findings(path, header))
    for part in ("file name", "stray", "RECORD", "METADATA", "x86", "not stripped", "extra"):
        assert part in found


@needs_mingw
def test_time_of_linking_is_found_and_can_be_removed(build: Build, header: Path, tmp_path: Path) -> None:
    data = build(options=("-Wl,--insert-timestamp",))
    assert "it holds the time when it was linked" in only(findings(Wheel(data).write(tmp_path), header))
    cleared = library.clear_times(data)
    assert len(cleared) == len(data) and findings(Wheel(cleared).write(tmp_path), header) == []
    assert library.clear_times(cleared) == cleared and library.clear_times(b"no library") == b"no library"


# --- Linux and macOS --------------------------------------------------------------------------------------------------

CHECKOUT = Workspace(Path(__file__).resolve().parents[2], settings.cache())
LINUX, MAC, MAC_INTEL = (
    targets.find_target(tag) for tag in ("manylinux_2_17_x86_64", "macosx_11_0_arm64", "macosx_10_12_x86_64")
)
Zig = Callable[..., bytes]


@pytest.fixture(scope="module")
def zig(tmp_path_factory: pytest.TempPathFactory) -> Zig:
    """Compile a library with the pinned zig, which is made where it is missing."""
    program = zig_linker.Zig().ensure(CHECKOUT)
    folder = tmp_path_factory.mktemp("zig")
    env = {**os.environ, **zig_linker.env(CHECKOUT), "ZIG_GLOBAL_CACHE_DIR": str(CHECKOUT.cache / "zig")}

    def compile_it(triple: str, *options: object, source: str = "", strip: bool = True) -> bytes:
        file, out = folder / "a.c", folder / "a.lib"
        file.write_text(SOURCE + source)
        argv = [env["CARGO_ZIGBUILD_ZIG_PATH"], "cc", "-target", triple, "-shared", "-O1", *(["-s"] if strip else [])]
        argv += ["-fvisibility=hidden", '-D__declspec(x)=__attribute__((visibility("default")))', "-o", str(out)]
        subprocess.run([*argv, str(file), *map(str, options)], check=True, timeout=1800, env=env)
        return out.read_bytes()

    assert program.is_file()
    return compile_it


def packed(data: bytes, target: Target, folder: Path) -> Path:
    name = f"glean_py/{target.library}"
    return Wheel(data, tag=f"py3-none-{target.platform_tag}", library_name=name).write(folder)


def found_in(data: bytes, target: Target, header: Path, folder: Path) -> list[str]:
    files = frozenset({*PACKAGE_FILES, f"glean_py/{target.library}"})
    return findings(packed(data, target, folder), header, target, expected_files=files)


def install_name(name: str = f"@rpath/{MAC.library}") -> str:
    return f"-Wl,-install_name,{name}"


@pytest.mark.slow
def test_linux_library_is_checked_for_its_tag(zig: Zig, header: Path, tmp_path: Path) -> None:
    """The oldest glibc, the processor, where libraries are looked for, symbols that were not stripped."""
    assert found_in(zig("x86_64-linux-gnu.2.17"), LINUX, header, tmp_path) == []
    new = "int statx(int, const char *, int, unsigned, void *); int keep(void) { return statx(0, 0, 0, 0, 0); }\n"
    new = new.replace("int keep", "__declspec(dllexport) int glean_one_more").replace("glean_one_more", "glean_three")
    header.write_text(HEADER + "int glean_three(void);\n")
    text = only(found_in(zig("x86_64-linux-gnu.2.28", source=new), LINUX, header, tmp_path))
    assert "it needs statx of GLIBC_2.28, and the tag manylinux_2_17_x86_64 promises glibc 2.17" in text
    header.write_text(HEADER)
    text = only(found_in(zig("aarch64-linux-gnu.2.17"), LINUX, header, tmp_path))
    assert "it is for aarch64, 64 bit; the tag manylinux_2_17_x86_64 means x86_64, 64 bit" in text
    text = only(found_in(zig("x86_64-linux-gnu.2.17", "-Wl,-rpath,/opt/lib"), LINUX, header, tmp_path))
    assert "it names folders of libraries (RUNPATH)" in text
    text = "\n".join(found_in(zig("x86_64-linux-gnu.2.17", strip=False), LINUX, header, tmp_path))
    assert "it is not stripped: a symbol table" in text


@pytest.mark.slow
def test_musl_library_may_need_musl_alone(zig: Zig, header: Path, tmp_path: Path) -> None:
    musl = targets.find_target("musllinux_1_2_x86_64")
    assert found_in(zig("x86_64-linux-musl"), musl, header, tmp_path) == []
    source = "void abort(void); __attribute__((constructor)) static void keep(void) { abort(); }\n"
    text = only(found_in(zig("x86_64-linux-gnu.2.17", source=source), musl, header, tmp_path))
    assert "it imports libc.so.6: it is not among the libraries" in text


@pytest.mark.slow
def test_macos_library_is_checked_for_its_tag(zig: Zig, header: Path, tmp_path: Path) -> None:
    right = zig("aarch64-macos.11.0", install_name())
    assert found_in(right, MAC, header, tmp_path) == []
    assert found_in(zig("x86_64-macos.10.12", install_name()), MAC_INTEL, header, tmp_path) == []
    text = only(found_in(zig("aarch64-macos.13.0", install_name()), MAC, header, tmp_path))
    assert "it runs from macOS 13.0 on, not 11.0 as its tag says" in text
    text = only(found_in(zig("aarch64-macos.11.0", install_name("/tmp/a")), MAC, header, tmp_path))
    assert f"its install name is /tmp/a, not @rpath/{MAC.library}" in text


@pytest.mark.slow
def test_signature_that_a_later_program_broke_is_found(zig: Zig, header: Path, tmp_path: Path) -> None:
    right = zig("aarch64-macos.11.0", install_name())
    place = right.index(b"glean_one")
    changed = right[:place] + b"gleam_one" + right[place + 9 :]
    text = "\n".join(found_in(changed, MAC, header, tmp_path))
    assert "its signature is broken: page " in text
    start = right.rindex(struct.pack(">I", 0xFADE0CC0))
    assert library.signature_fault(right[:start], right[start:]) == ""
    assert "covers" in library.signature_fault(right[: start - 1], right[start:])
    assert "cannot be read" in library.signature_fault(right[:start], b"")


@pytest.mark.slow
def test_framework_that_crept_in_is_named(zig: Zig, header: Path, tmp_path: Path) -> None:
    name = "/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation"
    stub = tmp_path / "libCoreFoundation.dylib"
    stub.write_bytes(zig("aarch64-macos.11.0", install_name(name), source="__declspec(dllexport) int CFx(void) {}\n"))
    source = "int CFx(void); int (*keep)(void) = CFx;\n"
    text = only(found_in(zig("aarch64-macos.11.0", install_name(), stub, source=source), MAC, header, tmp_path))
    assert f"it imports {name}: a framework of macOS" in text


# --- changing bytes of a library --------------------------------------------------------------------------------------


def edited(
    data: bytes,
    *,
    machine: Callable[[int], int] = lambda value: value,
    characteristics: Callable[[int], int] = lambda value: value,
) -> bytes:
    """Return a library with other header fields (Microsoft, "PE Format": machine +4, characteristics +22)."""
    changed = bytearray(data)
    start = struct.unpack_from("<I", data, 0x3C)[0]
    for offset, change in ((4, machine), (22, characteristics)):
        struct.pack_into("<H", changed, start + offset, change(struct.unpack_from("<H", data, start + offset)[0]))
    return bytes(changed)


def with_delayed_import(data: bytes, dll: bytes) -> bytes:
    """Return a 64-bit library whose directory of delayed imports names a DLL, written where its source left room."""
    lief = pytest.importorskip("lief")
    library = lief.parse(data)
    room = data.index(b"ROOM")
    address = library.offset_to_virtual_address(room) - library.optional_header.imagebase
    changed = bytearray(data)
    # A descriptor (attributes, name, module, addresses, names, bound, unload, time), an empty one, name, tables.
    name, table, entry = address + 64, address + 96, address + 128
    struct.pack_into("<8I", changed, room, 1, name, table, table, table, 0, 0, 0)
    changed[room + 32 : room + 64] = bytes(32)
    changed[room + 64 : room + 64 + len(dll) + 1] = dll + b"\0"
    struct.pack_into("<QQ", changed, room + 96, entry, 0)
    changed[room + 128 : room + 138] = b"\0\0Py_Main\0"
    optional = struct.unpack_from("<I", data, 0x3C)[0] + 24
    struct.pack_into("<II", changed, optional + 112 + 13 * 8, address, 64)
    return bytes(changed)


# --- wheels of other projects -----------------------------------------------------------------------------------------

SYSTEM = ("kernel32.dll", "msvcrt.dll")


def foreign(data: bytes, tag: str, name: str = "small/_native.pyd", **files: bytes) -> Wheel:
    return Wheel(data, tag=tag, name="small-1.5", library_name=name, files={"small/__init__.py": b"", **files})


@needs_mingw
@pytest.mark.parametrize("tag", ["cp313-cp313-win_amd64", "cp39-abi3-win_amd64", "py3-none-win_amd64"])
def test_right_wheel_of_any_project_has_no_findings(build: Build, tmp_path: Path, tag: str) -> None:
    assert audit.check_any(foreign(build(), tag).write(tmp_path), X64, SYSTEM) == []


@needs_mingw
def test_missing_dll_is_named_and_one_in_the_wheel_is_not(build: Build, tmp_path: Path) -> None:
    lib = import_library(tmp_path, X64, "zlib1.dll", "compress")
    data = build(source="int compress(void); __declspec(dllexport) int f(void) { return compress(); }", options=(lib,))
    wheel = foreign(data, "cp313-cp313-win_amd64")
    finding = only(audit.check_any(wheel.write(tmp_path), X64, SYSTEM))
    assert finding.startswith("small/_native.pyd: it imports zlib1.dll, which is neither in the wheel")
    wheel.files["small.libs/ZLIB1.dll"] = build()
    assert audit.check_any(wheel.write(tmp_path), X64, SYSTEM) == []


@needs_mingw
def test_wheel_for_another_machine_is_found(build: Build, tmp_path: Path) -> None:
    path = foreign(build(X86), "cp313-cp313-win_amd64").write(tmp_path)
    assert (
        only(audit.check_any(path, X64, SYSTEM))
        == "small/_native.pyd: it is for x86, 32 bit; the tag win_amd64 means AMD64, 64 bit"
    )


@needs_mingw
@pytest.mark.parametrize(
    ("tag", "finding"),
    [
        ("cp39-abi3-win_amd64", "though the tag abi3 promises python3.dll alone"),
        ("py3-none-win_amd64", "though the tag none promises no Python at all"),
        ("cp312-cp312-win_amd64", "the tags are for cp312"),
        ("cp313-cp313-win_amd64", ""),
    ],
)
def test_claim_about_the_interface_of_python_is_checked(build: Build, tmp_path: Path, tag: str, finding: str) -> None:
    lib = import_library(tmp_path, X64, "python313.dll", "Py_x")
    data = build(source="int Py_x(void); __declspec(dllexport) int f(void) { return Py_x(); }", options=(lib,))
    found = audit.check_any(foreign(data, tag).write(tmp_path), X64, SYSTEM)
    assert [finding in line for line in found] == ([True] if finding else [])


def test_record_and_tags_of_any_wheel_are_checked(tmp_path: Path) -> None:
    wheel = foreign(b"", "py3-none-any", "small/data.txt", **{"small/a.py": b"x = 1\n"})
    assert audit.check_any(wheel.write(tmp_path), X64, SYSTEM) == []
    wheel.record = lambda rows: [row.replace("sha256=", "sha256=x") for row in rows[1:]]
    wheel.wheel = "Wheel-Version: 1.0\nTag: cp313-cp313-win32\n"
    text = "\n".join(audit.check_any(wheel.write(tmp_path), X64, SYSTEM))
    assert "RECORD: it does not list" in text and "the hash of small/a.py" in text
    assert "WHEEL: its tags are cp313-cp313-win32, those of the name py3-none-any" in text


@pytest.mark.parametrize(
    ("name", "version", "fits"),
    [
        ("a-1-cp313-cp313-win_amd64.whl", "3.13.1", True),
        ("a-1-cp313-cp313-win32.whl", "3.13.1", False),
        ("a-1-cp312-cp312-win_amd64.whl", "3.13.1", False),
        ("a-1-cp39-abi3-win_amd64.whl", "3.13.1", True),
        ("a-1-cp39-abi3-win_amd64.whl", "3.8.10", False),
        ("a-1-py3-none-any.whl", "3.7.9", True),
        ("a-1-py3-none-manylinux_2_17_x86_64.whl", "3.13.1", False),
    ],
)
def test_tags_say_which_python_a_wheel_fits(name: str, version: str, fits: bool) -> None:
    assert audit.fits(name, version, X64) is fits


def test_module_to_import_is_that_of_the_project_else_every_public_one(tmp_path: Path) -> None:
    wheel = foreign(b"", "py3-none-any", "other.py", **{"_private/__init__.py": b""})
    assert audit.modules(wheel.write(tmp_path)) == ["small"]
    wheel.files = {"first/__init__.py": b"", "_hidden/__init__.py": b""}
    assert audit.modules(wheel.write(tmp_path)) == ["first", "other"]
    wheel.library_name = "google/_upb/_message.pyd"
    wheel.files = {"google/protobuf/__init__.py": b"", "google/protobuf/text.py": b""}
    assert audit.modules(wheel.write(tmp_path)) == ["google.protobuf"]
