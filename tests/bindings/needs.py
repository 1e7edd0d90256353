"""What tests need that not every system and Python has.

Of the tests that lack the same, a suite keeps one, which is skipped and says why; see conftest.py.
"""

import os
import sys

import pytest

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has /proc, strace, sigtimedwait and loop devices"
)
posix = pytest.mark.skipif(
    os.name != "posix", reason="Windows has no limits, rights, locale or Ctrl-C of one process, no uname and no execv"
)
fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
