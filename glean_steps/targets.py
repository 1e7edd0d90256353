"""The targets: an entry adds a platform, and no other module branches on names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Tuple

from glean_steps import project
from glean_steps.errors import UnknownArchitectureError, UnknownTargetError


@dataclass(frozen=True)
class Target:
    """One platform that a wheel is built for.

    Attributes:
        triple: Rust's target triple.
        platform_tag: the wheel's platform tag (PEP 425).
        arch: the Windows architecture as python.org names it in file names.
        library: file name of the core library for this platform.
        library_format: container format of that library.
        pe_machine: 16-bit machine code of a PE library (Microsoft, "PE Format").
        linker: the C compiler driver that links for it.
        dlltool: the tool that makes import libraries, named like the linker.
        strip: the tool that strips, named like the linker.
        packages: Debian and Ubuntu packages that bring the linker.
        build_variable: the variable that asks setup.py for this library.
        wine_arch: WINEARCH of the prefix that runs it.
        pointer_bits: width of its pointers.
        startup_objects: objects that rustc's own linking wants beside std (source files in library/rtstartup).
    """

    triple: str
    platform_tag: str
    arch: str
    library: str
    library_format: Literal["pe"]
    pe_machine: int
    linker: str
    dlltool: str
    strip: str
    packages: Tuple[str, ...]
    build_variable: str
    wine_arch: Literal["win64", "win32"]
    pointer_bits: Literal[32, 64]
    startup_objects: Tuple[str, ...] = ()

    @property
    def env_name(self) -> str:
        """The triple as cargo spells it in environment variables."""
        return self.triple.upper().replace("-", "_").replace(".", "_")


TARGETS: Tuple[Target, ...] = (
    Target(
        triple="x86_64-pc-windows-gnu",
        platform_tag="win_amd64",
        arch="amd64",
        library=project.WINDOWS_LIBRARY,
        library_format="pe",
        pe_machine=0x8664,
        linker="x86_64-w64-mingw32-gcc",
        dlltool="x86_64-w64-mingw32-dlltool",
        strip="x86_64-w64-mingw32-strip",
        packages=("gcc-mingw-w64-x86-64",),
        build_variable="GLEAN_PYTHON_MINGW_X86_64_BUILD",
        wine_arch="win64",
        pointer_bits=64,
    ),
    Target(
        triple="i686-pc-windows-gnu",
        platform_tag="win32",
        arch="win32",
        library=project.WINDOWS_LIBRARY,
        library_format="pe",
        pe_machine=0x14C,
        linker="i686-w64-mingw32-gcc",
        dlltool="i686-w64-mingw32-dlltool",
        strip="i686-w64-mingw32-strip",
        packages=("gcc-mingw-w64-i686",),
        build_variable="GLEAN_PYTHON_MINGW_I686_BUILD",
        wine_arch="win32",
        pointer_bits=32,
        # Debian's i686 mingw does not carry Rust's own unwinding frame objects.
        startup_objects=("rsbegin", "rsend"),
    ),
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
    for target in TARGETS:
        if target.arch == arch:
            return target
    valid = ", ".join(t.arch for t in TARGETS)
    raise UnknownArchitectureError(
        f"unknown Windows architecture {arch!r}",
        why="no entry of glean_steps/targets.py has this architecture",
        fix=f"choose one of: {valid}",
    )
