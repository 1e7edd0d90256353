"""Small helpers without a place of their own."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generic, TypeVar

    T = TypeVar("T")
else:
    # `typing` costs more than all of this package: at run time, generic classes need nothing but the brackets.
    class Generic:
        """Accepts type arguments and forgets them."""

        def __class_getitem__(cls, item):
            """Return the class itself."""
            return cls

    T = None

__all__ = ["Generic", "T", "classproperty", "get_locale_tag"]


class classproperty(Generic[T]):
    """A property of the class itself: `Glean.configuration`."""

    def __init__(self, f: Callable[[Any], T]) -> None:
        self._getter = f
        self.__doc__ = f.__doc__

    def __get__(self, instance: object, owner: type) -> T:
        return self._getter(owner)


def get_locale_tag() -> str:
    """Return the locale of the user as a language tag like `de-DE`; `und` if it is unknown."""
    import locale
    import warnings

    with warnings.catch_warnings():
        # What `getlocale` returns depends on `setlocale`; only its deprecated sibling asks the environment.
        warnings.simplefilter("ignore", DeprecationWarning)
        name = getattr(locale, "getdefaultlocale", locale.getlocale)()[0]
    return "und" if name in (None, "C") else str(name).replace("_", "-")
