"""Open a finished wheel again and check that name, metadata, file list and library are what they promise to be.

All findings are reported at once. Sources: PEP 427 and 376 for wheels, PEP 770 for the list of crates, and the core
metadata specification. `library.py` reads the library.
"""

from __future__ import annotations

import base64
import csv
import email.parser
import fnmatch
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from glean_steps import archive, cargo, components, library, project, report, settings, system, wheel, workspace
from glean_steps.errors import AuditError, MissingArtifactError, UnsafeArchiveError
from glean_steps.targets import Target

_MINGW = "mingw's runtime, which no Windows has: link it statically"
_MICROSOFT = "Microsoft's runtime, which a bare Windows does not have"
# What a bare Windows lacks, and Wine may have. Python itself brings vcruntime140.
NOT_IN_WINDOWS: Mapping[str, str] = {
    **dict.fromkeys(("libgcc*.dll", "libwinpthread*.dll", "libstdc++*.dll"), _MINGW),
    **dict.fromkeys(("vcruntime*.dll", "msvcp*.dll", "concrt*.dll", "vcomp*.dll"), _MICROSOFT),
    "python*.dll": "it would tie the wheel to one Python, against its tag",
}
# Why an import is not among those of the target's entry; the first match explains.
REFUSED_IMPORTS: Mapping[str, str] = {
    **NOT_IN_WINDOWS,
    "*.framework/*": "a framework of macOS, which a core without windows has no use for",
    "*": "it is not among the libraries that the target's entry allows (targets.py)",
}
# What a linker exports beside the functions of the header; nobody calls them, and they are listed.
LINKER_EXPORTS: Mapping[str, tuple[str, ...]] = {
    "zig": (
        *("_mh_dylib_header", "__dso_handle", "rust_eh_personality", "_RN*EMPTY_PANIC"),
        *("_CRT_INIT", "__mingw_module_is_dll", "atexit", "DllMain*", "unw_*", "__unw_*", "__libunwind_*"),
    ),
}

OPTIONAL_METADATA = ("top_level.txt", "entry_points.txt", "licenses/*", components.LIST)

# Folders that only a developer's or CI machine has; a path below one in a wheel tells strangers about it.
PRIVATE_FOLDERS = ("/home/", "/root/", "/Users/", "/tmp/", "C:\\Users\\")


@dataclass(frozen=True)
class AuditReport:
    """A wheel that passed.

    Attributes:
        imports, exports: the libraries that its library needs, delayed ones included, and the functions that it offers.
        facts: further things found out, as (what, value).
    """

    wheel: Path
    size_bytes: int
    sha256: str
    imports: tuple[str, ...]
    exports: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def summary(self) -> str:
        """What was found out, in a few words for a table."""
        known = dict(self.facts)
        oldest = known.get("oldest macOS") and f"from macOS {known['oldest macOS']}"
        parts = [known["machine"], known.get("newest symbol"), oldest, f"{len(self.exports)} exports"]
        return ", ".join(part for part in parts if part)


