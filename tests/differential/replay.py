"""Runs one program under both packages and prints what differs: replay.py PROGRAM.json --peer PYTHON --ours PYTHON.

`-` reads the program from standard input; `--shrink` makes it smaller first; `--trace` shows what the packages log;
`--only ours` runs one side and prints its whole outcome.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import allowed
import compare
from shrinking import shrink
from sides import Side, run_both


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--ours", default=sys.executable)
    parser.add_argument("--only", choices=("peer", "ours"))
    parser.add_argument("--time-zone", default="UTC")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args()
    text = sys.stdin.read() if options.program == "-" else Path(options.program).read_text(encoding="utf-8")
    program = json.loads(text)
    settings = {"time_zone": options.time_zone, "trace": options.trace}
    with Side("glean", options.peer, **settings) as peer, Side("glean_py", options.ours, **settings) as ours:
        if options.only:
            side = peer if options.only == "peer" else ours
            print(json.dumps(compare.normal(program, side.run_one(0, program)), indent=1))
            print(side.said(), file=sys.stderr)
            return 0
        numbers = iter(range(10**6))

        def differing(candidate: object) -> list[compare.Difference]:
            left, right = run_both((peer, ours), [(next(numbers), candidate)])
            return allowed.explain(candidate, compare.differences(candidate, left[0], right[0]))[0]

        if options.shrink:
            program = shrink(program, lambda candidate: bool(differing(candidate)))
            print(json.dumps(program))
        found = differing(program)
        for difference in found:
            print(difference)
        if options.trace or peer.deaths or ours.deaths:
            print(peer.said(), ours.said(), peer.deaths, ours.deaths, sep="\n", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
