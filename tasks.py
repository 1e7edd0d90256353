"""Tasks: `inv -l` lists them, `python3 bootstrap.py invoke NAME` runs one on a machine that has nothing yet.

Each is one step, usable alone and in any order: what it needs it makes, what is up to date it skips. Their options and
what they do are in glean_steps/commands.py, beside the sessions of noxfile.py.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bootstrap

bootstrap.ensure()

from invoke.context import Context
from invoke.tasks import Task

from glean_steps import commands
from glean_steps.commands import Command


def _task(command: Command) -> Task[Any]:
    """Return an invoke task whose parameters are the command's options."""

    def run(context: Context, **given: Any) -> None:
        command(commands.arguments_of(command, given))

    parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for name, option in command.options.items():
        default = False if option.get("action") == "store_true" else None
        parameters.append(inspect.Parameter(name.lstrip("-"), inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__doc__ = command.description
    helps = {name.lstrip("-"): option["help"] for name, option in command.options.items()}
    return Task(run, name=command.name, help=helps)


commands.check_tasks(sys.argv[1:])
for _command in commands.TASKS:
    globals()[_command.name.replace("-", "_")] = _task(_command)