@dataclass
class _Case:
    """One audit while it runs."""

    name: str
    target: Target
    files: dict[str, bytes] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)

    def find(self, where: str, wrong: str) -> None:
        self.findings.append(f"{where}: {wrong}")

    @property
    def metadata_folder(self) -> str:
        """The folder that PEP 427 wants for a wheel of this name."""
        return "-".join(self.name.split("-")[:2]) + ".dist-info"

    def text(self, name: str) -> str | None:
        """Return a metadata file's text; None when it is missing, which the file list reports, or no text."""
        data = self.files.get(f"{self.metadata_folder}/{name}")
        try:
            return None if data is None else data.decode("utf-8")
        except UnicodeDecodeError as error:
            self.find(f"{self.metadata_folder}/{name}", f"it is not UTF-8: {error}")
            return None


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name has one of the patterns; upper and lower case differ."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def check(
    path: Path,
    target: Target,
    *,
    header: Path,
    lock: Path,
    expected_files: Iterable[str],
    private_folders: Iterable[str] | None = None,
) -> AuditReport:
    """Audit a wheel that was built for a target; return what was found out.

    Args:
        header: the C header; the library has to export what it declares, and nothing else.
        lock: the Cargo.lock whose crates the wheel has to list.
        expected_files: names of the package's files in the wheel.
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
    case = _Case(path.name, target)
    _check_name(case)
    try:
        case.files = archive.read_members(path)
    except UnsafeArchiveError as error:
        case.find("archive", error.why)
    else:
        _check_file_list(case, frozenset(expected_files))
        for name, check_text in _METADATA_CHECKS.items():
            text = case.text(name)
            if text is not None:
                check_text(case, text)
        folder = case.metadata_folder + "/"
        own = {name[len(folder) :]: data for name, data in case.files.items() if name.startswith(folder)}
        for fault in components.faults(own, lock):
            case.find("contents", fault)
        _check_private_folders(case, _private_folders() if private_folders is None else private_folders)
        _check_library(case, declared)
    count = len(case.findings)
    if count:
        raise AuditError(
            f"{case.name} must not be published: {count} finding{'s' if count > 1 else ''}",
            why="".join(f"\n    - {finding}" for finding in case.findings),
            fix="correct what made it and build again; an unpublished wheel costs nothing",
        )
    size_bytes, sha256 = path.stat().st_size, workspace.file_sha256(path)
    return AuditReport(path, size_bytes, sha256, tuple(case.imports), tuple(case.exports), tuple(case.facts))


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
    bodies = 1
    while bodies:
        text, bodies = re.subn(r"\{[^{}]*\}", ";", text)
    function = re.compile(r"\s*(?!typedef\b|static\b|return\b)[A-Za-z_][\w\s*]*?[\s*](\w+)\s*\(")
    found = [function.match(statement) for statement in re.split(r"[;{}]", text)]
    return frozenset(each.group(1) for each in found if each)


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


def _check_file_list(case: _Case, expected: frozenset[str]) -> None:
    folder = case.metadata_folder
    wanted = expected | {f"{folder}/{name}" for name in _METADATA_CHECKS}
    for name in sorted(wanted - case.files.keys()):
        case.find(name, "it is missing from the wheel")
    for name in sorted(case.files.keys() - wanted):
        if not matches(name, [f"{folder}/{pattern}" for pattern in OPTIONAL_METADATA]):
            case.find(name, "it does not belong in the wheel")


def _check_record(case: _Case, text: str) -> None:
    listed: Counter[str] = Counter()
    for row in csv.reader(text.splitlines()):
        if len(row) != 3:
            case.find("RECORD", f"the line {','.join(row)!r} does not have three columns")
            continue
        name, digest, size = row
        listed[name] += 1
        data = case.files.get(name)
        if name == f"{case.metadata_folder}/RECORD":
            if digest or size:
                case.find("RECORD", "it holds a hash or size of itself, which cannot be")
        elif data is None:
            case.find("RECORD", f"it lists {name}, which is not in the wheel")
        else:
            right = "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            if digest != right:
                case.find("RECORD", f"the hash of {name} is {digest or 'missing'}, its content has {right}")
            if size != str(len(data)):
                case.find("RECORD", f"the size of {name} is {size or 'missing'}, its content has {len(data)} bytes")
    for name, count in sorted(listed.items()):
        if count > 1:
            case.find("RECORD", f"it lists {name} {count} times")
    for name in sorted(case.files.keys() - listed.keys()):
        case.find("RECORD", f"it does not list {name}")


def _check_wheel_metadata(case: _Case, text: str) -> None:
    fields = email.parser.Parser().parsestr(text)
    for name, found, right in (
        ("Wheel-Version", fields.get_all("Wheel-Version", []), ["1.0"]),
        ("Root-Is-Purelib", [value.lower() for value in fields.get_all("Root-Is-Purelib", [])], ["false"]),
        ("Tag", fields.get_all("Tag", []), [_name_tag(case.name)]),
        ("Build", fields.get_all("Build", []), []),
    ):
        if found != right:
            case.find("WHEEL", f"{name} is {', '.join(found) or 'missing'}, not {', '.join(right) or 'absent'}")


def _check_core_metadata(case: _Case, text: str) -> None:
    from packaging.metadata import ExceptionGroup, Metadata, parse_email
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    raw, unknown = parse_email(text)
    for name in sorted(unknown):
        case.find("METADATA", f"the field {name} is unknown or cannot be read")
    try:
        Metadata.from_raw(raw, validate=True)
    except ExceptionGroup as group:
        for inner in group.exceptions:
            case.find("METADATA", str(inner))
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


# The files that the metadata folder has to hold.
_METADATA_CHECKS: Mapping[str, Callable[[_Case, str], None]] = {
    "RECORD": _check_record,
    "WHEEL": _check_wheel_metadata,
    "METADATA": _check_core_metadata,
}


def _private_folders() -> tuple[str, ...]:
    """Return the usual private folders and this machine's: home, checkout, caches; what is right below / is common."""
    root = workspace.here().root
    own = [str(Path.home()), str(root), str(settings.cache()), os.environ.get("CARGO_HOME", "")]
    # The checkout is looked for wherever it lies, unless it lies where libraries say that every checkout does.
    inside = [f"{root}/{name}/" for name in (project.CRATE, project.PACKAGE) if str(root) != project.REMAPPED_ROOT]
    return (*PRIVATE_FOLDERS, *(f"{folder}/" for folder in own if folder.count("/") > 1), *inside)


