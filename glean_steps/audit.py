"""Open a finished wheel again and check that name, metadata, file list and library are what they promise to be.

All findings are reported at once. Sources: PEP 427 and 376 for wheels, the core metadata specification, and Microsoft's
"PE Format" for libraries.
"""

from __future__ import annotations

import base64
import csv
import email.parser
import fnmatch
import hashlib
import importlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from glean_steps import archive, project, report, settings, wheel, workspace
from glean_steps.errors import AuditError, MissingArtifactError, UnsafeArchiveError
from glean_steps.targets import Target

# DLLs that every supported Windows has and that Rust's std, or a crate over it, can have a reason to import.
ALLOWED_IMPORTS: tuple[tuple[str, str], ...] = (
    ("kernel32.dll", "files, memory, threads"),
    ("ntdll.dll", "std's file calls that kernel32 does not offer"),
    ("api-ms-win-core-synch-l1-2-*.dll", "std's mutexes: WaitOnAddress"),
    ("bcryptprimitives.dll", "std's random numbers: ProcessPrng"),
    ("bcrypt.dll", "random numbers of crates"),
    ("advapi32.dll", "random numbers and tokens of older std"),
    ("userenv.dll", "std's home folder"),
    ("ws2_32.dll", "std's sockets"),
    ("ole32.dll", "COM, for crates that ask for the time zone"),
    ("msvcrt.dll", "mingw's C runtime, part of Windows"),
    ("ucrtbase.dll", "the universal C runtime, part of Windows since 10"),
    ("api-ms-win-crt-*.dll", "the universal C runtime, part of Windows since 10"),
)

# Why the usual suspects are not on that list; the first match explains.
REFUSED_IMPORTS: tuple[tuple[str, str], ...] = (
    ("libgcc*.dll", "mingw's runtime, which no Windows has: link it statically"),
    ("libwinpthread*.dll", "mingw's runtime, which no Windows has: link it statically"),
    ("libstdc++*.dll", "mingw's runtime, which no Windows has: link it statically"),
    ("python*.dll", "it would tie the wheel to one Python, against its tag"),
    ("vcruntime*.dll", "Microsoft's runtime, which a bare Windows does not have"),
    ("msvcp*.dll", "Microsoft's runtime, which a bare Windows does not have"),
    ("*", "it is not among the DLLs that Rust's std can need (ALLOWED_IMPORTS in audit.py)"),
)

# Machine code: name, size of an address in bits, magic number of the optional header.
MACHINES: Mapping[int, tuple[str, int, int]] = {
    0x8664: ("x86-64", 64, 0x20B),
    0x14C: ("i386", 32, 0x10B),
    0xAA64: ("ARM64", 64, 0x20B),
}

# What a file that is no PE library is instead, by its first bytes.
OTHER_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"\x7fELF", "a Linux library (ELF)"),
    (b"\xcf\xfa\xed\xfe", "a macOS library (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a macOS library (Mach-O, several architectures)"),
    (b"!<arch>\n", "a static library"),
)

REQUIRED_METADATA = ("METADATA", "RECORD", "WHEEL")
OPTIONAL_METADATA = ("top_level.txt", "entry_points.txt", "licenses/*")

# Folders that only a developer's or CI machine has; a path below one in a wheel tells strangers about it.
PRIVATE_FOLDERS = ("/home/", "/root/", "/Users/", "/tmp/", "C:\\Users\\")

_DLL, _RELOCATIONS_STRIPPED = 0x2000, 0x0001
_HIGH_ENTROPY, _DYNAMIC_BASE, _NX_COMPAT = 0x0020, 0x0040, 0x0100
_EXECUTE, _WRITE = 0x20000000, 0x80000000
_DIRECTORIES_USED = (0, 1, 13)  # Exports, imports, delayed imports.


@dataclass(frozen=True)
class AuditReport:
    """A wheel that passed.

    Attributes:
        wheel: the file.
        size_bytes: its size.
        sha256: its hash in hexadecimal.
        imports: the DLLs that its library needs, delayed ones included.
        exports: the functions that its library offers.
        facts: further things found out, as (what, value), for the closing table.
    """

    wheel: Path
    size_bytes: int
    sha256: str
    imports: tuple[str, ...]
    exports: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass
