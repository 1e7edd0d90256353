"""A server of telemetry in a process of its own: prints its port, then the moment at which it had each submission.

Moments are nanoseconds on the clock that all processes share (`time.monotonic_ns`).
"""

from __future__ import annotations

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What a healthy server takes for an answer, where that isn't 0.
SLOW_S = 0.2


class Handler(BaseHTTPRequestHandler):
    """Takes any POST, of any package."""

    protocol_version = "HTTP/1.1"
    kind = "fast"
    # Headers and body of an answer are sent in two parts, and the second must not wait for a receipt of the first.
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Read the body, note the moment, answer."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        os.write(1, f"{time.monotonic_ns()}\n".encode("ascii"))
        if self.kind == "silent":
            # Longer than anybody waits; the server is ended before.
            time.sleep(600)
        if self.kind == "slow":
            time.sleep(SLOW_S)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


if __name__ == "__main__":
    Handler.kind = sys.argv[1]
    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    os.write(1, f"{served.server_address[1]}\n".encode("ascii"))
    served.serve_forever()