def _check_private_folders(case: _Case, folders: Iterable[str]) -> None:
    needles = [needle for folder in folders for needle in (folder.encode(), folder.encode("utf-16-le"))]
    for name, data in sorted(case.files.items()):
        for needle in needles:
            start = data.find(needle)
            if start >= 0:
                shown = data[start : start + 80].split(b"\0\0\0")[0].decode("ascii", "replace").replace("\0", "")
                case.find(name, f"it holds a path of the machine that built it: {shown!r}")
                break


# --- library ----------------------------------------------------------------------------------------------------------


def _check_library(case: _Case, declared: frozenset[str]) -> None:
    name = f"{project.PACKAGE}/{case.target.library}"
    data = case.files.get(name)
    if data is None:
        native = [each for each in case.files if PurePosixPath(each).suffix in (".dll", ".so", ".dylib", ".pyd")]
        case.find(name, f"there is no library; native files inside: {', '.join(native) or 'none'}")
        return
    found = _read_library(case, name, data)
    if found is None:
        return
    for finding in found.findings:
        case.find(name, finding)
    case.imports = found.imports
    allowed = [pattern.lower() for pattern, _ in case.target.imports]
    for imported in found.imports:
        if not matches(imported.lower(), allowed):
            reason = next(why for pattern, why in REFUSED_IMPORTS.items() if matches(imported.lower(), [pattern]))
            case.find(name, f"it imports {imported}: {reason}")
    _check_oldest_system(case, name, found)
    _check_exports(case, name, set(found.exports), declared)
    case.facts += [("machine", f"{found.machine}, {found.bits} bit"), *found.facts]
    case.facts.append(("library", report.human_size(len(data))))


def _read_library(case: _Case, name: str, data: bytes) -> library.Library | None:
    """Return what a library says about itself, its machine checked; None where it is none of the target's format."""
    target, found = case.target, library.read(data, case.target.library_format)
    if isinstance(found, str):
        case.find(name, found)
        return None
    if (found.machine, found.bits) != (target.machine, target.pointer_bits):
        wanted = f"{target.machine}, {target.pointer_bits} bit"
        case.find(name, f"it is for {found.machine}, {found.bits} bit; the tag {target.platform_tag} means {wanted}")
    return found


def _check_oldest_system(case: _Case, name: str, found: library.Library) -> None:
    """Check that the library runs on the oldest system that its tag promises: symbol versions, the field of macOS."""
    target, prefix = case.target, "GLIBC_"
    asked = {symbol: name[len(prefix) :] for symbol, name in found.versions.items() if name.startswith(prefix)}
    for symbol, version in sorted(asked.items()):
        if target.glibc and not system.is_at_least(target.glibc, version):
            promised = f"the tag {target.platform_tag} promises glibc {target.glibc}"
            case.find(name, f"it needs {symbol} of GLIBC_{version}, and {promised}{_who_asks(symbol)}")
    if asked:
        case.facts.append(("newest symbol", "GLIBC_" + max(asked.values(), key=system.version_numbers)))
    stated = re.fullmatch(r"macosx_(\d+)_(\d+)_\w+", target.platform_tag)
    oldest = ".".join(stated.groups()) if stated else ""
    if stated and found.minimum_os != oldest:
        case.find(name, f"it runs from macOS {found.minimum_os or '?'} on, not {oldest} as its tag says")
    if found.install_name and found.install_name != f"@rpath/{target.library}":
        case.find(name, f"its install name is {found.install_name}, not @rpath/{target.library}")


def _who_asks(symbol: str) -> str:
    """Return which locked crates name a function of the C library in their sources, as far as they are here."""
    wanted = re.compile(rf"\b{re.escape(symbol)}\b".encode())
    asking = []
    for crate in components.checksums(workspace.here().crate / "Cargo.lock"):
        folders = [folder / crate.replace("@", "-") / "src" for folder in cargo.registries()]
        if any(wanted.search(file.read_bytes()) for folder in folders for file in folder.rglob("*.rs")):
            asking.append(crate.split("@")[0])
    return f"; named in the sources of {', '.join(asking)}" if asking else ""


def _check_exports(case: _Case, name: str, exports: set[str], declared: frozenset[str]) -> None:
    known = LINKER_EXPORTS.get(case.target.linking, ())
    extras = {each for each in exports - declared if matches(each, known)}
    if not declared:
        case.find("header", "it declares no function")
    if declared - exports:
        case.find(name, f"it does not export what the header declares: {', '.join(sorted(declared - exports))}")
    undeclared = sorted(exports - declared - extras)
    if undeclared:
        case.find(name, f"it exports what the header does not declare: {', '.join(undeclared)}")
    if extras:
        case.facts.append(("linker's exports", ", ".join(sorted(extras))))
    case.exports = sorted(exports - extras)


