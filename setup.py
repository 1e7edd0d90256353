"""Build of the distribution: one wheel per platform that serves every CPython from 3.7 on.

The core library comes from the first of these that applies:

* `GLEAN_CORE_LIBRARY`: a library that was built before.
* `GLEAN_PYTHON_TARGET`: the library of a target in glean_steps/targets.py, named by its triple or tag, cross-built. The
  wheel carries the tag of this machine until `wheel tags` gives it the right one. `GLEAN_PYTHON_MINGW_X86_64_BUILD=1`
  and `GLEAN_PYTHON_MINGW_I686_BUILD=1` ask for the two Windows libraries as well.
* otherwise: `cargo build --release` for this machine. `CARGO` and `CARGO_TARGET_DIR` are honoured.

Each build works in a temporary folder of its own, so nothing of another platform's build gets into a wheel and builds
may run side by side.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, List, Tuple

import setuptools
from setuptools import setup
from setuptools.command.build import build
from setuptools.command.build_py import build_py
from setuptools.command.egg_info import egg_info
from setuptools.dist import Distribution

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1, the newest for Python 3.7 being 68
    from wheel.bdist_wheel import bdist_wheel

ROOT = Path(__file__).resolve().parent
CRATE = ROOT / "glean_core"
# What the variables of single targets are called; glean_steps/targets.py has the targets.
CROSS_BUILD = re.compile(r"GLEAN_PYTHON_MINGW_\w+_BUILD")
# What glean_py/_ffi.py looks for, by the suffix of the library.
PACKAGED_NAMES = {".dll": "glean_core.dll", ".dylib": "libglean_core.dylib", ".so": "libglean_core.so"}


def read_version() -> str:
    """Return the version written in the [package] section of Cargo.toml."""
    manifest = (CRATE / "Cargo.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "([^"]+)"', manifest, re.MULTILINE)
    if found is None:
        raise SystemExit(f"error: {CRATE / 'Cargo.toml'} has no version line")
    return found.group(1)


def find_library() -> Path:
    """Return the core library for this wheel; builds it unless `GLEAN_CORE_LIBRARY` names it."""
    prebuilt = os.environ.get("GLEAN_CORE_LIBRARY")
    target = asked_target()
    if target is not None:
        print(
            f"warning: this wheel is for {target.triple} but has the tag of this machine; "
            f"next: wheel tags --platform-tag {target.platform_tag} --remove <wheel>",
            file=sys.stderr,
        )
    if prebuilt:
        library = Path(prebuilt)
        if not library.is_file():
            raise SystemExit(
                f"error: GLEAN_CORE_LIBRARY names {library}, which is no file; "
                "build it first, or unset the variable to have it built"
            )
        return library
    if target is not None:
        return build_cross_library(target)
    return build_native_library()


def asked_target() -> Any:
    """Return the target that is asked for, or None; a variable of no target would silently pack a native library."""
    names = sorted(name for name in os.environ if CROSS_BUILD.fullmatch(name) and os.environ[name] == "1")
    names += ["GLEAN_PYTHON_TARGET"] if os.environ.get("GLEAN_PYTHON_TARGET") else []
    if not names:
        return None
    if len(names) > 1:
        raise SystemExit(f"error: {' and '.join(names)} are both set; a wheel holds one library, so unset one of them")
    sys.path.insert(0, str(ROOT))
    from glean_steps import targets

    asked = os.environ.get("GLEAN_PYTHON_TARGET") or names[0]
    for target in targets.TARGETS:
        if asked in (target.build_variable, target.triple, target.platform_tag):
            return target
    known = ", ".join(
        name for target in targets.TARGETS for name in (target.platform_tag, target.build_variable) if name
    )
    raise SystemExit(f"error: {asked} asks for no known target; known are {known}")


def build_cross_library(target: Any) -> Path:
    """Cross-build the library for a target."""
    from glean_steps import cargo, workspace

    return Path(cargo.build_libraries([target], ws=workspace.here())[target.triple])


def build_native_library() -> Path:
    """Build the library for this machine and return the file that cargo names."""
    program = os.environ.get("CARGO", "cargo")
    command = [program, "build", "--release", "--locked", "--manifest-path", str(CRATE / "Cargo.toml")]
    command += ["--package", "glean_core_cdylib", "--message-format", "json-render-diagnostics"]
    try:
        finished = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=str(ROOT))
    except FileNotFoundError:
        raise SystemExit(
            f"error: {program} was not found; install Rust, set CARGO to its path, "
            "or set GLEAN_CORE_LIBRARY to a library that was built before"
        ) from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"error: cargo failed with exit status {error.returncode}; see its messages above") from None
    for line in finished.stdout.decode("utf-8").splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "glean_core":
            for file in message["filenames"]:
                if Path(file).suffix in PACKAGED_NAMES:
                    return Path(file)
    raise SystemExit('error: cargo built no shared library; glean_core/cdylib/Cargo.toml needs crate-type = ["cdylib"]')


def write_declarations(target: Path) -> None:
    """Write the cffi module; glean_py itself cannot be imported here, as its library isn't in place."""
    spec = importlib.util.spec_from_file_location("glean_ffi_build", str(ROOT / "glean_py" / "ffi_build.py"))
    assert spec is not None and spec.loader is not None, "a path to a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_module(target)


