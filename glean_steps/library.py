"""What a shared library says about itself, whatever its container format: one reader each for PE, ELF and Mach-O.

lief reads the files. Sources: Microsoft, "PE Format"; the ELF and GNU ABI specifications; Apple's mach-o/loader.h and
cs_blobs.h for signatures.
"""

from __future__ import annotations

import hashlib
import importlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

# What a file that is none of these is instead, by its first bytes.
OTHER_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"MZ", "a Windows library (PE)"),
    (b"\x7fELF", "a Linux library (ELF)"),
    (b"\xcf\xfa\xed\xfe", "a macOS library (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a macOS library (Mach-O, several architectures)"),
    (b"!<arch>\n", "a static library"),
)
FORMATS: Mapping[str, str] = {"pe": "Windows", "elf": "Linux", "macho": "macOS"}

# By what lief calls a processor: what `platform.machine()` calls it there.
_MACHINES: Mapping[str, Mapping[str, str]] = {
    "pe": {"AMD64": "AMD64", "I386": "x86", "ARM64": "ARM64"},
    "elf": {
        **{"X86_64": "x86_64", "I386": "i686", "AARCH64": "aarch64", "ARM": "armv7l"},
        **{"S390": "s390x", "RISCV": "riscv64", "PPC64": "ppc64le"},
    },
    "macho": {"X86_64": "x86_64", "ARM64": "arm64"},
}
# The processors of them that store the highest byte first.
_BIG_ENDIAN = frozenset({"s390x"})

_PE_DLL, _PE_RELOCATIONS_STRIPPED = 0x2000, 0x0001
_PE_HIGH_ENTROPY, _PE_DYNAMIC_BASE, _PE_NX_COMPAT = 0x0020, 0x0040, 0x0100
_PE_EXECUTE, _PE_WRITE = 0x20000000, 0x80000000
_DEBUG = (".debug", ".zdebug", ".stab", "/")
# Of a symbol that is not bound to one library: any that is loaded, or the program itself.
_NO_LIBRARY = (0xFE, 0xFF)
_SIGNATURE, _CODE_DIRECTORY, _AD_HOC, _SHA256 = 0xFADE0CC0, 0xFADE0C02, 0x2, 2


@dataclass
class Library:
    """A shared library.

    Attributes:
        machine: its processor, as `platform.machine()` names it there.
        bits: width of its pointers.
        imports, exports: the libraries that it needs, delayed ones included, and the functions that it offers.
        versions: by imported symbol, the version of it that is asked for, such as `GLIBC_2.17`.
        minimum_os: the oldest macOS that loads it, such as `11.0`.
        install_name: what a program that links against it on macOS would look for.
        findings, facts: what is wrong with it for every target; what else was found out, as (what, value).
    """

    machine: str
    bits: int
    imports: list[str] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    minimum_os: str = ""
    install_name: str = ""
    findings: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)

    def find_if(self, is_wrong: object, finding: str) -> None:
        """Note what is wrong, if it is."""
        if is_wrong:
            self.findings.append(finding)


def read(data: bytes, kind: str) -> Library | str:
    """Return what a library of a format (`pe`, `elf`, `macho`) says; for another file, a text that says what it is."""
    lief: Any = importlib.import_module("lief")  # Its type hints name classes that mypy cannot follow.
    lief.logging.disable()
    wanted = {"pe": lief.PE.Binary, "elf": lief.ELF.Binary, "macho": lief.MachO.Binary}[kind]
    other = next((f"but {name}" for magic, name in OTHER_FORMATS if data.startswith(magic)), "")
    binary = lief.parse(data) if data else None
    if not isinstance(binary, wanted):
        foreign = "" if other.startswith(f"but a {FORMATS[kind]} library") else other
        return f"it is not a {FORMATS[kind]} library {foreign or '(it cannot be read)'}"
    return _READERS[kind](binary, data)


