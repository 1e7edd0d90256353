"""Work that outlives this process: `ProcessDispatcher` starts at most one child, and only where that is safe."""

from __future__ import annotations

import os
import sys

from glean_py import _ffi

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

# In the environment of a child, which starts none itself.
_GUARD = "_GLEAN_PY_CHILD"
# What ends a child that hangs: it begins uploads for 30 s, and the last one may take 30 s.
_DEADLINE_S = 70
# Variables that would make the child behave as nobody expects: it gets the parent's path by its order.
_DROPPED = ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONSAFEPATH", "COVERAGE_PROCESS_START")
_DEBUG = 10


class _SyncWorkWrapper:
    """Work that is done already, with the interface of a process."""

    def __init__(self, func: Callable[..., Any], args: Sequence[Any]) -> None:
        self._result = func(*args)
        self._is_waited_for = False

    def wait(self) -> None:
        """Do nothing: the work is done."""
        self._is_waited_for = True

    @property
    def returncode(self) -> int:
        """0 if the work succeeded, else 1.

        Raises:
            RuntimeError: nobody has waited for it yet.
        """
        if not self._is_waited_for:
            raise RuntimeError("returncode is known after wait()")
        return 0 if self._result else 1


class ProcessDispatcher:
    """Starts functions in a process of their own."""

    _last_process: Optional[subprocess.Popen[bytes]] = None

    @classmethod
    def _wait_for_last_process(cls) -> None:
        """Wait for the process that was started last, if it still runs."""
        process = cls._last_process
        if process is not None:
            process.wait(_DEADLINE_S + 10)
            cls._last_process = None

    @classmethod
    def dispatch(
        cls, func: Callable[..., Any], args: Sequence[Any], *, cwd: Optional[str] = None
    ) -> Union[_SyncWorkWrapper, subprocess.Popen[bytes]]:
        """Start a function in a process of its own; in this thread, before this returns, where none can be started.

        While the process started last runs, that one is returned and no other is started.

        Args:
            func: a function of a module that can be imported; it returns whether it succeeded.
            args: what it gets, made of what JSON knows.
            cwd: the directory in which the process lives, so that it holds no other.
        """
        if cls._last_process is not None and cls._last_process.poll() is None:
            return cls._last_process
        process = cls.start((func.__module__, func.__name__), args, cwd=cwd)
        return _SyncWorkWrapper(func, args) if process is None else process

    @classmethod
    def start(
        cls, function: Tuple[str, str], args: Sequence[Any], *, cwd: Optional[str] = None
    ) -> Optional[subprocess.Popen[bytes]]:
        """Start a function, by module and name, in a process of its own and return that; `None` where none can be."""
        python = find_python()
        if python is None:
            return None
        import json

        order = {
            "version": list(sys.version_info[:3]),
            "path": _import_path(),
            "module": function[0],
            "function": function[1],
            "arguments": list(args),
            "deadline_s": _DEADLINE_S,
        }
        try:
            cls._last_process = _start([python, "-S", _HELPER], json.dumps(order).encode("ascii"), cwd)
        except Exception as error:
            # Not of the system alone: gevent and audit hooks refuse in their own ways, and what waits can wait.
            _ffi.log(_DEBUG, f"no process could be started: {error!r}")
            return None
        return cls._last_process

    @classmethod
    def let_go(cls) -> None:
        """Forget the process that was started last, because this one ends: else Python warns of a child that runs."""
        if cls._last_process is not None:
            cls._last_process.returncode = 0
            cls._last_process = None


_HELPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_subprocess", "_process_dispatcher_helper.py")


def find_python() -> Optional[str]:
    """Return the Python of this process, if it can be told without starting it that it is one; else `None`.

    What `sys.executable` names may be the host program itself: of PyInstaller, cx_Freeze, Nuitka, uWSGI, Blender.
    Started once more, it would do once more what it does.
    """
    if os.environ.get(_GUARD):
        return None
    if _ends_its_children():
        return None
    main = sys.modules.get("__main__")
    if getattr(sys, "frozen", False) or hasattr(sys, "_MEIPASS") or "uwsgi" in sys.modules:
        return None
    # Nuitka marks the modules that it compiles.
    if "__compiled__" in globals() or hasattr(main, "__compiled__"):
        return None
    program = sys.executable
    if not program or not os.path.isabs(program) or not _is_name_of_python(os.path.basename(program)):
        return None
    return program if os.access(program, os.X_OK) and os.path.isfile(program) and os.path.isfile(_HELPER) else None


def _ends_its_children() -> bool:
    """Return whether the end of this process ends its children: that of a container's first one, or of a service."""
    is_first = os.name == "posix" and 1 in (os.getpid(), os.getppid())
    return is_first or os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


def _is_name_of_python(name: str) -> bool:
    """Return whether an executable has a name like `python`, `python3.12`, `python3.13t`, `pythonw.exe`."""
    name = name.lower()
    if name.endswith(".exe"):
        name = name[:-4]
    if not name.startswith("python"):
        return False
    rest = name[len("python") :].rstrip("wdtm")
    # Only of this version: another one cannot import what this one can.
    major, minor = sys.version_info[:2]
    return rest in ("", f"{major}", f"{major}.{minor}", f"{major}{minor}")


def _import_path() -> List[str]:
    """Return `sys.path` without what depends on the working directory."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    cffi = os.path.dirname(os.path.abspath(sys.modules["_cffi_backend"].__file__ or here))
    path = [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str)]
    return [*path, *[entry for entry in (here, cffi) if entry not in path]]


def _start(argv: List[str], order: bytes, cwd: Optional[str]) -> subprocess.Popen[bytes]:
    import subprocess

    environment = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    environment[_GUARD] = "1"
    options: Dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    # Nobody who reads the output of the host program may have to wait for this one.
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=cwd,
        env=environment,
        **options,
    )
    # A pipe holds an order; where it doesn't, this waits until the child reads, which is the first that it does.
    assert process.stdin is not None, "it was asked for"
    with process.stdin:
        process.stdin.write(order)
    return process
