"""glean_steps.targets: one entry is all that a target needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import windows

from glean_steps import settings, system, targets
from glean_steps.workspace import Workspace

ENTRY = """

from dataclasses import replace

TARGETS += (
    replace(
        TARGETS[0],
        platform_tag="win_madeup",
        arch="madeup",
        build_variable="GLEAN_PYTHON_MINGW_MADEUP_BUILD",
    ),
)
"""


def test_each_windows_target_brings_its_tools_and_its_variable() -> None:
    names = {entry.name for entry in settings.entries()}
    for target in targets.WINDOWS:
        assert target.build_variable in names and f"mingw-{target.arch}" in {tool.name for tool in system.TOOLS}


def test_every_entry_agrees_with_its_tag() -> None:
    for target in targets.TARGETS:
        system_name = {"pe": "win", "elf": "linux", "macho": "macosx"}[target.library_format]
        assert system_name in target.platform_tag and (target.proof == "static") == bool(target.unproven)
        assert target.platform_tag.endswith((target.machine, target.machine.lower(), "win32"))
        if target.glibc:
            assert target.platform_tag.startswith(f"manylinux_{target.glibc.replace('.', '_')}_")
    assert len({target.platform_tag for target in targets.TARGETS}) == len(targets.TARGETS)


@pytest.mark.slow
def test_added_entry_is_listed_built_audited_and_breaks_no_test_module(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In a copy of the checkout: the linker is that of the first target, everything else is made up."""
    if system.missing(system.linkers(targets.TARGETS[0])):
        pytest.skip("no mingw here")
    root = tmp_path / "checkout"
    windows.copy_sources(root)
    table = root / "glean_steps" / "targets.py"
    text = table.read_text(encoding="utf-8")
    head, mark, tail = text.partition("\n# Those with a Windows Python")
    table.write_text(head.rstrip() + ENTRY + mark + tail, encoding="utf-8")
    checkout = windows.Checkout(Workspace(root, windows.CACHE), tmp_path / "target")
    assert "build_windows(win_madeup)" in checkout.run("nox", "-l").out
    assert "mingw-madeup" in checkout.run("invoke", "doctor").out
    made = checkout.run("invoke", "retag", "--target", "win_madeup")
    assert made.status == 0, made.err
    (wheel,) = (line for line in made.out.splitlines() if line.endswith("-win_madeup.whl"))
    audited = checkout.run("invoke", "audit", "--wheel", wheel)
    assert audited.status == 0, audited.err
    refused = checkout.run(
        *("pip", "wheel", root, "--no-deps", "--no-build-isolation", "-w", tmp_path),
        env={"GLEAN_PYTHON_MINGW_NOBODY_BUILD": "1"},
    )
    assert (
        refused.status != 0 and "GLEAN_PYTHON_MINGW_NOBODY_BUILD asks for no known target" in refused.err + refused.out
    )
    argv = [sys.executable, "-m", "pytest", "-q", "--collect-only", "tests/steps"]
    collected = subprocess.run(argv, cwd=root, env=checkout.env(), capture_output=True, text=True, check=False)
    assert collected.returncode == 0, collected.stdout
