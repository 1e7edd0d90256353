"""Run one measure: its name, and its arguments as JSON."""

from __future__ import annotations

import json
import sys
from typing import Callable, Dict, Mapping

from . import calls, sending, starts, volume

MEASURES: Mapping[str, Callable[..., Dict[str, float]]] = {
    "call": calls.one_call,
    "threads": calls.throughput,
    "stored": volume.until_stored,
    "records": volume.many_records,
    "ping": volume.one_ping,
    "growth": volume.grow,
    "import": starts.import_over_bare,
    "load": starts.load_module,
    "first record": starts.first_record,
    "ending": sending.ending,
    "arriving": sending.arriving,
}


def main(measure: str, options: str) -> None:
    """Print the figures of one measure."""
    print("\n" + json.dumps(MEASURES[measure](**json.loads(options))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[-2:])
