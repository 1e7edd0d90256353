"""What is this project's own: names, files, the proof of its wheel. No other module of these steps knows a name of it.

Whoever builds another package with these steps writes this module anew and `pins.toml` as they like.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Mapping, Tuple

# --- the package ------------------------------------------------------------------------------------------------------

PACKAGE = "glean_py"
# Distributions that the package imports, so that its metadata has to name them.
REQUIRES = ("cffi",)
# Modules that only a build needs, and the one that it writes.
BUILD_ONLY = frozenset({"ffi_build.py"})
WRITTEN_MODULE = "_glean_ffi.py"
PACKAGED_SUFFIXES = (".css", ".html", ".js", ".json", ".py", ".pyi", ".svg", ".yaml")

# --- the Rust crate ---------------------------------------------------------------------------------------------------

CRATE = "glean_core"
LIBRARY_PACKAGE = "glean_core_cdylib"
WINDOWS_LIBRARY = "glean_core.dll"
LINUX_LIBRARY = "libglean_core.so"
MACOS_LIBRARY = "libglean_core.dylib"
HEADER = "include/glean.h"
# What the path of the checkout is called inside of a library.
REMAPPED_ROOT = "/glean"
# zig and what lets cargo link with it.
LINKER_REQUIREMENTS = "requirements/zig.txt"
# The C libraries of a CPython for musl.
MUSL_LIBRARIES = "requirements/musl"
# What packs wheels, and starts everything else.
TOOL_REQUIREMENTS = "requirements/tools.txt"
# What checks and uploads a release.
PUBLISH_REQUIREMENTS = "requirements/publish.txt"
CBINDGEN_CONFIG = "cbindgen.toml"
# Less inlining than by default, also of what is marked for it (225 and 325): the library is a sixth smaller, and a ping
# takes some 4 % more instructions than with 80 and 325, which is 6 % larger.
RUST_FLAGS = ("-Cllvm-args=-inline-threshold=40", "-Cllvm-args=-inlinehint-threshold=120")
FUZZ_MANIFEST = "fuzz/Cargo.toml"
# The fuzz targets write the inputs that they start from to the folder in this variable.
FUZZ_SEEDS = "GLEAN_FUZZ_SEEDS"
# The unit tests that Miri can run: those of the memory that processes share.
MIRI_TESTS = "journal::segment"

# --- files that shape a wheel, and those that shape its proof ---------------------------------------------------------

SHAPES_A_WHEEL = (
    *("glean_core/Cargo.toml", "glean_core/Cargo.lock", "glean_core/cdylib", "glean_core/src", "glean_core/include"),
    *("glean_py", "setup.py", "pyproject.toml", "README.md", "LICENSE"),
)
PROOF = "tests/bindings/prove_wheel.py"

# --- tests ------------------------------------------------------------------------------------------------------------

SUITE = "tests/bindings"
# What a suite reads beside its own folder.
SUITE_FILES = ("tests/vectors.json",)
SUITE_REQUIREMENTS = "requirements/tests.txt"
# Programs of the system that some of its tests use.
SUITE_PROGRAMS = ("strace", "disks")
# For Pythons between the oldest and the newest: without the tests whose results do not depend on the Python.
WITHOUT_CORE = ("-m", "not core")
# After each change: also without those that wait or compute for a second.
WITHOUT_SLOW = ("-m", "not core and not slow")
# Files that are damaged at hundreds of places.
RUST_WITHOUT_SLOW = ("--", "--skip", "flipped_bit", "--skip", "cut_anywhere")
# Tests that kill processes or damage files, and count: a sample in a suite, many once in a run, more at night.
HUNT = "test_kill or test_hunt or test_crash_consistency"
# One failure of these is one too many.
ONE_TRY = r"test_kill|test_hunt|test_crash_consistency|test_upload_soak|test_host_files|test_processes"
HUNT_ONCE: Mapping[str, str] = {"GLEAN_KILLS": "240", "GLEAN_OPENINGS": "512"}
HUNT_AT_NIGHT: Mapping[str, str] = {"GLEAN_KILLS": "2400", "GLEAN_OPENINGS": "4096", "GLEAN_HUNT_SECONDS": "3600"}
DIFFERENTIAL = "tests/differential"
DIFFERENTIAL_REQUIREMENTS = "requirements/differential.txt"
COLLECTOR = "tests/collector"
COLLECTOR_REQUIREMENTS = "requirements/collector.txt"
HOSTS = "tests/hosts"
HOSTS_REQUIREMENTS = "requirements/hosts.txt"
# How mypy is called: name of the check, arguments, where it looks for modules as well.
TYPE_CHECKS: Tuple[Tuple[str, Tuple[str, ...], str], ...] = (
    ("mypy", (), ""),
    (
        "mypy tests/bindings",
        # Their arguments are pytest's fixtures, and they look into a Glean that a fixture has started.
        (
            *("--allow-untyped-defs", "--allow-incomplete-defs", "--allow-untyped-calls"),
            *("--no-strict-optional", "--no-warn-unused-ignores", "tests/bindings"),
        ),
        "",
    ),
    # Once more, with all of strict: a planted mistake that is not found is an ignore without use.
    ("mypy tests/bindings/typing", ("--strict", "tests/bindings/typing"), ""),
    ("mypy tests/differential", ("tests/differential",), "tests/bindings"),
)

# Without the tests that fork: qemu hangs in one of a hundred forks of a process with threads, a bare CPython as well.
RUST_UNDER_QEMU = ("--skip", "fork", "--skip", "child")
SUITE_UNDER_QEMU = ("-k", "not fork and not hunt")

# --- variables that are read outside of these steps -------------------------------------------------------------------

VARIABLES: Mapping[str, Tuple[str, str]] = {
    "GLEAN_CORE_LIBRARY": ("setup.py", "a core library that was built before, for setup.py to pack"),
    "GLEAN_DEBUG_COLLECTOR": (PACKAGE, "`1` or a URL: where programs with glean_py send a copy of each ping"),
    "GLEAN_DEBUG_VIEW_TAG": (PACKAGE, "tag that programs with glean_py send with each ping, as `X-Debug-ID`"),
    "GLEAN_HUNT_SECONDS": ("tests", "how long the hunt for lost records runs in `tests/bindings`"),
    "GLEAN_HUNT_SEED": ("tests", "the seed of that hunt; another each time when unset"),
    "GLEAN_KILLS": ("tests", "how many processes `tests/bindings/test_kill.py` kills"),
    "GLEAN_PYTHON_TARGET": ("setup.py", "target triple or platform tag of the library that setup.py cross-builds"),
    "GLEAN_LOG_PINGS": (PACKAGE, "`true` asks programs with glean_py to log the pings they hand out"),
    "GLEAN_OPENINGS": ("tests", "how many damaged directories a test of `test_crash_consistency.py` opens"),
    "GLEAN_SOURCE_TAGS": (PACKAGE, "tags that programs with glean_py send with each ping, as `X-Source-Tags`"),
}
# Of the variables above, the one that setup.py takes a finished library from.
LIBRARY_VARIABLE = "GLEAN_CORE_LIBRARY"
# The one that names the target of a wheel.
TARGET_VARIABLE = "GLEAN_PYTHON_TARGET"

# --- the proof of a wheel ---------------------------------------------------------------------------------------------

_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$"

# The envelope of a ping that tests/bindings/prove_wheel.py submits, and the values that it records.
PING_SCHEMA: Dict[str, Any] = {
    "type": "object",
    "required": ["client_info", "ping_info", "metrics"],
    "additionalProperties": False,
    "properties": {
        "client_info": {
            "type": "object",
            "required": [
                "app_build",
                "app_display_version",
                "architecture",
                "build_date",
                "client_id",
                "first_run_date",
                "os",
                "os_version",
                "telemetry_sdk_build",
            ],
            "properties": {
                "app_display_version": {"const": "1.0"},
                "client_id": {"type": "string", "pattern": _UUID},
                "first_run_date": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d[+-]\d\d:\d\d$"},
                "os": {"enum": ["Windows", "Linux", "macOS"]},
            },
        },
        "ping_info": {
            "type": "object",
            "required": ["seq", "start_time", "end_time", "reason"],
            "properties": {
                "seq": {"const": 0},
                "start_time": {"type": "string", "pattern": _TIME},
                "end_time": {"type": "string", "pattern": _TIME},
                "reason": {"const": "proof"},
            },
        },
        "metrics": {
            "const": {
                "boolean": {"proof.boolean": True},
                "counter": {"proof.counter": 42},
                "string": {"proof.string": "Grüße, 世界"},
                "uuid": {"proof.uuid": "01234567-89ab-cdef-0123-456789abcdef"},
            }
        },
    },
}


def check_proof(shown: Mapping[str, Any], system: str) -> List[str]:
    """Return everything that is wrong with the ping that the script of the proof printed; empty when it is right.

    Args:
        system: where it ran, such as `Windows`.
    """
    from jsonschema import Draft202012Validator

    findings = [
        f"ping {'/'.join(str(part) for part in error.absolute_path) or 'body'}: "
        # Of a value that has to be another one, the validator names only the other one.
        + (f"{error.instance!r} is not {error.validator_value!r}" if error.validator == "const" else error.message)
        for error in Draft202012Validator(PING_SCHEMA).iter_errors(shown.get("ping"))
    ]
    if not findings and shown["ping"]["client_info"]["os"] != system:
        findings.append(f"ping client_info/os: {shown['ping']['client_info']['os']} is not {system}")
    parts = str(shown.get("path", "")).split("/")
    if parts[:5] != ["", "submit", "wheel-proof", "wheel-proof", "1"] or len(parts) != 6:
        findings.append(f"the submission path is {shown.get('path')!r}")
    return findings


def packaged_files(root: Path) -> FrozenSet[str]:
    """Return the names of the package's source and data files in a wheel."""
    folder = root / PACKAGE
    return frozenset(
        f"{PACKAGE}/{file.relative_to(folder).as_posix()}"
        for file in folder.rglob("*")
        if (file.suffix in PACKAGED_SUFFIXES or file.name == "py.typed")
        and file.name not in BUILD_ONLY
        and "__pycache__" not in file.parts
    )


def fuzz_targets(manifest: str) -> List[str]:
    """Return the names of the fuzz targets, in the order of their manifest."""
    return re.findall(r'^path = "fuzz_targets/(\w+)\.rs"$', manifest, re.MULTILINE)
