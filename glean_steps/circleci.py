"""The configuration of CircleCI, made of the table of targets: each job is a checkout, its caches and one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

from glean_steps import project, workspace
from glean_steps.targets import TARGETS
from glean_steps.workspace import Workspace

FILE = Path(".circleci", "config.yml")
_HEAD = """\
# Made by `invoke ci-config` from glean_steps/circleci.py and the table of targets; a test compares. Every job is a
# checkout, its caches and one command. That command is the one to run at a desk; it sets up everything by itself.
"""
_CACHE = "/tmp/steps-cache"
_KEYED = ("glean_steps/pins.toml", "requirements/tools.txt", f"{project.CRATE}/Cargo.lock")
# What runs the jobs of a processor, by its name in the table; the first one runs what names none.
_EXECUTORS = {"x86_64": "debian", "aarch64": "debian_arm"}
_SIZES = {"debian": "large", "debian_arm": "arm.large"}
# Each commit, and each night: the session and its longest silence.
_EVERY_COMMIT = {"lint": "10m", "docs": "10m", "tests": "20m", "build_windows": "20m", "test_windows": "20m"}
_NIGHTLY = {**_EVERY_COMMIT, "nightly": "60m", "fuzz": "30m", "bench": "20m", "test_platforms": "60m"}


def write(ws: Workspace) -> Path:
    """Write the file; return it."""
    workspace.write_text(ws.root / FILE, text())
    return ws.root / FILE


def text() -> str:
    """Return the file as it has to be."""
    import yaml

    dumped: str = yaml.safe_dump(_config(), sort_keys=False, width=1000, allow_unicode=True)
    return _HEAD + dumped


def _config() -> Dict[str, Any]:
    return {
        "version": 2.1,
        "executors": {
            name: {
                # Debian 13 with Python 3.13; root, so that the steps install the packages they need (mingw, Wine).
                "docker": [{"image": "python:3.13-trixie"}],
                "resource_class": size,
                "environment": {"CI": "true", "GLEAN_CACHE": _CACHE},
            }
            for name, size in _SIZES.items()
        },
        "commands": _commands(),
        "jobs": {
            **{name: _job(f"python3 bootstrap.py nox -s {name}", silence) for name, silence in _NIGHTLY.items()},
            "wheel": {
                "parameters": {"tag": {"type": "string"}, "on": {"type": "executor"}},
                **_job('python3 bootstrap.py nox -s "build(<< parameters.tag >>)"', "20m", "<< parameters.on >>"),
            },
            "release": _job("python3 bootstrap.py nox -s release -- $CIRCLE_TAG --make --publish", "60m"),
        },
        "workflows": {
            "every_commit": {"jobs": [*_EVERY_COMMIT, *_wheels()]},
            "nightly": {
                "triggers": [{"schedule": {"cron": "0 3 * * *", "filters": {"branches": {"only": "main"}}}}],
                "jobs": [name for name in _NIGHTLY if name not in ("lint", "docs", "tests")],
            },
            "release": {
                "jobs": [
                    {"approve": {"type": "approval", "filters": _TAGS}},
                    {"release": {"requires": ["approve"], "filters": _TAGS}},
                ]
            },
        },
    }


_TAGS = {"tags": {"only": r"/^v\d.*/"}, "branches": {"ignore": "/.*/"}}


def _wheels() -> List[Dict[str, Any]]:
    """Return the job of each wheel, on an executor of its own processor where there is one."""
    native = {target: _EXECUTORS.get(target.machine, "debian") for target in TARGETS if target.library_format == "elf"}
    places = {target.platform_tag: native.get(target, "debian") for target in TARGETS}
    return [
        {
            "wheel": {
                "name": "wheel-<< matrix.tag >>",
                "matrix": {"parameters": {"tag": [tag for tag in places if places[tag] == on], "on": [on]}},
            }
        }
        for on in _SIZES
    ]


def _job(command: str, silence: str, executor: str = "debian") -> Dict[str, Any]:
    run = {"command": command, "no_output_timeout": silence}
    steps = ["checkout", "restore", {"run": run}, "save", {"store_artifacts": {"path": "dist"}}]
    return {"executor": executor, "steps": steps}


def _commands() -> Dict[str, Any]:
    keys = ["steps-1-{{ .Environment.CIRCLE_JOB }}-{{ arch }}-"]
    for name in _KEYED:
        keys.append(f'{keys[-1]}{{{{ checksum "{name}" }}}}-')
    paths = [_CACHE, "~/.cargo/registry", ".glean/tools", f"{project.CRATE}/target"]
    return {
        "restore": {
            "description": "Bring back what earlier builds downloaded and made; the newest of another state will do.",
            "steps": [{"restore_cache": {"keys": list(reversed(keys))}}],
        },
        "save": {
            "description": "Keep downloads, standard libraries, tool environment and Rust build for the next build.",
            "steps": [{"save_cache": {"key": keys[-1], "paths": paths}}],
        },
    }
