"""Sessions: `nox -l` lists them, `python3 bootstrap.py nox -s NAME` runs one on a machine that has nothing yet.

Their options and what they do are in glean_steps/commands.py, beside the tasks of tasks.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The `nox` program does not put the project's folder on sys.path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import bootstrap

bootstrap.ensure()

import nox

from glean_steps.commands import SESSIONS, Command

nox.options.default_venv_backend = "none"
nox.options.sessions = ["build_windows"]
nox.needs_version = ">=2024.3.2"


def _register(command: Command) -> None:
    def run(session: nox.Session) -> None:
        command(session.posargs)

    run.__doc__ = command.description
    nox.session(name=command.name, default=command.name == "build_windows")(run)


for _command in SESSIONS:
    _register(_command)
