"""Helpers for tests of applications that use Glean."""

from __future__ import annotations

from glean_py import _ffi
from glean_py.glean import Glean
from glean_py.metrics.common import ErrorType
from glean_py.net.base_uploader import BaseUploader
from glean_py.net.ping_uploader import UploadResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import ClassVar, Iterable, List, Optional, Tuple, Union

    from glean_py.config import Configuration
    from glean_py.net.ping_uploader import CapablePingUploadRequest

__all__ = ["ErrorType", "reset_glean"]


def reset_glean(
    *,
    application_id: str,
    application_version: str,
    configuration: Optional[Configuration] = None,
    clear_stores: bool = True,
) -> None:
    """Stop Glean and start it again with collection on, in test mode: calls wait until they are carried out.

    A ping is sent before `submit` returns, if the configuration says where to.

    Args:
        application_id: as for `Glean.initialize`.
        application_version: as for `Glean.initialize`.
        configuration: as for `Glean.initialize`.
        clear_stores: start in a new temporary directory; otherwise in the directory used before, if there is one.
    """
    data_dir, is_temporary = Glean._data_dir, Glean._destroy_data_dir
    is_kept = not clear_stores and data_dir is not None
    if is_kept:
        Glean._destroy_data_dir = False
    Glean._reset()
    Glean._testing_mode = True
    _ffi.lib.glean_set_test_mode(1)
    _ffi.lib.glean_set_log_pings(1)
    if is_kept:
        Glean.initialize(application_id, application_version, True, configuration, data_dir)
        Glean._destroy_data_dir = is_temporary
    else:
        Glean._initialize_with_tempdir_for_testing(application_id, application_version, True, configuration)


class _RecordingUploader(BaseUploader):
    """Writes the last ping to a file instead of sending it: a line with its path and one with its JSON.

    Args:
        file_path: the file.
        capabilities: what pings may ask for.
        filter_string: pings whose path has this in it are appended to `_filtered_pings`, as path and JSON.
    """

    _filtered_pings: ClassVar[List[Tuple[str, str]]] = []

    def __init__(
        self,
        file_path: Union[str, os.PathLike[str]],
        capabilities: Optional[Iterable[str]] = None,
        filter_string: str = "health",
    ) -> None:
        self.file_path = file_path
        self.capabilities = set(capabilities or ())
        self.filter_string = filter_string

    def upload(self, capable_request: CapablePingUploadRequest) -> UploadResult:
        """Write one ping."""
        import gzip
        from urllib.parse import urlsplit

        request = capable_request.capable(self.capabilities.issuperset)
        if request is None:
            return UploadResult.INCAPABLE(0)
        body = request.body
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        path, text = urlsplit(request.url).path, body.decode("utf-8")
        if self.filter_string in path:
            self._filtered_pings.append((path, text))
        else:
            with open(self.file_path, "w", encoding="utf-8") as file:
                file.write(f"{path}\n{text}\n")
        return UploadResult.HTTP_STATUS(200)
