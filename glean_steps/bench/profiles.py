"""Where the time goes in rows whose goal is missed: written by hand after measuring, shown below the table.

A row that is missed and has no text here says so in the document; the text of a row that is met is not shown.
"""

from __future__ import annotations

from typing import Mapping

PROFILES: Mapping[str, str] = {
    "5": "of the 2.4 s in Wine, 0.6 s go to starting Python and pytest, 0.2 s to collecting and 1.6 s to the "
    "tests, where native takes 0.35 s: files that are opened, synced and removed, which Wine does through "
    "its server.",
    "10": "of the 399 ns, an empty C function with these three arguments, the text encoded for it, takes some 240, the "
    "Python method around it 45, and the core the rest, a third less than before segments were made in advance. What "
    "is missing is less than glean-sdk differs from run to run: 11.1 µs in the run before, which made 0.037, and 9.8 "
    "in this one.",
    "15": "by time stamps in the thread, on a quiet machine: 20 to 30 µs until it wakes, 35 for the lock, the heads "
    "of the database and the folder, 75 to 130 to write the text from what is stored, 20 to encode and write the "
    "database, 165 to 190 until the disk has it, 60 to 100 to write, rename and mark the file; the look of the one "
    "that waits for it adds 40 on average. The first ping of a process takes twice as long, as it makes a larger "
    "database file and the folder. glean-sdk waits for no disk.",
    "20": "cffi lets go of the interpreter's lock around each call, so threads that wait for it take it in "
    "turns call by call: the empty C function of row 20.1 loses as much. What keeps the lock, as "
    "prometheus_client does (row 20.2), loses nothing, so no C call through cffi can meet this goal.",
}
