"""Run a tool of this project from its private tool environment, which is made when it is not there.

    python3 bootstrap.py nox -s build_windows
    python3 bootstrap.py invoke doctor

Needs Python 3.9 or newer and its standard library, nothing else. The environment lives in `.glean/tools/<key>`; the key
covers requirements/tools.txt, the Python that runs this and the place of the checkout. A finished one holds the file
`complete`: scripts in a virtual environment know their own path, so it is made where it stays and cannot be renamed.
"""

import sys

if sys.version_info < (3, 9):
    sys.exit(
        "bootstrap.py needs Python 3.9 or newer, this is {}.{}\n"
        "  fix: run it with a newer one, such as `python3.12 bootstrap.py ...`".format(*sys.version_info[:2])
    )

import fcntl
import hashlib
import importlib.util
import os
import shutil
import time
from typing import Dict, Iterator, List, NoReturn, Optional, Tuple

ROOT = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.path.join(ROOT, ".glean", "tools")
REQUIREMENTS = os.path.join(ROOT, "requirements", "tools.txt")
RECIPE = "1"
GUARD = "GLEAN_BOOTSTRAP_PID"
NEEDED = (
    *("requests", "rich", "wheel", "setuptools", "cffi", "build"),
    *("packaging", "lief", "installer", "jsonschema", "deflate"),
)
VENV_S = 120.0
INSTALL_S = 900.0

USAGE = """usage: python3 bootstrap.py PROGRAM [ARGUMENT ...]

  python3 bootstrap.py nox -l              what can be built and tested
  python3 bootstrap.py invoke -l           what a developer can do
  python3 bootstrap.py invoke doctor       what is here and what is missing
  python3 bootstrap.py python -m pytest    any program of the tool environment"""


def main(argv: List[str]) -> int:
    """Run `argv` from the tool environment; return an exit status only if that could not be done."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    from_environment(argv)


def ensure() -> None:
    """Give noxfile.py and tasks.py the libraries that they import, however nox or invoke was started.

    Returns at once where they can be imported. Elsewhere (nox from pipx, say) the tool environment is made and this
    process becomes `python -m nox` or `python -m invoke` of it, with the same arguments.
    """
    if sys.prefix.startswith(TOOLS + os.sep) or all(importlib.util.find_spec(name) for name in NEEDED):
        return
    module = _started_module()
    if not module:
        return  # Somebody imports the file to look at it, as a test may; nothing of theirs can be started again.
    if os.environ.get(GUARD) == str(os.getpid()):
        # The process keeps its number when it becomes another program, so it has been here before.
        lacking = ", ".join(name for name in NEEDED if not importlib.util.find_spec(name))
        sys.exit(f"the tool environment lacks {lacking}\n  fix: remove {TOOLS} and run it again")
    from_environment(["python", "-m", module, *_absolute_noxfile(sys.argv[1:])])


def from_environment(argv: List[str]) -> NoReturn:
    """Become the program `argv[0]` of the tool environment, making that first when it is not there."""
    environment = _ready_environment() or _make_explaining_errors()
    scripts = os.path.join(environment, "bin")
    program = os.path.join(scripts, argv[0])
    if not os.path.exists(program):
        print(f"the tool environment has no program {argv[0]!r}", file=sys.stderr)
        print(f"  why: {program} does not exist\n\n{USAGE}", file=sys.stderr)
        sys.exit(27)
    env = dict(os.environ)
    paths = [path for path in env.get("PATH", os.defpath).split(os.pathsep) if path != scripts]
    env["PATH"] = os.pathsep.join([scripts, *paths])
    env["VIRTUAL_ENV"] = environment
    env[GUARD] = str(os.getpid())
    env.pop("PYTHONHOME", None)
    # Compiled modules belong to what runs make, not beside the sources; kept there, they save a tenth of a short run.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env.setdefault("PYTHONPYCACHEPREFIX", os.path.join(ROOT, ".glean", "pycache"))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, [program, *argv[1:]], env)


def environment_path() -> str:
    """Return where the tool environment for this Python and these requirements is or will be."""
    digest = hashlib.sha256()
    with open(REQUIREMENTS, "rb") as stream:
        digest.update(stream.read())
    python = (sys.implementation.cache_tag, sys.version_info[:3], sys.base_prefix, os.uname().machine)
    digest.update(repr((RECIPE, ROOT, python)).encode())
    return os.path.join(TOOLS, "{}.{}-{}".format(*sys.version_info[:2], digest.hexdigest()[:16]))


# --- one environment, many runs ---------------------------------------------------------------------------------------


def _ready_environment() -> Optional[str]:
    """Return the finished environment, marked as in use for as long as this process and what it becomes live."""
    path = environment_path()
    if not _is_ready(path):
        return None
    try:
        descriptor = _open_lock(path)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return path if _is_ready(path) else None  # A disk that cannot be written, or another run is removing it.
    if not _is_ready(path):
        os.close(descriptor)
        return None
    os.set_inheritable(descriptor, True)
    return path


def _is_ready(path: str) -> bool:
    return os.path.exists(os.path.join(path, "complete")) and os.path.exists(os.path.join(path, "bin", "python"))


def _open_lock(path: str) -> int:
    return os.open(path + ".lock", os.O_RDWR | os.O_CREAT, 0o644)


def _make_explaining_errors() -> str:
    """Make the environment; end this process with the error's own exit code and explanation when that fails."""
    if ROOT not in sys.path:
        sys.path.insert(0, ROOT)
    from glean_steps.errors import StepError

    try:
        return _make_environment()
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)