class _Case:
    """One audit while it runs."""

    name: str
    target: Target
    files: dict[str, bytes]
    findings: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)

    def find(self, where: str, wrong: str) -> None:
        self.findings.append(f"{where}: {wrong}")

    @property
    def metadata_folder(self) -> str:
        """The folder that PEP 427 wants for a wheel of this name."""
        return "-".join(self.name.split("-")[:2]) + ".dist-info"


def check(
    path: Path,
    target: Target,
    *,
    header: Path,
    expected_files: Iterable[str] | None = None,
    private_folders: Iterable[str] | None = None,
) -> AuditReport:
    """Audit a wheel; return what was found out.

    Args:
        path: the wheel.
        target: what it was built for.
        header: the C header; the library has to export what it declares, and nothing else.
        expected_files: names of the package's files in the wheel; those that this checkout gives when absent.
        private_folders: folders whose names must not be in any file; the usual ones and this machine's when absent.

    Raises:
        AuditError: lists every finding.
        MissingArtifactError: there is no wheel or no header.
    """
    try:
        declared = declared_functions(header.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingArtifactError(
            f"cannot read {header}", why=error.strerror or str(error), fix="make it: invoke build"
        ) from error
    case = _Case(path.name, target, {})
    _check_name(case)
    try:
        case.files = archive.read_members(path)
    except UnsafeArchiveError as error:
        case.find("archive", error.why)
        raise _failed(case) from error
    _check_file_list(case, _expected(expected_files, target))
    _check_record(case)
    _check_wheel_metadata(case)
    _check_core_metadata(case)
    _check_private_folders(case, tuple(private_folders) if private_folders is not None else _private_folders())
    imports, exports = _check_library(case, declared)
    if case.findings:
        raise _failed(case)
    return AuditReport(
        path, path.stat().st_size, workspace.file_sha256(path), tuple(imports), tuple(exports), tuple(case.facts)
    )


def report_lines(audited: AuditReport) -> list[str]:
    """Return what an audit found out, as lines to print."""
    rows = [
        ("file", str(audited.wheel)),
        ("size", f"{report.human_size(audited.size_bytes)} ({audited.size_bytes:,} bytes)"),
        ("SHA-256", audited.sha256),
        *audited.facts,
        ("imports", ", ".join(audited.imports) or "none"),
        ("exports", f"{len(audited.exports)} functions, all that the header declares"),
    ]
    width = max(len(what) for what, _ in rows)
    return [f"{what.ljust(width)}  {value}" for what, value in rows]


def expected_files(ws: workspace.Workspace, target: Target) -> frozenset[str]:
    """Return the names of the package's files in a wheel for `target`: sources, data, the cffi module, the library."""
    made = {f"{project.PACKAGE}/{project.WRITTEN_MODULE}", f"{project.PACKAGE}/{target.library}"}
    return project.packaged_files(ws.root) | made


def declared_functions(header: str) -> frozenset[str]:
    """Return the names of the functions that a C header declares; types, macros and inline functions are none."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", header, flags=re.DOTALL)
    text = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", "", text, flags=re.MULTILINE)
    text = re.sub(r'\bextern\s+"C"\s*\{?', " ", text)
    while True:
        shorter = re.sub(r"\{[^{}]*\}", ";", text)
        if shorter == text:
            break
        text = shorter
    names = set()
    for statement in re.split(r"[;{}]", text):
        found = re.match(r"\s*(?!typedef\b|static\b|return\b)[A-Za-z_][\w\s*]*?[\s*](\w+)\s*\(", statement)
        if found:
            names.add(found.group(1))
    return frozenset(names)


def _failed(case: _Case) -> AuditError:
    count = len(case.findings)
    return AuditError(
        f"{case.name} must not be published: {count} finding{'s' if count > 1 else ''}",
        why="".join(f"\n    - {finding}" for finding in case.findings),
        fix="correct what made it and build again; an unpublished wheel costs nothing",
    )


# --- name, file list, metadata ----------------------------------------------------------------------------------------


def _check_name(case: _Case) -> None:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        parse_wheel_filename(case.name)
        wanted = wheel.tagged_name(case.name, case.target)
    except (InvalidWheelFilename, AuditError) as error:
        case.find("file name", f"it is not one that PEP 427 allows: {error}")
        return
    if case.name != wanted:
        case.find("file name", f"its tag is {_name_tag(case.name)}, not {_name_tag(wanted)}")


def _name_tag(name: str) -> str:
    return "-".join(name[: -len(".whl")].split("-")[-3:])


def _expected(files: Iterable[str] | None, target: Target) -> frozenset[str]:
    """Return the given names, or those that this checkout gives."""
    return expected_files(workspace.here(), target) if files is None else frozenset(files)


def _check_file_list(case: _Case, expected: frozenset[str]) -> None:
    folder = case.metadata_folder
    wanted = expected | {f"{folder}/{name}" for name in REQUIRED_METADATA}
    for name in sorted(wanted - case.files.keys()):
        case.find(name, "it is missing from the wheel")
    for name in sorted(case.files.keys() - wanted):
        if not any(fnmatch.fnmatchcase(name, f"{folder}/{pattern}") for pattern in OPTIONAL_METADATA):
            case.find(name, "it does not belong in the wheel")


def _metadata(case: _Case, name: str) -> str | None:
    """Return a metadata file's text; None when it is missing, which the file list reports, or no text."""
    path = f"{case.metadata_folder}/{name}"
    if path not in case.files:
        return None
    try:
        return case.files[path].decode("utf-8")
    except UnicodeDecodeError as error:
        case.find(path, f"it is not UTF-8: {error}")
        return None


def _check_record(case: _Case) -> None:
    text = _metadata(case, "RECORD")
    if text is None:
        return
    record = f"{case.metadata_folder}/RECORD"
    listed: dict[str, int] = {}
    for row in csv.reader(text.splitlines()):
        if len(row) != 3:
            case.find("RECORD", f"the line {','.join(row)!r} does not have three columns")
            continue
        name, digest, size = row
        listed[name] = listed.get(name, 0) + 1
        if name == record:
            if digest or size:
                case.find("RECORD", "it holds a hash or size of itself, which cannot be")
        elif name not in case.files:
            case.find("RECORD", f"it lists {name}, which is not in the wheel")
        else:
            _check_record_row(case, name, digest, size)
    for name, count in sorted(listed.items()):
        if count > 1:
            case.find("RECORD", f"it lists {name} {count} times")
    for name in sorted(case.files.keys() - listed.keys()):
        case.find("RECORD", f"it does not list {name}")


def _check_record_row(case: _Case, name: str, digest: str, size: str) -> None:
    data = case.files[name]
    right = "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    if digest != right:
        case.find("RECORD", f"the hash of {name} is {digest or 'missing'}, its content has {right}")
    if size != str(len(data)):
        case.find("RECORD", f"the size of {name} is {size or 'missing'}, its content has {len(data)} bytes")


def _check_wheel_metadata(case: _Case) -> None:
    text = _metadata(case, "WHEEL")
    if text is None:
        return
    fields = email.parser.Parser().parsestr(text)
    wanted = [_name_tag(case.name)]
    for name, found, right in (
        ("Wheel-Version", fields.get_all("Wheel-Version", []), ["1.0"]),
        ("Root-Is-Purelib", [value.lower() for value in fields.get_all("Root-Is-Purelib", [])], ["false"]),
        ("Tag", fields.get_all("Tag", []), wanted),
        ("Build", fields.get_all("Build", []), []),
    ):
        if found != right:
            case.find("WHEEL", f"{name} is {', '.join(found) or 'missing'}, not {', '.join(right) or 'absent'}")


def _check_core_metadata(case: _Case) -> None:
    from packaging.metadata import ExceptionGroup, InvalidMetadata, Metadata, RawMetadata, parse_email
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    text = _metadata(case, "METADATA")
    if text is None:
        return
    raw: RawMetadata
    raw, unknown = parse_email(text)
    for name in sorted(unknown):
        case.find("METADATA", f"the field {name} is unknown or cannot be read")
    try:
        Metadata.from_raw(raw, validate=True)
    except ExceptionGroup as group:
        for inner in group.exceptions:
            case.find("METADATA", str(inner))
    except InvalidMetadata as error:
        case.find("METADATA", str(error))
    distribution, version = (case.name.split("-") + ["", ""])[:2]
    if canonicalize_name(raw.get("name", "")) != canonicalize_name(distribution):
        case.find("METADATA", f"Name is {raw.get('name', 'missing')}, the file name says {distribution}")
    if raw.get("version") != version:
        case.find("METADATA", f"Version is {raw.get('version', 'missing')}, the file name says {version}")
    if not raw.get("requires_python"):
        case.find("METADATA", "Requires-Python is missing, so that any Python would take the wheel")
    needed = set()
    for line in raw.get("requires_dist", []):
        try:
            needed.add(canonicalize_name(Requirement(line).name))
        except InvalidRequirement:
            pass  # Reported by the validation above.
    for name in sorted(set(project.REQUIRES) - needed):
        case.find("METADATA", f"Requires-Dist does not name {name}, which the package imports")
    case.facts.append(("requires", f"Python {raw.get('requires_python', '')}, {', '.join(sorted(needed))}"))


def _private_folders() -> tuple[str, ...]:
    """Return the usual private folders and this machine's: home, checkout, caches; what is right below / is common."""
    own = [str(Path.home()), str(workspace.here().root), str(settings.cache()), os.environ.get("CARGO_HOME", "")]
    return (*PRIVATE_FOLDERS, *(f"{folder}/" for folder in own if folder.count("/") > 1))


def _check_private_folders(case: _Case, folders: Sequence[str]) -> None:
    needles = [needle for folder in folders for needle in (folder.encode(), folder.encode("utf-16-le"))]
    for name, data in sorted(case.files.items()):
        for needle in needles:
            start = data.find(needle)
            if start >= 0:
                shown = data[start : start + 80].split(b"\0\0\0")[0].decode("ascii", "replace").replace("\0", "")
                case.find(name, f"it holds a path of the machine that built it: {shown!r}")
                break


# --- library ----------------------------------------------------------------------------------------------------------


def _check_library(case: _Case, declared: frozenset[str]) -> tuple[list[str], list[str]]:
    """Check the library; return the DLLs that it imports and the functions that it exports."""
    name = f"{project.PACKAGE}/{case.target.library}"
    data = case.files.get(name)
    if data is None:
        native = [each for each in case.files if PurePosixPath(each).suffix in (".dll", ".so", ".dylib", ".pyd")]
        case.find(name, f"there is no library; native files inside: {', '.join(native) or 'none'}")
        return [], []
    library = _open_library(case, name, data)
    if library is None:
        return [], []
    _check_machine(case, name, library)
    _check_protection(case, name, library)
    _check_stripped(case, name, library)
    case.facts.append(("library", report.human_size(len(data))))
    return _check_imports(case, name, library), _check_exports(case, name, library, declared)


def _open_library(case: _Case, name: str, data: bytes) -> Any:
    """Return a parsed PE library; None, with a finding, when it is none."""
    pefile: Any = importlib.import_module("pefile")  # It has no type hints.
    try:
        library = pefile.PE(data=data, fast_load=True)
        library.parse_data_directories(directories=list(_DIRECTORIES_USED))
    except pefile.PEFormatError as error:
        kind = next((kind for magic, kind in OTHER_FORMATS if data.startswith(magic)), "")
        case.find(name, f"it is not a Windows library but {kind}" if kind else f"it is not a Windows library: {error}")
        return None
    return library


def _imported(library: Any) -> list[str]:
    """Return the DLLs that a library imports, delayed ones included."""
    entries = [*getattr(library, "DIRECTORY_ENTRY_IMPORT", []), *getattr(library, "DIRECTORY_ENTRY_DELAY_IMPORT", [])]
    return sorted({(entry.dll or b"").decode("ascii", "replace") for entry in entries}, key=str.lower)


def _check_machine(case: _Case, name: str, library: Any) -> None:
    machine, wanted = library.FILE_HEADER.Machine, case.target.pe_machine
    label, bits, magic = MACHINES.get(machine, ("unknown", 0, 0))
    wanted_label = MACHINES[wanted][0]
    if machine != wanted:
        case.find(
            name,
            f"it is for {label} ({machine:#x}), the tag {case.target.platform_tag} means {wanted_label} ({wanted:#x})",
        )
    if library.OPTIONAL_HEADER.Magic != magic:
        case.find(
            name, f"its optional header has the magic {library.OPTIONAL_HEADER.Magic:#x}, {label} wants {magic:#x}"
        )
    if not library.FILE_HEADER.Characteristics & _DLL:
        case.find(name, "it is a program, not a DLL")
    case.facts.append(("machine", f"{label}, {bits} bit"))


def _check_protection(case: _Case, name: str, library: Any) -> None:
    flags = library.OPTIONAL_HEADER.DllCharacteristics
    for bit, label in ((_NX_COMPAT, "NX_COMPAT (data cannot run)"), (_DYNAMIC_BASE, "DYNAMIC_BASE (random address)")):
        if not flags & bit:
            case.find(name, f"it lacks the flag {label}")
    if library.FILE_HEADER.Characteristics & _RELOCATIONS_STRIPPED:
        case.find(name, "its relocations are stripped, so it cannot be loaded at a random address")
    for section in library.sections:
        if section.Characteristics & _EXECUTE and section.Characteristics & _WRITE:
            case.find(name, f"its section {_section_name(section)} can be written and run")
    entropy = "yes" if flags & _HIGH_ENTROPY else "no"
    case.facts.append(("protection", f"DEP, ASLR (64-bit addresses: {entropy})"))


def _check_stripped(case: _Case, name: str, library: Any) -> None:
    symbols = library.FILE_HEADER.NumberOfSymbols
    if symbols or library.FILE_HEADER.PointerToSymbolTable:
        case.find(name, f"it is not stripped: {symbols:,} symbols")
    # A name of more than eight characters is written /<offset into the symbol table's strings>; mingw has it to debug.
    names = [_section_name(section) for section in library.sections]
    debug = [section for section in names if section.startswith((".debug", ".zdebug", ".stab", "/"))]
    if debug:
        case.find(name, f"it is not stripped: debug sections {', '.join(debug)}")


def _check_imports(case: _Case, name: str, library: Any) -> list[str]:
    imports = _imported(library)
    for dll in imports:
        if not any(fnmatch.fnmatchcase(dll.lower(), pattern) for pattern, _ in ALLOWED_IMPORTS):
            reason = next(reason for pattern, reason in REFUSED_IMPORTS if fnmatch.fnmatchcase(dll.lower(), pattern))
            case.find(name, f"it imports {dll}: {reason}")
    return imports


def _check_exports(case: _Case, name: str, library: Any, declared: frozenset[str]) -> list[str]:
    directory = getattr(library, "DIRECTORY_ENTRY_EXPORT", None)
    symbols = directory.symbols if directory is not None else []
    exports = {symbol.name.decode("ascii", "replace") for symbol in symbols if symbol.name}
    for symbol in symbols:
        if not symbol.name:
            case.find(name, f"it exports number {symbol.ordinal} without a name")
        elif symbol.forwarder:
            case.find(name, f"{symbol.name.decode('ascii', 'replace')} is forwarded to {symbol.forwarder.decode()}")
    missing, extra = sorted(declared - exports), sorted(exports - declared)
    if not declared:
        case.find("header", "it declares no function")
    if missing:
        case.find(name, f"it does not export what the header declares: {', '.join(missing)}")
    if extra:
        case.find(name, f"it exports what the header does not declare: {', '.join(extra)}")
    return sorted(exports)


def _section_name(section: Any) -> str:
    raw: bytes = section.Name
    return raw.rstrip(b"\0").decode("ascii", "replace")


# --- any project's wheel ----------------------------------------------------------------------------------------------

# Runtimes of compilers: Wine has some of them, a bare Windows has none. Python itself brings vcruntime140.
NOT_IN_WINDOWS = ("vcruntime*", "msvcp*", "concrt*", "vcomp*", "libgcc*", "libstdc++*", "libwinpthread*", "python*")
PYTHON_BRINGS = (
    "vcruntime140.dll",
    "vcruntime140_1.dll",
    "python3.dll",
    "python3t.dll",
    "libcrypto-*.dll",
    "libssl-*.dll",
)


def check_any(path: Path, target: Target, system_dlls: Iterable[str]) -> list[str]:
    """Return what is wrong with a wheel of any project; empty when nothing was found.

    Checked are the archive, RECORD, the tags of name and WHEEL; of each native library the machine, the DLLs that it
    imports, and whether it keeps to the stable interface where the tags say so.

    Args:
        system_dlls: names of the DLLs that Windows has, in lower case.
    """
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    case = _Case(path.name, target, {})
    try:
        tags = parse_wheel_filename(path.name)[3]
        case.files = archive.read_members(path)
    except InvalidWheelFilename as error:
        return [f"file name: it is not one that PEP 427 allows: {error}"]
    except UnsafeArchiveError as error:
        return [f"archive: {error.why}"]
    folders = {name.split("/")[0] for name in case.files if name.split("/")[0].endswith(".dist-info")}
    if folders != {case.metadata_folder}:
        case.find(
            "archive", f"its metadata is in {', '.join(sorted(folders)) or 'no folder'}, not {case.metadata_folder}"
        )
        return case.findings
    _check_record(case)
    text = _metadata(case, "WHEEL") or ""
    stated = {tag for line in email.parser.Parser().parsestr(text).get_all("Tag", []) for tag in [line.strip()]}
    if stated != {str(tag) for tag in tags}:
        case.find(
            "WHEEL",
            f"its tags are {', '.join(sorted(stated))}, those of the name {', '.join(map(str, sorted(tags, key=str)))}",
        )
    own = {PurePosixPath(name).name.lower() for name in case.files}
    known = {*own, *system_dlls}
    abis = {tag.abi for tag in tags}
    for name, data in sorted(case.files.items()):
        if PurePosixPath(name).suffix.lower() in (".pyd", ".dll") and ".data/purelib" not in name:
            _check_native(case, name, data, known, abis)
    return case.findings


def _check_native(case: _Case, name: str, data: bytes, known: set[str], abis: set[str]) -> None:
    library = _open_library(case, name, data)
    if library is None:
        return
    machine, wanted = library.FILE_HEADER.Machine, case.target.pe_machine
    if machine != wanted:
        label = MACHINES.get(machine, ("an unknown machine", 0, 0))[0]
        case.find(name, f"it is for {label}, the tag {case.target.platform_tag} means {MACHINES[wanted][0]}")
    for dll in _imported(library):
        low = dll.lower()
        if re.fullmatch(r"python3\d+t?\.dll", low):
            if abis == {"abi3"}:
                case.find(name, f"it imports {dll}, though the tag abi3 promises python3.dll alone")
            elif abis == {"none"}:
                case.find(name, f"it imports {dll}, though the tag none promises no Python at all")
            elif low[6:-4].rstrip("t") not in {abi[2:].rstrip("tmu") for abi in abis}:
                case.find(name, f"it imports {dll}, the tags are for {', '.join(sorted(abis))}")
        elif low.startswith(("api-ms-win-", "ext-ms-win-")) or low in known:
            continue
        elif not any(fnmatch.fnmatchcase(low, pattern) for pattern in PYTHON_BRINGS):
            case.find(name, f"it imports {dll}, which is neither in the wheel nor a part of Windows or of Python")


def fits(name: str, version: str, target: Target) -> bool:
    """Return whether a wheel's tags admit a Windows CPython of this version and architecture."""
    from packaging.tags import Tag, compatible_tags, cpython_tags
    from packaging.utils import parse_wheel_filename

    numbers = tuple(int(part) for part in version.split(".")[:2])
    platforms = [target.platform_tag]
    allowed: set[Tag] = {*cpython_tags(numbers, platforms=platforms)}
    allowed |= {*compatible_tags(numbers, f"cp{numbers[0]}{numbers[1]}", platforms)}
    return bool(parse_wheel_filename(name)[3] & allowed)


def modules(path: Path) -> list[str]:
    """Return what to import to see whether a wheel works: the module of the project's name, else every public one."""
    tops: dict[str, None] = {}
    for name in archive.read_members(path):
        top, _, rest = name.partition("/")
        if "." not in top and rest.split(".")[0] == "__init__":
            tops[top] = None
        elif not rest and PurePosixPath(top).suffix in (".py", ".pyd"):
            tops[top.split(".")[0]] = None
    project_name = path.name.split("-")[0].lower()
    named = [top for top in tops if top.lower() == project_name]
    return named or [top for top in tops if not top.startswith("_")]
