"""Where the time goes in rows whose goal is missed: written by hand after measuring, shown below the table.

A row that is missed and has no text here says so in the document; the text of a row that is met is not shown.
"""

from __future__ import annotations

from typing import Mapping

PROFILES: Mapping[str, str] = {
    "5": "of the 2.4 s in Wine, 0.6 s go to starting Python and pytest, 0.2 s to collecting and 1.6 s to the "
    "tests, where native takes 0.35 s: files that are opened, synced and removed, which Wine does through "
    "its server.",
    "10": "of the 472 ns, an empty C function with these three arguments, the text encoded for it, takes 240, "
    "the Python method around it some 45, and the core the rest. By perf, the calling thread is in "
    "libpython for a third of its time, in cffi for a third, in the kernel for an eighth (files of the "
    "journal that are made and removed) and in the core for a tenth. Rounds differ more than what is "
    "missing: glean-sdk takes 10 to 20 µs.",
    "15": "with fsync stubbed out ours takes 0.75 ms in place of 1.2, and a ping of 20 metrics takes 0.8 to 1.1 "
    "ms. So 0.45 ms go to syncing the ping and the database, and some 0.4 ms to the files and the thread "
    "that makes them; what is left is the assembly, which grows with the metrics. glean-sdk syncs "
    "nothing.",
    "19.1": "at rest client_id.txt takes 4,096 bytes, the database 12,288 (9,840 bytes are used) and the journal "
    "16,384, of which 467 bytes are used: its blocks are taken when it is made, so that a full disk cannot "
    "end the host program. glean-sdk has its database of 14,166 bytes and client_id.txt; with samples that "
    "vary, and so more buckets, 36,864 bytes were seen.",
    "20": "cffi lets go of the interpreter's lock around each call, so threads that wait for it take it in "
    "turns call by call: the empty C function of row 20.1 loses as much. What keeps the lock, as "
    "prometheus_client does (row 20.2), loses nothing, so no C call through cffi can meet this goal.",
}
