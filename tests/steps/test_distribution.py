"""What leaves the repository: the source distribution, and the wheels that setup.py makes of it by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import windows

from glean_steps import audit, header, settings, targets, wheel, workspace
from glean_steps.targets import Target

ROOT = Path(__file__).resolve().parents[2]
CHECKOUT = workspace.Workspace(ROOT, settings.cache())


def start(*arguments: object, cwd: Path, **changes: str) -> None:
    """Run a Python program in `cwd` and fail with what it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GLEAN_PYTHON_MINGW")}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**env, **changes},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this checkout, unpacked in a folder that git knows nothing of."""
    out = tmp_path_factory.mktemp("sdist")
    start("-m", "build", "--sdist", "--no-isolation", "--outdir", out, cwd=ROOT)
    (packed,) = out.glob("glean_py-*.tar.gz")
    (out / "here").mkdir()
    subprocess.run(["tar", "-xzf", packed, "-C", out / "here"], check=True)
    (folder,) = (out / "here").iterdir()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("target", targets.WINDOWS, ids=lambda target: target.platform_tag)
def test_a_source_distribution_and_the_documented_variable_give_a_wheel_that_passes_its_audit(
    unpacked: Path, target: Target, tmp_path: Path
) -> None:
    """As in docs/building.md: `pip wheel .` with the variable, then `wheel tags`; nothing of the steps in between."""
    start(
        *("-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path),
        cwd=unpacked,
        **{
            target.build_variable: "1",
            "CARGO_TARGET_DIR": str(unpacked / "target"),
            "GLEAN_CACHE": str(CHECKOUT.cache),
            **windows.QUICK,
        },
    )
    (built,) = tmp_path.glob("*.whl")
    assert not built.name.endswith(f"-{target.platform_tag}.whl"), "setup.py leaves the tag to the next step"
    start("-m", "wheel", "tags", "--platform-tag", target.platform_tag, "--remove", built, cwd=tmp_path)
    (tagged,) = tmp_path.glob("*.whl")
    assert wheel.retag(tagged, target, CHECKOUT) == tagged, "its tag is right already"
    here = workspace.Workspace(unpacked, CHECKOUT.cache)
    report = audit.check(
        tagged,
        target,
        header=unpacked / "glean_core" / "include" / "glean.h",
        lock=unpacked / "glean_core" / "Cargo.lock",
        expected_files=audit.expected_files(here, target),
    )
    assert report.exports


@pytest.mark.slow
def test_the_header_in_the_repository_is_what_cbindgen_makes_of_the_sources() -> None:
    header.check(CHECKOUT)