def _read_pe(binary: Any, data: bytes) -> Library:
    header, flags = binary.header, int(binary.optional_header.dll_characteristics)
    characteristics, symbols = int(header.characteristics), header.numberof_symbols
    bits = 64 if binary.optional_header.magic.name == "PE32_PLUS" else 32
    found = Library(_machine("pe", header.machine), bits)
    found.imports = _names(entry.name for entry in (*binary.imports, *binary.delay_imports))
    found.find_if(not characteristics & _PE_DLL, "it is a program, not a DLL")
    found.find_if(not flags & _PE_NX_COMPAT, "it lacks the flag NX_COMPAT (data cannot run)")
    found.find_if(not flags & _PE_DYNAMIC_BASE, "it lacks the flag DYNAMIC_BASE (random address)")
    unmovable = "its relocations are stripped, so it cannot be loaded at a random address"
    found.find_if(characteristics & _PE_RELOCATIONS_STRIPPED, unmovable)
    for section in binary.sections:
        is_wild = section.characteristics & _PE_EXECUTE and section.characteristics & _PE_WRITE
        found.find_if(is_wild, f"its section {section.name} can be written and run")
    found.find_if(symbols or header.pointerto_symbol_table, f"it is not stripped: {symbols:,} symbols")
    _check_sections(found, [section.name for section in binary.sections])
    linked = header.time_date_stamps
    found.find_if(linked, f"it holds the time when it was linked ({linked})")
    for symbol in binary.get_export().entries if binary.has_exports else ():
        if not symbol.name:
            found.findings.append(f"it exports number {symbol.ordinal} without a name")
            continue
        found.exports.append(symbol.name)
        if symbol.is_forwarded:
            found.findings.append(f"{symbol.name} is forwarded to {symbol.forward_information}")
    entropy = "yes" if flags & _PE_HIGH_ENTROPY else "no"
    found.facts.append(("protection", f"DEP, ASLR (64-bit addresses: {entropy})"))
    return found


def _read_elf(binary: Any, data: bytes) -> Library:
    header = binary.header
    bits = 64 if header.identity_class.name == "ELF64" else 32
    found = Library(_machine("elf", header.machine_type), bits, sorted(binary.libraries))
    if (header.identity_data.name == "MSB") != (found.machine in _BIG_ENDIAN):
        found.machine += " of the other byte order"
    found.find_if(header.file_type.name != "DYN" or binary.has_interpreter, "it is a program, not a shared library")
    found.exports = _names(symbol.name for symbol in binary.exported_symbols)
    for symbol in binary.imported_symbols:
        version = symbol.symbol_version
        if version is not None and version.has_auxiliary_version:
            found.versions[str(symbol.name)] = str(version.symbol_version_auxiliary.name)
    tags = {entry.tag.name for entry in binary.dynamic_entries}
    found.find_if("RPATH" in tags, "it names folders of libraries (RPATH)")
    found.find_if("RUNPATH" in tags, "it names folders of libraries (RUNPATH)")
    found.find_if("TEXTREL" in tags, "its code is changed when it is loaded (TEXTREL)")
    segments = {segment.type.name: int(segment.flags) for segment in binary.segments}
    found.find_if(segments.get("GNU_STACK", 1) & 1, "its stack can run (GNU_STACK)")
    found.find_if("GNU_RELRO" not in segments, "its tables of addresses stay writable (no GNU_RELRO)")
    is_wild = any(int(segment.flags) & 3 == 3 for segment in binary.segments)
    found.find_if(is_wild, "a segment can be written and run")
    names = [section.name for section in binary.sections]
    found.find_if(".symtab" in names, "it is not stripped: a symbol table")
    _check_sections(found, names)
    found.facts.append(("protection", "no stack that runs, RELRO"))
    return found


