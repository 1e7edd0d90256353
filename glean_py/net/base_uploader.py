"""Base of the uploaders: `BaseUploader`."""

from __future__ import annotations

from glean_py.net.ping_uploader import CapablePingUploadRequest, PingUploader, UploadResult

__all__ = ["BaseUploader"]


class BaseUploader(PingUploader):
    """Base of the classes whose objects send pings: override `upload`."""

    def do_upload(self, capable_request: CapablePingUploadRequest) -> UploadResult:
        """Send one ping with `upload` and return what came of it."""
        return self.upload(capable_request)
