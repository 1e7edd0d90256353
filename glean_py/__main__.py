"""The command line of glean_py: `compile` for YAML, what shows and sends the pings of a data directory, a collector."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

_DESCRIPTION = """\
Write a Python module for the metrics and pings of YAML files. It needs neither YAML nor a parser when it is imported,
has types for editors and type checkers, and makes each metric when it is first used.

    from telemetry import metrics, pings

    metrics.ui.clicks.add()
    pings.usage.submit()
"""
_EPILOG = """\
Metrics that have expired by now are written as disabled; SOURCE_DATE_EPOCH sets another day. Reading YAML needs
glean_parser: python -m pip install 'glean_py[yaml]'. Exit status: 0 when the module is as it should be, 1 when it
is not or cannot be made, 2 for a wrong command line.
"""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command and return the exit status."""
    given = _parser().parse_args(arguments)
    return int(given.run(given))


def _compile(given: argparse.Namespace) -> int:
    # Only this needs the modules for it.
    from glean_py import _compile

    config, options = _config(given)
    try:
        outcome = _compile.compile_files(given.files, given.output, config, options=options, check=given.check)
    except (_compile.CompileError, ImportError, OSError, TypeError, ValueError) as error:
        print(_message(error), file=sys.stderr)
        return 1
    if not outcome.is_current:
        words = ["python", "-m", "glean_py", "compile", *given.files, *options, "-o", given.output]
        print(outcome.difference, file=sys.stderr)
        print(
            f"error: {given.output} is not what {', '.join(map(str, given.files))} compile to; "
            f"the difference is above. To fix it: {' '.join(map(str, words))}",
            file=sys.stderr,
        )
        return 1
    print(f"{given.output}: {'written' if outcome.is_written else 'up to date'}")
    return 0


def _run_on_directory(given: argparse.Namespace) -> int:
    from glean_py import _commands

    try:
        return _commands.COMMANDS[given.command](given)
    except _commands.CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run_collector(given: argparse.Namespace) -> int:
    from glean_py.serve import command

    try:
        return {"serve": command.serve, "tail": command.tail}[given.command](given)
    except command.CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m glean_py", description="Telemetry for Python applications.")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.required = True
    compile_ = commands.add_parser(
        "compile",
        help="write a Python module for the metrics and pings of YAML files",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compile_.set_defaults(run=_compile)
    compile_.add_argument("files", nargs="+", type=Path, metavar="FILE", help="metrics.yaml, pings.yaml, tags.yaml")
    compile_.add_argument("-o", "--output", type=Path, required=True, metavar="MODULE", help="the module to write")
    compile_.add_argument("--check", action="store_true", help="write nothing; fail if the module is out of date")
    compile_.add_argument("--allow-reserved", action="store_true", help="allow names that are reserved for Glean")
    compile_.add_argument("--allow-missing-files", action="store_true", help="ignore files that don't exist")
    compile_.add_argument(
        "--do-not-disable-expired", action="store_true", help="keep metrics that have expired as they are"
    )
    compile_.add_argument(
        "--expire-by-version", type=int, metavar="MAJOR", help="the version of the program, where metrics expire by it"
    )
    compile_.add_argument(
        "--interesting",
        action="append",
        type=Path,
        metavar="FILE",
        help="disable what this file doesn't name; may be given more than once",
    )
    for name, text in _ON_DIRECTORIES.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {_BESIDE}")
        command.set_defaults(run=_run_on_directory)
        command.add_argument("directory", type=Path, metavar="DIR", help="the data_dir of the program")
        if name == "send":
            command.add_argument("--endpoint", required=True, metavar="URL", help="the server: https://host")
    _add_collector(commands)
    return parser


def _add_collector(commands: Any) -> None:
    """Add `serve` and `tail`."""
    serve = commands.add_parser("serve", help=_SERVE[0], description=f"{_SERVE[0]}. {_SERVE[1]}", epilog=_SERVE[2])
    serve.set_defaults(run=_run_collector)
    serve.add_argument("--port", type=_port, default=_PORT, help=f"the port of this machine, {_PORT}; 0 for a free one")
    serve.add_argument("--open", action="store_true", help="open the page in the browser")
    serve.add_argument("--keep", type=_positive, default=500, metavar="COUNT", help="how many pings are kept, 500")
    serve.add_argument(
        "--store", type=Path, metavar="FILE", help="keep them in this file of SQLite, for the next start"
    )
    serve.add_argument(
        "--registry",
        action="append",
        type=Path,
        metavar="FILE",
        help="show what metrics.yaml, pings.yaml or a compiled module says of each metric; may be given more than once",
    )
    serve.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on; any but 127.0.0.1 lets others read every ping"
    )
    tail = commands.add_parser("tail", help=_TAIL, description=f"{_TAIL}: those it has, then those that come.")
    tail.set_defaults(run=_run_collector)
    tail.add_argument("--url", default=f"http://127.0.0.1:{_PORT}", help="the collector, %(default)s")
    tail.add_argument("--name", metavar="PING", help="only pings of this name")
    tail.add_argument("--json", action="store_true", help="print each as a line of JSON")


_PORT = 8125
_SERVE = (
    "collect the pings of programs on this machine, and show them on a page",
    "Programs send a copy of each ping when GLEAN_DEBUG_COLLECTOR=1 is in their environment.",
    "Ctrl-C ends it. Exit status: 0 after that, 1 when it cannot begin, which it explains, 2 for a wrong command line.",
)
_TAIL = "print the pings of a running collector as lines"


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: a number from 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 to 100000")
    return int(text)


_ON_DIRECTORIES = {
    "status": "tell whether a program collects and which switch says so, what waits, and what came of the last pings",
    "show": "print as JSON what would be sent and what was",
    "send": "send what waits",
    "purge": "delete the pings that wait; requests for the deletion of data stay",
}
_BESIDE = "The program may run meanwhile."


def _config(given: argparse.Namespace) -> Tuple[Dict[str, Any], List[Union[str, Path]]]:
    """Return the options of the parser, and the words that stand for them in the module's command."""
    config: Dict[str, Any] = {}
    options: List[Union[str, Path]] = []
    for name in ("allow_reserved", "allow_missing_files", "do_not_disable_expired"):
        if getattr(given, name):
            config[name] = True
            options.append(f"--{name.replace('_', '-')}")
    if given.expire_by_version is not None:
        config["expire_by_version"] = given.expire_by_version
        options.append(f"--expire-by-version={given.expire_by_version}")
    if given.interesting:
        config["interesting"] = given.interesting
        for file in given.interesting:
            options += ["--interesting", file]
    return config, options


def _message(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"error: there is no file {error.filename}; check its name and the folder this runs in"
    return f"error: {error}"


if __name__ == "__main__":
    sys.exit(main())
