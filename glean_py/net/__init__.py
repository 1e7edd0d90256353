"""Sending pings: the uploader that programs use, and what one of their own is made of."""

from __future__ import annotations

from glean_py.net.base_uploader import BaseUploader
from glean_py.net.http_client import HttpClientUploader
from glean_py.net.ping_upload_worker import PingUploadWorker
from glean_py.net.ping_uploader import PingUploader

__all__ = ["BaseUploader", "HttpClientUploader", "PingUploadWorker", "PingUploader"]
