"""Where the helpers of the Python suite are."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.with_name("bindings")))
