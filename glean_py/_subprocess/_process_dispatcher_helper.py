"""Runs one function of glean_py in a process of its own: started by its path, with a JSON order on standard input.

The order: `version` of Python, `path` for imports, `module`, `function`, `arguments`, and `deadline_s`, after which the
process ends whatever it does. The exit status is 0 if the function returned true.
"""

import json
import os
import sys


def main() -> int:
    """Carry out the order and return the exit status."""
    order = json.loads(sys.stdin.read())
    if order["version"] != list(sys.version_info[:3]):
        # Not the Python that the host program runs in, so nothing may be imported.
        return 1
    import _thread
    import importlib
    import time

    def end() -> None:
        time.sleep(order["deadline_s"])
        os._exit(1)

    _thread.start_new_thread(end, ())
    # What the interpreter put there is the folder of this file.
    sys.path[:] = order["path"]
    function = getattr(importlib.import_module(order["module"]), order["function"])
    return 0 if function(*order["arguments"]) else 1


if __name__ == "__main__":
    sys.exit(main())
