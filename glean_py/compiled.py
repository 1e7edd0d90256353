"""What modules written by `python -m glean_py compile` are built of.

Such a module describes each metric in a function that runs when the metric is used for the first time, so importing it
costs little however much it describes.
"""

from __future__ import annotations

import glean_py
from glean_py._util import Generic, T

# With its type, as jedi, which completes in many editors, takes a plain False at its word.
TYPE_CHECKING: bool = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Tuple, TypeVar

    import glean_py.metrics as gm
    from glean_py._generated import Extra, Record, Records, Unset

    U = TypeVar("U")

__all__ = ["INTERFACE", "Extra", "Lazy", "Record", "Records", "Unset", "gm", "make_all", "require"]

INTERFACE = 1
"""Version of what is here for compiled modules; raised when a newer compiler needs something new of it."""
OLDEST_INTERFACE = 1
"""The oldest version that is still served."""


def require(module: str, *, interface: int, since: str) -> None:
    """Check that this glean_py and its core can serve a compiled module.

    Args:
        module: its `__name__`.
        interface: the `INTERFACE` it was made for.
        since: the first version of glean_py, and so of the core, with that one.

    Raises:
        ImportError: they cannot; says why and what to do.
    """
    # The version of the package is that of its core.
    here = glean_py.__version__
    is_old = _numbers(here) < _numbers(since)
    if interface > INTERFACE or is_old:
        why = "" if is_old else f": it has version {INTERFACE} of what compiled modules are made of, not {interface}"
        raise ImportError(
            f"{module} was compiled for glean_py {since} or newer, but the core here is {here}{why}. To fix it, python "
            f"-m pip install --upgrade 'glean_py>={since}', or compile the module again with the installed one."
        )
    if interface < OLDEST_INTERFACE:
        raise ImportError(
            f"{module} was compiled for a glean_py older than {here}: it needs version {interface} of what compiled "
            f"modules are made of, and {OLDEST_INTERFACE} is the oldest one here. To fix it, compile the module again: "
            "the command is in its first lines."
        )


def _numbers(version: str) -> List[int]:
    """Return the numbers of a version such as `1.2.3` or `1.2.3-rc.1`, without what follows them."""
    return [int(part) for part in version.partition("-")[0].partition("+")[0].split(".") if part.isdigit()]


class Lazy(Generic[T]):
    """A class attribute that is made when it is read for the first time; it gets the docstring as its `__doc__`."""

    # As little as possible happens here, and nothing in `__set_name__`: it is what importing takes for each metric.
    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make

    @staticmethod
    def named(name: str) -> Callable[[Callable[[Any], U]], Lazy[U]]:
        """Return a decorator for something that has a second name, one that Python source cannot spell."""
        return lambda make: _NamedLazy(make, name)

    def __get__(self, instance: object, owner: type) -> T:
        made = vars(self).get("_made")
        if made is None:
            made = self._make(owner)
            if self._make.__doc__:
                made.__doc__ = _strip_indent(self._make.__doc__)
            # Another thread may have been first; two objects for one timespan would not know of each other's start.
            made = vars(self).setdefault("_made", made)
        for cls in owner.__mro__:
            for name in self._names():
                if vars(cls).get(name) is self:
                    setattr(cls, name, made)
        result: T = made
        return result

    def _names(self) -> Tuple[str, ...]:
        return (self._make.__name__,)


class _NamedLazy(Lazy[T]):
    def __init__(self, make: Callable[[Any], T], name: str) -> None:
        super().__init__(make)
        self._name = name

    def __set_name__(self, owner: type, name: str) -> None:
        setattr(owner, self._name, self)

    def _names(self) -> Tuple[str, ...]:
        return (self._make.__name__, self._name)


def make_all(group: type) -> None:
    """Make every `Lazy` attribute of a class now."""
    for name, value in list(vars(group).items()):
        if isinstance(value, Lazy):
            getattr(group, name)


def _strip_indent(text: str) -> str:
    """Return a docstring without the indentation that the lines after the first have in common."""
    if "\n" not in text:
        return text
    first, *rest = text.split("\n")
    margin = min([len(line) - len(line.lstrip()) for line in rest if line.strip()], default=0)
    return "\n".join([first, *(line[margin:].rstrip() for line in rest)]).rstrip("\n")


# Type checkers read the imports above; with this they would take every name for granted.
if not TYPE_CHECKING:

    class _Metrics:
        """Stands for `glean_py.metrics`, which is imported when the first metric is made."""

        def __getattr__(self, name: str) -> Any:
            import glean_py.metrics

            value = getattr(glean_py.metrics, name)
            setattr(self, name, value)
            return value

    gm = _Metrics()

    def __getattr__(name: str) -> Any:
        """Import what only modules with events or objects need."""
        if name not in ("Extra", "Record", "Records", "Unset"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # Not `from glean_py import _generated`, which would ask the package for an attribute before it imports.
        from glean_py._generated import Extra, Record, Records, Unset

        globals().update(Extra=Extra, Record=Record, Records=Records, Unset=Unset)
        return globals()[name]