def _read_macho(binary: Any, data: bytes) -> Library:
    found = Library(_machine("macho", binary.header.cpu_type), 64)
    found.find_if(binary.header.file_type.name != "DYLIB", "it is a program, not a dynamic library")
    commands = [(command.command.name, command) for command in binary.commands]
    found.imports = sorted(command.name for kind, command in commands if kind.startswith("LOAD_") and "DYLIB" in kind)
    found.imports += sorted(command.name for kind, command in commands if kind in ("REEXPORT_DYLIB", "LAZY_LOAD_DYLIB"))
    found.install_name = next((command.name for kind, command in commands if kind == "ID_DYLIB"), "")
    found.exports = _names(symbol.name[1:] for symbol in binary.exported_symbols)
    for kind, command in commands:
        if kind in ("BUILD_VERSION", "VERSION_MIN_MACOSX"):
            numbers = command.minos if kind == "BUILD_VERSION" else command.version
            found.minimum_os = ".".join(str(number) for number in numbers[:2])
        elif kind == "RPATH":
            found.findings.append(f"it names a folder of libraries (LC_RPATH {command.path})")
    for symbol in binary.imported_symbols:
        is_unbound = symbol.library_ordinal in _NO_LIBRARY
        found.find_if(is_unbound, f"it looks for {symbol.name} in every library that is loaded")
    if binary.has_code_signature:
        at = int(binary.code_signature.data_offset)
        wrong = signature_fault(data[:at], data[at : at + int(binary.code_signature.data_size)])
        found.find_if(wrong, wrong)
        found.facts.append(("signature", "ad hoc; the hash of every page is right"))
    elif found.machine == "arm64":
        found.findings.append("it is not signed, and macOS runs no unsigned code on this processor")
    found.facts.append(("oldest macOS", found.minimum_os))
    return found


_READERS: Mapping[str, Callable[[Any, bytes], Library]] = {"pe": _read_pe, "elf": _read_elf, "macho": _read_macho}


def signature_fault(code: bytes, blob: bytes) -> str:
    """Return what is wrong with an ad-hoc signature of a Mach-O file; empty when it is right.

    Args:
        code: what stands before the signature, all of which it has to cover.
        blob: the signature.
    """
    try:
        magic, _, count = struct.unpack_from(">3I", blob)
        places = [struct.unpack_from(">2I", blob, 12 + 8 * number)[1] for number in range(count)]
        (start,) = (at for at in places if struct.unpack_from(">I", blob, at)[0] == _CODE_DIRECTORY)
        fields = struct.unpack_from(">9I4B", blob, start)
    except (struct.error, ValueError):
        return "its signature cannot be read"
    flags, hashes, slots, limit = fields[3], start + fields[4], fields[7], fields[8]
    size, kind, page = fields[9], fields[10], 1 << fields[12]
    if magic != _SIGNATURE or kind != _SHA256 or not flags & _AD_HOC:
        return "its signature is not an ad-hoc one with SHA-256"
    if limit != len(code) or slots != -(-limit // page):
        return f"its signature covers {limit:,} bytes, not the {len(code):,} before it"
    for number in range(slots):
        right = hashlib.sha256(code[number * page : (number + 1) * page]).digest()
        if blob[hashes + number * size : hashes + (number + 1) * size] != right:
            return f"its signature is broken: page {number} was changed after it was signed"
    return ""


def clear_times(data: bytes) -> bytes:
    """Return a Windows library without the times when it was linked: in its header, its exports and its debug data."""
    lief: Any = importlib.import_module("lief")
    binary = lief.parse(data)
    if not isinstance(binary, lief.PE.Binary):
        return data  # The audit says what it is.
    changed = bytearray(data)
    start = struct.unpack_from("<I", data, 0x3C)[0]
    places = [start + 8]
    for kind, step in ((lief.PE.DataDirectory.TYPES.EXPORT_TABLE, 0), (lief.PE.DataDirectory.TYPES.DEBUG_DIR, 28)):
        directory = binary.data_directory(kind)
        if directory is not None and directory.size:
            at = binary.rva_to_offset(directory.rva)
            places += [at + 4 + step * number for number in range(directory.size // step if step else 1)]
    for place in places:
        struct.pack_into("<I", changed, place, 0)
    return bytes(changed)


def _machine(kind: str, value: Any) -> str:
    return _MACHINES[kind].get(value.name, f"an unknown machine ({value.name})")


def _names(found: Any) -> list[str]:
    return sorted({str(name) for name in found if name}, key=str.lower)


def _check_sections(found: Library, names: list[str]) -> None:
    # In PE, a name of more than eight characters is written /<offset into the symbol table's strings>.
    debug = [name for name in names if name.startswith(_DEBUG)]
    found.find_if(debug, f"it is not stripped: debug sections {', '.join(debug)}")