def _make_environment() -> str:
    """Make the environment, or wait until another run has made it."""
    from pathlib import Path

    from glean_steps import report, runner, workspace

    runner.raise_on_sigterm()
    path = environment_path()
    try:
        os.makedirs(TOOLS, exist_ok=True)
        descriptor = _open_lock(path)
    except OSError as error:
        raise workspace.disk_error(error, Path(TOOLS)) from error
    _lock_alone(descriptor, path)
    if not _is_ready(path):
        with report.step("make the tool environment"):
            _remove(path)
            try:
                _fill(path)
                with open(os.path.join(path, "complete"), "w", encoding="utf-8") as stream:
                    stream.write(path + "\n")
            except BaseException as error:
                _remove(path)
                if isinstance(error, OSError):
                    raise workspace.disk_error(error, Path(path)) from error
                raise
        _remove_others(path)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.set_inheritable(descriptor, True)
    return path


def _lock_alone(descriptor: int, path: str) -> None:
    """Take the lock exclusively; the kernel releases it when its holder dies, however it dies."""
    from glean_steps import report

    said = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # A run that uses the finished environment holds the lock too, but shared; whoever sees it whole can go on.
            if _is_ready(path):
                return
        if not said:
            report.say(f"another run is making the tool environment; waiting for it ({path}.lock)")
            said = True
        time.sleep(0.1)


def _remove(path: str) -> None:
    """Remove an environment, its marker first so that a removal that is cut short leaves nothing that looks whole."""
    try:
        os.unlink(os.path.join(path, "complete"))
    except OSError:
        pass
    shutil.rmtree(path, ignore_errors=True)


def _remove_others(path: str) -> None:
    """Remove the environments of other keys, unless a run uses them or makes them."""
    for name in os.listdir(TOOLS):
        other = os.path.join(TOOLS, name)
        if other == path or not os.path.isdir(other):
            continue
        descriptor = _open_lock(other)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(other)
        except OSError:
            pass
        finally:
            os.close(descriptor)


# --- ways to make one -------------------------------------------------------------------------------------------------

# Settings of the user's pip that say where to install, which a virtual environment answers by itself.
_PIP_ENV: Dict[str, Optional[str]] = {
    "PIP_USER": "0",
    "PIP_TARGET": None,
    "PIP_PREFIX": None,
    "PIP_ROOT": None,
    "PIP_REQUIRE_VIRTUALENV": None,
    "PIP_REQUIREMENT": None,
    "PIP_CONSTRAINT": None,
    "PYTHONPATH": None,
    "PYTHONHOME": None,
    "VIRTUAL_ENV": None,
}