# --- any project's wheel ----------------------------------------------------------------------------------------------

# What Windows has under no name of a file, and what Python brings.
PROVIDED = (
    *("api-ms-win-*", "ext-ms-win-*", "vcruntime140.dll", "vcruntime140_1.dll"),
    *("python3.dll", "python3t.dll", "libcrypto-*.dll", "libssl-*.dll"),
)


def check_any(path: Path, target: Target, system_dlls: Iterable[str]) -> list[str]:
    """Return what is wrong with a wheel of any project; empty when nothing was found.

    Checked are the archive, RECORD, the tags of name and WHEEL; of each native library the machine, the DLLs that it
    imports (`system_dlls`, in lower case, are those of Windows), and the interface of Python that the tags promise.
    """
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    case = _Case(path.name, target)
    try:
        tags = parse_wheel_filename(path.name)[3]
        case.files = archive.read_members(path)
    except InvalidWheelFilename as error:
        return [f"file name: it is not one that PEP 427 allows: {error}"]
    except UnsafeArchiveError as error:
        return [f"archive: {error.why}"]
    folders = {name.split("/")[0] for name in case.files if name.split("/")[0].endswith(".dist-info")}
    if folders != {case.metadata_folder}:
        shown = ", ".join(sorted(folders)) or "no folder"
        return [f"archive: its metadata is in {shown}, not {case.metadata_folder}"]
    record = case.text("RECORD")
    if record is not None:
        _check_record(case, record)
    fields = email.parser.Parser().parsestr(case.text("WHEEL") or "")
    stated, named = {tag.strip() for tag in fields.get_all("Tag", [])}, {str(tag) for tag in tags}
    if stated != named:
        case.find("WHEEL", f"its tags are {', '.join(sorted(stated))}, those of the name {', '.join(sorted(named))}")
    known = {*(PurePosixPath(name).name.lower() for name in case.files), *system_dlls}
    abis = {tag.abi for tag in tags}
    for name, data in sorted(case.files.items()):
        if PurePosixPath(name).suffix.lower() in (".pyd", ".dll") and ".data/purelib" not in name:
            _check_native(case, name, data, known, abis)
    return case.findings


def _check_native(case: _Case, name: str, data: bytes, known: set[str], abis: set[str]) -> None:
    found = _read_library(case, name, data)
    for dll in found.imports if found else ():
        low = dll.lower()
        if re.fullmatch(r"python3\d+t?\.dll", low):
            if abis == {"abi3"}:
                case.find(name, f"it imports {dll}, though the tag abi3 promises python3.dll alone")
            elif abis == {"none"}:
                case.find(name, f"it imports {dll}, though the tag none promises no Python at all")
            elif low[6:-4].rstrip("t") not in {abi[2:].rstrip("tmu") for abi in abis}:
                case.find(name, f"it imports {dll}, the tags are for {', '.join(sorted(abis))}")
        elif low not in known and not matches(low, PROVIDED):
            case.find(name, f"it imports {dll}, which is neither in the wheel nor a part of Windows or of Python")


def fits(name: str, version: str, target: Target) -> bool:
    """Return whether a wheel's tags admit a Windows CPython of this version and architecture."""
    from packaging.tags import compatible_tags, cpython_tags
    from packaging.utils import parse_wheel_filename

    numbers = tuple(int(part) for part in version.split(".")[:2])
    interpreter, platforms = f"cp{numbers[0]}{numbers[1]}", [target.platform_tag]
    allowed = {*cpython_tags(numbers, platforms=platforms), *compatible_tags(numbers, interpreter, platforms)}
    return not allowed.isdisjoint(parse_wheel_filename(name)[3])


def modules(path: Path) -> list[str]:
    """Return what to import to see whether a wheel works: the module of the project's name, else every public one.

    Where a namespace package is all there is, those are the shallowest below it.
    """
    found: dict[tuple[str, ...], None] = {}
    for name in archive.read_members(path):
        *folders, file = PurePosixPath(name).parts
        stem = file.split(".")[0]
        if file.endswith((".py", ".pyd")) and not any("." in folder for folder in folders):
            parts = (*folders, stem)
            found[parts[:-1] if stem == "__init__" else parts] = None
    project_name = path.name.split("-")[0].lower()
    named = [parts[0] for parts in found if len(parts) == 1 and parts[0].lower() == project_name]
    public = [parts for parts in found if parts and not any(part.startswith("_") for part in parts)]
    depth = min(map(len, public), default=0)
    return named or [".".join(parts) for parts in public if len(parts) == depth]
