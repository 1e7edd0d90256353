"""Helpers for tests of applications that use Glean."""

from __future__ import annotations

from typing import Optional

from glean_py.config import Configuration
from glean_py.glean import Glean
from glean_py.metrics.common import ErrorType

__all__ = ["ErrorType", "reset_glean"]


def reset_glean(
    *,
    application_id: str,
    application_version: str,
    configuration: Optional[Configuration] = None,
    clear_stores: bool = True,
) -> None:
    """Stop Glean and start it again with collection on.

    Args:
        application_id: as for `Glean.initialize`.
        application_version: as for `Glean.initialize`.
        configuration: as for `Glean.initialize`.
        clear_stores: start in a new temporary directory; otherwise in the directory used before, if there is one.
    """
    data_dir = Glean._data_dir
    is_temporary = Glean._destroy_data_dir
    if clear_stores or data_dir is None:
        Glean._reset()
        Glean._initialize_with_tempdir_for_testing(application_id, application_version, True, configuration)
    else:
        Glean._destroy_data_dir = False
        Glean._reset()
        Glean.initialize(application_id, application_version, True, configuration, data_dir)
        Glean._destroy_data_dir = is_temporary
    Glean._testing_mode = True
