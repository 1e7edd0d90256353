"""What an uploader is given and what it returns: `CapablePingUploadRequest`, `UploadResult`."""

from __future__ import annotations

from glean_py._bases import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sys
    from typing import Any, Callable, Dict, List, Optional, Type

    if sys.version_info >= (3, 8):
        from typing import Protocol
    else:
        from typing_extensions import Protocol
else:
    # `typing` costs more than all of this package, and `Protocol` is for type checkers.
    Protocol = object

__all__ = ["CapablePingUploadRequest", "PingUploadRequest", "PingUploader", "UploadResult"]


class UploadResult(Value):
    """What came of one upload: an object of one of the classes below, each of which is an `UploadResult` itself."""

    RECOVERABLE_FAILURE: Type[_RecoverableFailure]
    """Nothing was delivered; the ping stays and is tried again."""
    UNRECOVERABLE_FAILURE: Type[_UnrecoverableFailure]
    """It can never be delivered; the ping is deleted."""
    INCAPABLE: Type[_Incapable]
    """The uploader lacks a capability that the ping asks for; the ping is deleted."""
    HTTP_STATUS: Type[_HttpStatus]
    """A server answered."""
    DONE: Type[_Done]
    """The uploader wants no more pings for now; the ping stays."""

    def __repr__(self) -> str:
        return "UploadResult." + super().__repr__()

    def is_recoverable_failure(self) -> bool:
        """Return whether this is a `RECOVERABLE_FAILURE`."""
        return isinstance(self, _RecoverableFailure)

    def is_unrecoverable_failure(self) -> bool:
        """Return whether this is an `UNRECOVERABLE_FAILURE`."""
        return isinstance(self, _UnrecoverableFailure)

    def is_incapable(self) -> bool:
        """Return whether this is `INCAPABLE`."""
        return isinstance(self, _Incapable)

    def is_http_status(self) -> bool:
        """Return whether this is an `HTTP_STATUS`."""
        return isinstance(self, _HttpStatus)

    def is_done(self) -> bool:
        """Return whether this is `DONE`."""
        return isinstance(self, _Done)

    is_RECOVERABLE_FAILURE = is_recoverable_failure
    is_UNRECOVERABLE_FAILURE = is_unrecoverable_failure
    is_INCAPABLE = is_incapable
    is_HTTP_STATUS = is_http_status
    is_DONE = is_done


class _WithoutData(UploadResult):
    def __init__(self, unused: int = 0) -> None:
        self.unused = unused


class _RecoverableFailure(_WithoutData):
    """Nothing was delivered; the ping stays and is tried again."""


class _UnrecoverableFailure(_WithoutData):
    """It can never be delivered; the ping is deleted."""


class _Incapable(_WithoutData):
    """The uploader lacks a capability that the ping asks for; the ping is deleted."""


class _Done(_WithoutData):
    """The uploader wants no more pings for now; the ping stays."""


class _HttpStatus(UploadResult):
    """A server answered with this status.

    Args:
        code: the status, 200 for example.
        retry_after_s: the seconds for which the server wants to be left alone, if it said so.
    """

    def __init__(self, code: int, retry_after_s: Optional[float] = None) -> None:
        self.code = code
        self.retry_after_s = retry_after_s


for _class, _name in (
    (_RecoverableFailure, "RECOVERABLE_FAILURE"),
    (_UnrecoverableFailure, "UNRECOVERABLE_FAILURE"),
    (_Incapable, "INCAPABLE"),
    (_HttpStatus, "HTTP_STATUS"),
    (_Done, "DONE"),
):
    _class.__name__ = _class.__qualname__ = _name
    setattr(UploadResult, _name, _class)


class PingUploadRequest:
    """One ping on its way.

    Attributes:
        doc_id: the id of the document; the same in every attempt.
        url: server endpoint and path; the path alone while no endpoint is set.
        body: what to send, compressed as the headers say.
        headers: names and values.
        uploader_capabilities: what an uploader must be able to do.
    """

    def __init__(self, request: Any, server_endpoint: str) -> None:
        self.doc_id: str = request.document_id
        self.url: str = server_endpoint + request.path
        self.body: bytes = bytes(request.body)
        self.headers: Dict[str, str] = request.headers
        self.uploader_capabilities: List[str] = request.uploader_capabilities


class CapablePingUploadRequest:
    """A ping that is handed over once the uploader has said that it can do what the ping asks for."""

    def __init__(self, request: PingUploadRequest) -> None:
        self._request = request

    def capable(self, func: Callable[[List[str]], bool]) -> Optional[PingUploadRequest]:
        """Return the request if `func`, given the capabilities that it needs, returns true; else `None`."""
        return self._request if func(self._request.uploader_capabilities) else None


class PingUploader(Protocol):
    """What `Configuration.ping_uploader` has to be."""

    def upload(self, capable_request: CapablePingUploadRequest) -> UploadResult:
        """Send one ping and return what came of it; called in the upload thread, one ping after the other.

        What it raises is logged, and the ping stays.
        """
        ...
