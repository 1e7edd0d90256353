"""Who wants to hear of recorded events."""

from __future__ import annotations

from glean_py import _ffi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict


class GleanEventListener:
    """Base of the classes whose objects hear of events."""

    def on_event_recorded(self, id: str) -> None:
        """Hear of an event, right after it was recorded and in the same thread.

        Args:
            id: `category.name` of the event, which may be disabled.
        """


listeners: Dict[str, GleanEventListener] = {}
"""Listeners by their tag."""


def notify(identifier: str) -> None:
    """Tell every listener of an event; what a listener raises is logged."""
    for tag, listener in list(listeners.items()):
        try:
            listener.on_event_recorded(identifier)
        except Exception:
            _ffi.log_exception(f"the event listener {tag!r} failed at {identifier}")
