"""The targets: an entry adds a platform, and no other module branches on names."""

from __future__ import annotations

import platform
import sysconfig
from dataclasses import dataclass
from typing import Literal, Tuple

from glean_steps import project
from glean_steps.errors import UnknownArchitectureError, UnknownTargetError

# Patterns of the libraries that a core library may import, each with its reason.
Imports = Tuple[Tuple[str, str], ...]

# DLLs that every supported Windows has and that Rust's std, or a crate over it, can have a reason to import.
WINDOWS_IMPORTS: Imports = (
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
GLIBC_IMPORTS: Imports = (
    ("libc.so.6", "files, memory, threads"),
    ("libm.so.6", "part of glibc"),
    ("libdl.so.2", "part of glibc; empty since 2.34"),
    ("libpthread.so.0", "part of glibc; empty since 2.34"),
    ("librt.so.1", "part of glibc; empty since 2.34"),
    ("libgcc_s.so.1", "unwinding; every glibc system has it, as glibc itself loads it"),
    ("ld-linux*.so.*", "glibc's loader: thread-local variables"),
    ("ld64.so.*", "glibc's loader: thread-local variables"),
)
MUSL_IMPORTS: Imports = (("libc.so", "all of musl"),)
MACOS_IMPORTS: Imports = (("/usr/lib/libSystem.B.dylib", "all that macOS offers without a framework"),)


@dataclass(frozen=True)
class Target:
    """One platform that a wheel is built for.

    Attributes:
        triple: Rust's target triple; empty for the machine itself.
        platform_tag: the wheel's platform tag (PEP 425).
        machine: the processor, as `platform.machine()` names it there.
        arch: the architecture as those who offer a Python for it name it: python.org for Windows, Debian for Linux.
        library: file name of the core library for this platform.
        library_format: container format of that library.
        proof: how a wheel is proven: `wine`, `linux` or `musl` (on this machine or under qemu), or `static`: nothing
            runs it.
        imports: libraries that the core library may import.
        linking: what links: mingw's cross compiler, zig, or the C compiler of this machine.
        pointer_bits: width of its pointers.
        glibc: the oldest glibc that it runs on, which is the newest symbol version that it may ask for; else empty.
        flags: more flags of rustc.
        environment: variables that the build gets.
        qemu: the name of qemu's emulator for its processor.
        newer_tags: platform tags that the packages of others may have, for newer systems of the kind.
        unproven: why nothing here runs it, where the proof is static.
        experimental: published as an experiment.
        linker, dlltool, strip: mingw's programs.
        packages: Debian and Ubuntu packages that bring them.
        build_variable: a variable of its own that asks setup.py for this library, as TARGET_VARIABLE does.
        wine_arch: WINEARCH of the prefix that runs it.
        startup_objects: objects that rustc's own linking wants beside std (source files in library/rtstartup).
    """

    triple: str
    platform_tag: str
    machine: str
    arch: str
    library: str
    library_format: Literal["pe", "elf", "macho"]
    proof: Literal["wine", "linux", "musl", "static"]
    imports: Imports
    linking: Literal["mingw", "zig", "host"] = "zig"
    pointer_bits: Literal[32, 64] = 64
    glibc: str = ""
    flags: Tuple[str, ...] = ()
    environment: Tuple[Tuple[str, str], ...] = ()
    qemu: str = ""
    newer_tags: Tuple[str, ...] = ()
    unproven: str = ""
    experimental: bool = False
    linker: str = ""
    dlltool: str = ""
    strip: str = ""
    packages: Tuple[str, ...] = ()
    build_variable: str = ""
    wine_arch: Literal["win64", "win32", ""] = ""
    startup_objects: Tuple[str, ...] = ()

    @property
    def env_name(self) -> str:
        """The triple as cargo spells it in environment variables."""
        return self.triple.upper().replace("-", "_").replace(".", "_")


def _mingw(
    processor: str,
    tag: str,
    machine: str,
    arch: str,
    wine_arch: Literal["win64", "win32"],
    *,
    bits: Literal[32, 64] = 64,
    startup_objects: Tuple[str, ...] = (),
) -> Target:
    """Return an entry for a Windows that Wine can play."""
    return Target(
        triple=f"{processor}-pc-windows-gnu",
        platform_tag=tag,
        machine=machine,
        arch=arch,
        pointer_bits=bits,
        library=project.WINDOWS_LIBRARY,
        library_format="pe",
        linking="mingw",
        proof="wine",
        imports=WINDOWS_IMPORTS,
        linker=f"{processor}-w64-mingw32-gcc",
        dlltool=f"{processor}-w64-mingw32-dlltool",
        strip=f"{processor}-w64-mingw32-strip",
        packages=(f"gcc-mingw-w64-{processor.replace('_', '-')}",),
        build_variable=f"GLEAN_PYTHON_MINGW_{processor.upper()}_BUILD",
        wine_arch=wine_arch,
        startup_objects=startup_objects,
    )


def _linux(
    machine: str, arch: str, glibc: str, *, triple: str = "", bits: Literal[32, 64] = 64, qemu: str = ""
) -> Target:
    """Return an entry for Linux with glibc."""
    return Target(
        triple=triple or f"{machine}-unknown-linux-gnu",
        platform_tag=f"manylinux_{glibc.replace('.', '_')}_{machine}",
        machine=machine,
        arch=arch,
        pointer_bits=bits,
        library=project.LINUX_LIBRARY,
        library_format="elf",
        proof="linux",
        imports=GLIBC_IMPORTS,
        glibc=glibc,
        qemu=qemu or machine,
        newer_tags=(f"manylinux2014_{machine}", f"manylinux_2_28_{machine}"),
    )


def _musl(machine: str, arch: str) -> Target:
    """Return an entry for Linux with musl."""
    return Target(
        triple=f"{machine}-unknown-linux-musl",
        platform_tag=f"musllinux_1_2_{machine}",
        machine=machine,
        arch=arch,
        library=project.LINUX_LIBRARY,
        library_format="elf",
        proof="musl",
        imports=MUSL_IMPORTS,
        qemu=machine,
        # Else rustc links musl into programs and makes no shared library.
        flags=("-Ctarget-feature=-crt-static",),
    )


def _macos(machine: str, oldest: str, triple: str) -> Target:
    """Return an entry for macOS."""
    return Target(
        triple=triple,
        platform_tag=f"macosx_{oldest.replace('.', '_')}_{machine}",
        machine=machine,
        arch=machine,
        library=project.MACOS_LIBRARY,
        library_format="macho",
        proof="static",
        imports=MACOS_IMPORTS,
        unproven="nothing here runs macOS",
        flags=(
            f"-Clink-arg=-Wl,-install_name,@rpath/{project.MACOS_LIBRARY}",
            # Else what std names, but does not use, is linked: libiconv and libcharset.
            "-Clink-arg=-Wl,-dead_strip_dylibs",
            # zig strips before it signs; a program that strips afterwards would break the signature.
            *("-Cstrip=none", "-Clink-arg=-s"),
        ),
        environment=(("MACOSX_DEPLOYMENT_TARGET", oldest),),
    )


TARGETS: Tuple[Target, ...] = (
    _mingw("x86_64", "win_amd64", "AMD64", "amd64", "win64"),
    # Debian's i686 mingw does not carry Rust's own unwinding frame objects.
    _mingw("i686", "win32", "x86", "win32", "win32", bits=32, startup_objects=("rsbegin", "rsend")),
    Target(
        triple="aarch64-pc-windows-gnullvm",
        platform_tag="win_arm64",
        machine="ARM64",
        arch="arm64",
        library=project.WINDOWS_LIBRARY,
        library_format="pe",
        proof="static",
        imports=WINDOWS_IMPORTS,
        unproven="no Wine here runs this processor's programs",
        experimental=True,
    ),
    _linux("x86_64", "amd64", "2.17"),
    _linux("aarch64", "arm64", "2.17"),
    _linux("armv7l", "armhf", "2.17", triple="armv7-unknown-linux-gnueabihf", bits=32, qemu="arm"),
    _linux("s390x", "s390x", "2.17"),
    # The first glibc that has it is 2.27; pip takes 2.31 as the first that distributions had.
    _linux("riscv64", "riscv64", "2.31", triple="riscv64gc-unknown-linux-gnu"),
    # zig knows glibc for it from 2.19 on.
    _linux("ppc64le", "ppc64el", "2.19", triple="powerpc64le-unknown-linux-gnu"),
    _musl("x86_64", "amd64"),
    _musl("aarch64", "arm64"),
    _macos("x86_64", "10.12", "x86_64-apple-darwin"),
    _macos("arm64", "11.0", "aarch64-apple-darwin"),
)

# Those with a Windows Python that Wine can run.
WINDOWS: Tuple[Target, ...] = tuple(target for target in TARGETS if target.wine_arch)

# This machine itself: what cargo builds when no target is named. Its wheel serves the tests and is not published.
HOST = Target(
    triple="",
    platform_tag=sysconfig.get_platform().replace("-", "_").replace(".", "_"),
    machine=platform.machine(),
    arch=platform.machine(),
    library=project.LINUX_LIBRARY,
    library_format="elf",
    linking="host",
    proof="linux",
    imports=(*GLIBC_IMPORTS, *MUSL_IMPORTS),
)


def find_target(name: str) -> Target:
    """Return the target whose triple or platform tag is `name`.

    Raises:
        UnknownTargetError: no such target; lists the valid names.
    """
    for target in TARGETS:
        if name in (target.triple, target.platform_tag):
            return target
    valid = ", ".join(f"{t.triple} ({t.platform_tag})" for t in TARGETS)
    raise UnknownTargetError(
        f"unknown target {name!r}",
        why="no entry of glean_steps/targets.py has this name",
        fix=f"choose one of: {valid}",
    )


def target_for_arch(arch: str) -> Target:
    """Return the target of a Windows architecture such as `amd64`.

    Raises:
        UnknownArchitectureError: no such target; lists the valid names.
    """
    for target in WINDOWS:
        if target.arch == arch:
            return target
    valid = ", ".join(t.arch for t in WINDOWS)
    raise UnknownArchitectureError(
        f"unknown Windows architecture {arch!r}",
        why="no entry of glean_steps/targets.py has this architecture",
        fix=f"choose one of: {valid}",
    )
