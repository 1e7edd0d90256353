"""A CPython for musl: no package of Debian is one, so zig builds it from sources, once, into the cache.

CPython's sources are Debian's, pinned in `pins.toml`; the C libraries under it are in crates, which `Cargo.lock` pins.
Debian's package of musl brings the loader that runs the result, here or, for another processor, under qemu. What
`configure` and `make` start on the way runs like that, too, so nothing is cross-compiled in the sense of autoconf.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from glean_steps import cargo, environments, fetch, pins, project, roots, system, workspace, zig
from glean_steps.prerequisites import Probe
from glean_steps.roots import Root
from glean_steps.targets import Target
from glean_steps.workspace import Workspace

_RECIPE = 1  # Raise it when what this module makes changes.
BUILD_S = 5400.0
# Where the build of a crate that carries a C library leaves headers and archives, below its `out`.
_LIBRARIES = {"libffi-sys": "libffi-root", "libz-sys": "", "openssl-sys": "openssl-build/install"}


@dataclass(frozen=True)
class MuslPython:
    """A CPython of a target for musl, as a prerequisite."""

    target: Target

    @property
    def name(self) -> str:
        """What it is, for tables."""
        return f"CPython for musl, {self.target.machine}"

    @property
    def _loader(self) -> Root:
        # zig's musl has functions that the one before does not have yet.
        return Root(f"musl for {self.target.arch}", ("musl",), ("trixie",), arch=self.target.arch)

    @property
    def _tools(self) -> Tuple[system.Tool, ...]:
        emulator = () if self.target.machine == platform.machine() else (system.QEMU,)
        return (system.MAKE, *emulator)

    def _folder(self, ws: Workspace) -> Path:
        loader = [str(self._loader.folder(suite, ws)) for suite in self._loader.suites]
        sources = ws.root / project.MUSL_LIBRARIES
        key = workspace.fingerprint(_RECIPE, loader, self.target.machine, pins.load().musl_python.sha256, sources)
        return ws.cache / "musl-pythons" / f"{self.target.machine}-{key[:12]}"

    def probe(self, ws: Workspace) -> Probe:
        """Say whether it is made, or what would make it."""
        folder = self._folder(ws)
        if (folder / ".complete").exists():
            return Probe(f"{folder}")
        root = self._loader.probe(ws)
        if root.why:
            return root
        lacks = tuple(tool.name for tool in system.missing(self._tools))
        return Probe("built by zig from sources", (*root.missing, *lacks), f"builds {self.name} (some ten minutes)")

    def ensure(self, ws: Workspace) -> Path:
        """Return its program, building it if need be.

        Raises:
            NotProvableError: it cannot be built on this machine; says why and what to do.
            OfflineError: its sources would have to be fetched.
            MissingToolError: a tool is missing and may not be installed.
        """
        folder = self._folder(ws)
        minor = ".".join(pins.load().musl_python.version.split(".")[:2])
        program = folder / "usr" / "bin" / f"python{minor}"
        # What was built names it, so it has to be there each time.
        loader = self._loader.ensure(ws) / "root" / "usr" / "lib" / f"ld-musl-{self.target.machine}.so.1"
        if (folder / ".complete").exists():
            return program
        system.require(self._tools, ws)
        roots.know_qemu(self.target, ws)
        sources = fetch.fetch(pins.load().musl_python.download(roots.mirror(ws)), ws.cache)

        def fill(new: Path) -> None:
            # Not built in the cache: configure and make break on a path with a space.
            with tempfile.TemporaryDirectory(prefix="glean-musl-") as scratch:
                built = self._build(Path(scratch), sources, loader, ws)
                shutil.move(str(built), str(new / "usr"))

        roots.make_once(folder, f"build {self.name}", fill)
        return program

    def _build(self, scratch: Path, sources: Path, loader: Path, ws: Workspace) -> Path:
        """Return the folder `usr` of what was installed below the scratch folder."""
        libraries, python, out = scratch / "libraries", scratch / "python", scratch / "out"
        _build_libraries(self.target, libraries, ws)
        triple = f"{self.target.machine}-linux-musl"
        # A pkg-config would find the libraries of this machine, which are for glibc.
        env = environments.clean_env(
            {
                **zig.env(ws),
                "PATH": os.pathsep.join([str(_compilers(triple, loader, scratch, ws)), os.environ.get("PATH", "")]),
                **{name.upper(): name for name in ("cc", "ar", "ranlib")},
                "CPPFLAGS": f"-I{libraries}/include",
                "LDFLAGS": f"-L{libraries}/lib",
                # Nobody debugs it.
                "OPT": "-DNDEBUG -O2",
                "PKG_CONFIG_LIBDIR": str(libraries),
            }
        )
        python.mkdir()
        configure = ["./configure", "--prefix=/usr", f"--build={triple}", f"--host={triple}"]
        configure += ["--disable-test-modules", "--without-ensurepip", f"--with-openssl={libraries}"]

        def run(*argv: object) -> None:
            ws.run(argv, timeout_s=BUILD_S, cwd=python, env=env, quiet=True)

        run("tar", "-xf", sources, "--strip-components=1")
        run(*configure)
        _name_modules(python / "Makefile", triple)
        run("make", f"-j{os.cpu_count() or 1}")
        run("make", "install", f"DESTDIR={out}")
        for archive in out.rglob("*.a"):
            archive.unlink()
        return out / "usr"


def _name_modules(makefile: Path, triple: str) -> None:
    """Name extension modules as packages for musl do; configure does not see that zig's compiler is for it."""
    text = makefile.read_text(encoding="utf-8")
    name = re.compile(r"^((?:SOABI=|EXT_SUFFIX=)\s*\.?cpython-\d+)(?=\.so$|$)", re.MULTILINE)
    makefile.write_text(name.sub(rf"\1-{triple}", text), encoding="utf-8")


def _compilers(triple: str, loader: Path, scratch: Path, ws: Workspace) -> Path:
    """Return a folder with the programs that build for musl; what `cc` links names its loader."""
    folder, program = scratch / "bin", shlex.quote(str(zig.program(ws)))
    folder.mkdir()
    linking = f"-target {triple} -dynamic -Wno-date-time -Wl,--dynamic-linker={shlex.quote(str(loader))}"
    for name, words in (("cc", f"cc {linking}"), ("ar", "ar"), ("ranlib", "ranlib")):
        (folder / name).write_text(f'#!/bin/sh\nexec {program} {words} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def _build_libraries(target: Target, into: Path, ws: Workspace) -> None:
    """Let cargo build the crates that carry C libraries; put headers and archives into one folder."""
    manifest = ws.root / project.MUSL_LIBRARIES / "Cargo.toml"
    built = into.with_name("crates")
    packages = cargo.build_crate(manifest, target, built, ws=ws)
    for name, inside in _LIBRARIES.items():
        (out,) = (path for path in built.glob(f"{target.triple}/release/build/{name}-*/out") if path.is_dir())
        for part in ("include", "lib"):
            if (out / inside / part).is_dir():
                shutil.copytree(out / inside / part, into / part, dirs_exist_ok=True)
    # This one's stay where they are.
    (archive,) = built.glob(f"{target.triple}/release/build/libsqlite3-sys-*/out/libsqlite3.a")
    shutil.copy(archive, into / "lib")
    for header in (packages["libsqlite3-sys"] / "sqlite3").glob("*.h"):
        shutil.copy(header, into / "include")
