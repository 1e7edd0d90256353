"""Many processes in one data directory, killed at random, and a server that fails at random: no ping is lost.

`GLEAN_TEST_SOAK_S` says for how many seconds; the usual number is small.
"""

import json
import os
import random
import sys
import time
from typing import Any, Dict, List, Set

import fault_server
import pytest
from fault_server import FaultServer, answer
from upload_programs import accepted_ids, run_program, start_program

pytestmark = pytest.mark.core

SECONDS = float(os.environ.get("GLEAN_TEST_SOAK_S", "4"))
PROCESSES = 3 if sys.platform == "win32" else 10
# Each ping has a text of its own, which is acknowledged when `submit` has returned.
PROGRAM = """
name = sys.argv[3]
text = StringMetricType(CommonMetricData(
    category="test", name="text", send_in_pings=[name], lifetime=Lifetime.PING, disabled=False))
own = PingType(name, True, False, True, True, [], [], [])
configuration = Configuration(server_endpoint=endpoint, enable_internal_pings=False, max_pending_pings_count=1000000,
    allow_multiprocessing={child})
configuration._rate_limit = (1, 1000000)
Glean.initialize("glean-tests", "1.0", True, configuration, data_dir)
print("started", flush=True)
number, end = 0, time.monotonic() + {life}
while time.monotonic() < end:
    text.set("%s/%d" % (name, number))
    own.submit()
    print("%s/%d" % (name, number), flush=True)
    number += 1
    time.sleep(0.02)
"""
DRAIN = """
configuration = Configuration(server_endpoint=endpoint, enable_internal_pings=False, max_pending_pings_count=1000000)
Glean.initialize("glean-tests", "1.0", True, configuration, data_dir)
Glean.shutdown()
"""


def start_one(data_dir, server, dice, number):
    """Start a process that submits for a while; it may end properly, with or without a process that sends the rest."""
    code = PROGRAM.format(life=round(dice.uniform(0.2, 2), 2), child=dice.random() < 0.3)
    output = open(str(data_dir) + f"-{number}.txt", "w+b")
    process = start_program(
        data_dir, server.endpoint, f"import sys; sys.argv.append('name-{number}')\n" + code, stdout=output
    )
    return process, output, time.monotonic() + (dice.uniform(0.2, 3) if dice.random() < 0.5 else 600)


def test_what_was_acknowledged_is_on_the_server_or_on_disk(tmp_path):
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    faults = [fault_server.lost_answer, fault_server.reset_mid_body, fault_server.nothing, answer(500)]
    lost = [0]

    def fault(connection):
        chosen = dice.choice(faults) if dice.random() < 0.15 else answer(200)
        if chosen is fault_server.lost_answer:
            lost[0] += 1
        return chosen(connection)

    with FaultServer(fault) as server:
        outputs: List[Any] = []
        running: List[Any] = []
        cut = number = 0
        end = time.monotonic() + SECONDS
        while time.monotonic() < end or running:
            while len(running) < PROCESSES and time.monotonic() < end:
                running.append(start_one(data_dir, server, dice, number))
                outputs.append(running[-1][1])
                number += 1
            for one in list(running):
                process, _, death = one
                if process.poll() is None and time.monotonic() > death:
                    process.kill()
                if process.poll() is None:
                    continue
                running.remove(one)
                # A request may be cut by a kill, by the end of a program, or of the process that it left.
                cut += 2
                err = process.communicate()[1]
                assert process.returncode == 0 or time.monotonic() > death, err
            time.sleep(0.02)
        acknowledged: Set[str] = set()
        for output in outputs:
            output.seek(0)
            acknowledged.update(line for line in output.read().decode("utf-8").split() if "/" in line)
            output.close()
        found: List[Any] = []
        # Folds what killed processes left, as much as there is time for at an end; the server is never asked.
        for _ in range(20):
            run_program(data_dir, "", DRAIN)
            # The disk first: a process that sends the rest may still be at it. And twice, as a listing may miss a file
            # that is renamed meanwhile.
            for _ in range(2):
                found += read_waiting(data_dir)
                accepted = list(server.accepted)
                found += [(request.body["metrics"]["string"]["test.text"], request.document_id) for request in accepted]
            if acknowledged <= {text for text, _ in found}:
                break
    assert acknowledged
    assert acknowledged - {text for text, _ in found} == set()
    by_text: Dict[str, Set[str]] = {}
    for text, document_id in found:
        by_text.setdefault(text, set()).add(document_id)
    assert {text: ids for text, ids in by_text.items() if len(ids) > 1} == {}
    ids = accepted_ids(server)
    assert len(ids) - len(set(ids)) <= lost[0] + cut


def read_waiting(data_dir):
    """Return text and document id of each ping on disk."""
    for _ in range(1000):
        try:
            files = list((data_dir / "pending_pings").glob("*"))
            bodies = [json.loads(file.read_bytes().split(b"\n")[1].decode("utf-8")) for file in files]
        except (FileNotFoundError, PermissionError):
            # A process that sends the rest renamed or sent it meanwhile; Windows refuses one that is being removed.
            time.sleep(0.01)
            continue
        texts = [body["metrics"]["string"]["test.text"] for body in bodies]
        return [(text, file.name.partition(".")[0]) for text, file in zip(texts, files)]
    raise AssertionError("the pings on disk never stood still")