def _fill(path: str) -> None:
    """Make the virtual environment at `path` and install the pinned tools into it."""
    from glean_steps import report, runner
    from glean_steps.errors import CommandFailedError, OfflineError

    if os.environ.get("GLEAN_OFFLINE", "") not in ("", "0") and os.environ.get("PIP_NO_INDEX", "") in ("", "0"):
        raise OfflineError(
            "the tool environment is not there",
            why=f"GLEAN_OFFLINE is set, so the packages of {REQUIREMENTS} cannot be fetched",
            fix="run it once without GLEAN_OFFLINE, or name a folder of wheels: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER",
        )
    report.say(f"  {path}, from {os.path.relpath(REQUIREMENTS, ROOT)}")
    pip = _make_virtual_environment(path)
    arguments = ["install", "--disable-pip-version-check", "--no-input", "--no-compile", "--no-deps"]
    arguments += ["--require-hashes", "--quiet", "--progress-bar", "off", "--requirement", REQUIREMENTS]
    try:
        runner.run([*pip, *arguments], timeout_s=INSTALL_S, env=runner.child_env(_PIP_ENV))
    except CommandFailedError as error:
        error.what = f"the tool environment could not be made: {error.what}"
        error.fix = "see pip's last lines; a mirror is named as for any pip, with PIP_INDEX_URL or pip.conf"
        raise


def _make_virtual_environment(path: str) -> List[str]:
    """Make a virtual environment by the first way that works here; return the command that is its pip."""
    from glean_steps import report, runner
    from glean_steps.errors import CommandFailedError

    env = runner.child_env(_PIP_ENV)
    for name, command, pip in _ways(path):
        try:
            runner.run(command, timeout_s=VENV_S, env=env, quiet=True)
            # An old pip of the system does not know --python; that shows here and not halfway through.
            runner.run([*pip, "--version"], timeout_s=VENV_S, env=env, quiet=True)
        except CommandFailedError as error:
            last = error.tail[-1] if error.tail else ""
            report.say(f"  {name} did not work here: {error.what}: {last}")
            shutil.rmtree(path, ignore_errors=True)
            continue
        return pip
    _install_venv()
    runner.run([sys.executable, "-m", "venv", path], timeout_s=VENV_S, env=env, quiet=True)
    return [os.path.join(path, "bin", "python"), "-m", "pip"]


def _ways(path: str) -> Iterator[Tuple[str, List[str], List[str]]]:
    """Yield the ways to make a virtual environment that this machine offers: name, command, and its pip."""
    inner = [os.path.join(path, "bin", "python"), "-m", "pip"]
    python = sys.executable
    has_venv = importlib.util.find_spec("venv") is not None
    if has_venv and importlib.util.find_spec("ensurepip"):
        yield "venv", [python, "-m", "venv", path], inner
    virtualenv = shutil.which("virtualenv")
    if importlib.util.find_spec("virtualenv"):
        yield "virtualenv", [python, "-m", "virtualenv", "--quiet", path], inner
    elif virtualenv:
        yield "virtualenv", [virtualenv, "--quiet", "--python", python, path], inner
    if has_venv and importlib.util.find_spec("pip"):
        outer = [python, "-m", "pip", "--python", os.path.join(path, "bin", "python")]
        yield "venv with the system's pip", [python, "-m", "venv", "--without-pip", path], outer
    uv = shutil.which("uv")
    if uv:
        # --seed brings pip into it, so that the user's pip settings count for all that follows.
        yield "uv", [uv, "venv", "--quiet", "--seed", "--python", python, path], inner


def _install_venv() -> None:
    """Install the distribution's venv; where that is not allowed, name the packages that the whole project needs."""
    from glean_steps import system, workspace
    from glean_steps.errors import MissingToolError

    ws = workspace.here()
    try:
        system.require([system.PYTHON_VENV], ws)
    except MissingToolError as error:
        error.fix = system.install_line(system.missing(system.TOOLS), ws)
        raise


# --- how this process was started -------------------------------------------------------------------------------------


def _started_module() -> str:
    """Return `nox` or `invoke` when this process is one of them, else ""."""
    started = getattr(getattr(sys.modules.get("__main__"), "__spec__", None), "name", "") or ""
    package = started.partition(".")[0]
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    programs = {"nox": "nox", "invoke": "invoke", "inv": "invoke"}
    return programs.get(package) or programs.get(name, "")


def _absolute_noxfile(arguments: List[str]) -> List[str]:
    """Return nox's arguments with its -f made absolute: nox changes to the file's folder before it imports it."""
    noxfile = os.path.join(ROOT, "noxfile.py")
    changed = list(arguments)
    for index, argument in enumerate(changed):
        if argument == "--":
            break
        if argument in ("-f", "--noxfile") and index + 1 < len(changed) and changed[index + 1].endswith("noxfile.py"):
            changed[index + 1] = noxfile
        elif argument.startswith("--noxfile="):
            changed[index] = f"--noxfile={noxfile}"
    return changed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
