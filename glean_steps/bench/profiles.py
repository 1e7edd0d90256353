"""Where the time goes in rows whose goal is missed: written by hand after measuring, shown below the table.

A row that is missed and has no text here says so in the document; the text of a row that is met is not shown.
"""

from __future__ import annotations

from typing import Mapping

PROFILES: Mapping[str, str] = {
    "5": "of the 2.4 s in Wine, 0.6 s go to starting Python and pytest, 0.2 s to collecting and 1.6 s to the tests, "
    "where native takes 0.35 s: files that are opened, synced and removed, which Wine does through its server.",
}
