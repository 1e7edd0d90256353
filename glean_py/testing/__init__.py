"""Helpers for tests of applications that use Glean."""

from __future__ import annotations

from glean_py import _ffi
from glean_py.glean import Glean
from glean_py.metrics.common import ErrorType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from glean_py.config import Configuration

__all__ = ["ErrorType", "reset_glean"]


def reset_glean(
    *,
    application_id: str,
    application_version: str,
    configuration: Optional[Configuration] = None,
    clear_stores: bool = True,
) -> None:
    """Stop Glean and start it again with collection on, in test mode: `initialize` waits until the core runs.

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