class TemporaryBuild(build):
    """`build` in a temporary folder, unless one was asked for."""

    def finalize_options(self) -> None:
        """Choose the folder before the parts of it are derived."""
        if self.build_base == "build":
            self.build_base = tempfile.mkdtemp(prefix="glean-build-")
            atexit.register(shutil.rmtree, self.build_base, ignore_errors=True)
        super().finalize_options()


class TemporaryEggInfo(egg_info):
    """`egg_info` outside of the source tree, except for an sdist, which packs it."""

    def finalize_options(self) -> None:
        """Choose the folder if nobody did."""
        if self.egg_base is None and "sdist" not in self.distribution.commands:
            self.egg_base = tempfile.mkdtemp(prefix="glean-egg-info-")
            atexit.register(shutil.rmtree, self.egg_base, ignore_errors=True)
        super().finalize_options()


class BuildWithLibrary(build_py):
    """`build_py` that adds the core library and the cffi module, and leaves out what only a build needs."""

    def find_package_modules(self, package: str, package_dir: str) -> List[Tuple[str, str, str]]:
        """Return the modules of a package that a wheel holds."""
        modules: List[Tuple[str, str, str]] = super().find_package_modules(package, package_dir)
        return [module for module in modules if module[1] not in ("ffi_build", "_glean_ffi")]

    def run(self) -> None:
        """Copy the modules, then put library and cffi module beside them."""
        super().run()
        library = find_library()
        name = PACKAGED_NAMES.get(library.suffix)
        if name is None:
            raise SystemExit(
                f"error: {library} is no shared library: its name ends with none of {list(PACKAGED_NAMES)}"
            )
        package = Path(self.build_lib) / "glean_py"
        for other in PACKAGED_NAMES.values():
            if (package / other).exists():
                (package / other).unlink()
        shutil.copyfile(str(library), str(package / name))
        write_declarations(package / "_glean_ffi.py")


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and every CPython 3: the library uses no part of CPython's C interface."""

    def get_tag(self) -> Tuple[str, str, str]:
        """Return `py3-none-<platform>`."""
        return "py3", "none", super().get_tag()[2]


class PlatformDistribution(Distribution):
    """A distribution that isn't pure Python, though setuptools compiles nothing for it."""

    def has_ext_modules(self) -> bool:
        """Return that files belong into the folder for platform-specific packages."""
        return True


COMMANDS: Any = {
    "bdist_wheel": PlatformWheel,
    "build": TemporaryBuild,
    "build_py": BuildWithLibrary,
    "egg_info": TemporaryEggInfo,
}

# The field of metadata 2.4 (PEP 639), where setuptools knows it; the last one for Python 3.7 knows the older one alone.
LICENCE_FIELD = "license_expression" if int(setuptools.__version__.split(".")[0]) >= 77 else "license"

if __name__ == "__main__":
    setup(version=read_version(), distclass=PlatformDistribution, cmdclass=COMMANDS, **{LICENCE_FIELD: "MPL-2.0"})
