"""Data directories after power loss: files that end early, single wrong bits, files that are gone or full of nonsense.

Each is opened: what a journal held before the damage is there and nothing else, what is missing is said in telemetry,
the client id stays, and recording goes on. The directories are made by processes that died (kill_child.py).
GLEAN_OPENINGS says how many a test opens at most.
"""

import json
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import pytest
from children import IS_WINDOWS
from kill_child import SCHEDULE, Model
from test_kill import Nursery

pytestmark = pytest.mark.core

# An opening takes some milliseconds, a hundred under Wine, so most suites make a sample of them: always the same one.
MOST_OPENINGS = int(os.environ.get("GLEAN_OPENINGS", "32" if IS_WINDOWS else "64"))
WINDOW_BYTES = 32
SUBMISSIONS = [step for step in range(200) if SCHEDULE[step % len(SCHEDULE)] == "submit"]
# Ends with a ping, which empties the journal if there is time for it, and has some before.
STEPS = SUBMISSIONS[3] + 1


class Made:
    """A data directory whose process died, and what is in it.

    Attributes:
        steps: how many steps are stored in it.
        folded: how many of them are in the base at least.
        client_id: the id that pings and the file have.
    """

    def __init__(self, folder, nursery, steps, rests):
        self.folder = folder
        self.steps = steps
        # A base is saved when a ping is made.
        self.folded = max((step + 1 for step in SUBMISSIONS if step <= max(rests, default=-1)), default=0)
        self._nursery = nursery
        self.data_dir = folder / "data_dir"
        request = {"work": "prepare", "data_dir": str(self.data_dir), "steps": steps, "rests": rests}
        nursery.start(dict(request, told=str(folder / "told")))[1]()
        assert (folder / "told").exists(), nursery.said()
        id_file = self.data_dir / "client_id.txt"
        self.client_id = id_file.read_text() if id_file.exists() else None

    def files(self):
        """Return the files of the database, and that of the client id, by their names in the directory."""
        files = [file for file in (self.data_dir / "db").iterdir() if file.suffix != ".lock"]
        files += [self.data_dir / "client_id.txt"] if self.client_id else []
        return {str(file.relative_to(self.data_dir)): file for file in files}

    def journals(self):
        return sorted(name for name in self.files() if name.endswith(".log"))

    def used(self, name):
        """Return how many bytes of a file are not the zeros at its end."""
        return len(self.files()[name].read_bytes().rstrip(b"\0"))

    def open_damaged(self, places):
        """Open a copy for each damaged place; return what was found."""
        told = self.folder / "found"
        # Waiting for a disk would take nearly all of the time.
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        copies = Path(tempfile.mkdtemp(prefix="glean-damaged-", dir=in_memory))
        request = {"work": "damage", "data_dir": str(self.data_dir), "places": places}
        status = self._nursery.start(dict(request, copies=str(copies), told=str(told)))[1]()
        shutil.rmtree(str(copies))
        found = [json.loads(line) for line in told.read_text().splitlines()]
        assert status == 0, f"opening died at {places[len(found) : len(found) + 1]}: {self._nursery.said()}"
        assert len(found) == len(places)
        return found


@pytest.fixture(scope="module")
def nursery(tmp_path_factory):
    """A nursery for all tests here."""
    made = Nursery(tmp_path_factory.mktemp("nursery"))
    yield made
    made.close()


@pytest.fixture(scope="module", params=["journal alone", "base and journal", "folded to the end"])
def made(request, nursery, tmp_path_factory):
    """A directory in which nothing was folded, in which some was, and in which all was."""
    rests = {"journal alone": [], "base and journal": [STEPS - 30], "folded to the end": [STEPS - 1]}[request.param]
    return Made(tmp_path_factory.mktemp("made"), nursery, STEPS, rests)


def models():
    """Return what is stored after each number of steps."""
    states = []
    model = Model()
    for _ in range(STEPS + 1):
        states.append((dict(model.stored), [dict(ping) for ping in model.pings]))
        model.apply()
    return states


STATES = models()


def prefix_of(answer):
    """Return after how many steps everything is as it was found; the highest number if several fit, or None."""
    pings = [values for _, values, _ in answer["pings"]]
    fitting = [steps for steps, state in enumerate(STATES) if state == (answer["stored"], pings)]
    return max(fitting, default=None)


def check_common(made, answer):
    assert answer["goes_on"], answer
    ids = {client_id for _, _, client_id in answer["pings"]} | {answer["client_id"].lower()}
    assert len(ids) == 1, answer
    if made.client_id is not None:
        assert ids == {made.client_id}, answer
    if Path(answer["place"][0]).name != "base":
        # What was lost there may have been the number of the next ping.
        assert [number for number, _, _ in answer["pings"]] == list(range(len(answer["pings"])))


def spread(positions, most):
    """Return some of the positions, always the same ones."""
    positions = list(positions)
    return positions if len(positions) <= most else sorted(random.Random(7).sample(positions, most))


def test_an_undamaged_directory_has_everything_and_tells_of_no_damage(made):
    (answer,) = made.open_damaged([[made.journals()[-1], "none", 0]])
    check_common(made, answer)
    assert prefix_of(answer) == STEPS
    assert answer["told"] is None


def test_a_journal_that_ends_at_any_byte_opens_with_a_prefix(made):
    name = made.journals()[-1]
    used = made.used(name)
    every = range(0, used + 8, WINDOW_BYTES)
    windows = sorted({*spread(every, MOST_OPENINGS // WINDOW_BYTES), every[-1]})
    cuts = [cut for window in windows for cut in range(window, window + WINDOW_BYTES)]
    found = made.open_damaged([[name, "cut", cut] for cut in cuts])
    last = silent = 0
    for cut, answer in zip(cuts, found):
        check_common(made, answer)
        steps = prefix_of(answer)
        assert steps is not None, (cut, answer)
        assert max(last, made.folded) <= steps, (cut, answer)
        last = steps
        # A journal that ends right behind a call, or within the zeros that fill up to the next one, looks as if there
        # was no further call. Anywhere else the rest of a call is missed.
        silent = silent + 1 if steps < STEPS and answer["told"] is None else 0
        assert silent <= 8 or cut in windows, (cut, answer)
    assert last == STEPS
    assert made.folded == STEPS or any(answer["told"] for answer in found)


def test_a_wrong_bit_in_a_journal_leaves_a_prefix(made):
    places = []
    for name in made.journals():
        bits = spread(range(made.used(name) * 8), MOST_OPENINGS // 3)
        places += [[name, "flip", bit] for bit in bits]
        # Behind the end there is room for more calls.
        size = made.files()[name].stat().st_size
        places += [[name, "flip", bit] for bit in spread(range(made.used(name) * 8, size * 8), MOST_OPENINGS // 20)]
    for answer in made.open_damaged(places):
        check_common(made, answer)
        steps = prefix_of(answer)
        assert steps is not None, answer
        assert steps >= made.folded
        assert steps == STEPS or answer["told"] is not None, answer


def test_a_wrong_bit_elsewhere_costs_single_values_at_most(made):
    bases = [name for name in made.files() if not name.endswith(".log")]
    if not bases:
        pytest.skip("nothing was folded, so there is no other file")
    places = []
    for name in bases:
        bits = range(made.files()[name].stat().st_size * 8)
        places += [[name, "flip", bit] for bit in spread(bits, MOST_OPENINGS // 2)]
    histories: Dict[str, List[Any]] = {}
    for stored, _ in STATES:
        for name, value in stored.items():
            histories.setdefault(name, []).append(value)
    final = STATES[STEPS][0]
    for answer in made.open_damaged(places):
        check_common(made, answer)
        if answer["place"][0] == "client_id.txt":
            assert prefix_of(answer) == STEPS, answer
            continue
        differing = {name for name in {*final, *answer["stored"]} if final.get(name) != answer["stored"].get(name)}
        assert not differing or answer["told"] is not None, (differing, answer)
        # Nothing may come out of damage that was not recorded.
        for name in differing & set(answer["stored"]):
            assert is_recorded(answer["stored"][name], histories.get(name, ())), (name, answer)


def is_recorded(value, history):
    """Return whether a value, or each of its labels, is one that was stored at some time, or a later part of it."""
    if value in history:
        return True
    if isinstance(value, dict):
        return all(
            any(is_recorded(part, [state.get(label)]) for state in history if isinstance(state, dict))
            for label, part in value.items()
        )
    if isinstance(value, list):
        # Without what was in the base, what came after it counts.
        return any(isinstance(state, list) and _is_part(value, state) for state in history)
    return isinstance(value, int) and any(isinstance(state, int) and value <= state for state in history)


def _is_part(part, whole):
    if all(isinstance(item, int) for item in (*part, *whole)) and len(part) == len(whole):
        return all(one <= other for one, other in zip(part, whole))
    return [item for item in whole if item in part] == part


def test_files_full_of_nonsense_or_gone_never_keep_glean_from_starting(made):
    places = []
    for name, file in made.files().items():
        places += [[name, kind, number] for kind in ("fill", "remove", "append") for number in range(2)]
        size = file.stat().st_size
        places += [[name, "cut", cut] for cut in {0, 1, 7, 8, size // 2, max(size - 1, 0)}]
    for answer in made.open_damaged(places):
        assert answer["goes_on"], answer
        ids = {client_id for _, _, client_id in answer["pings"]} | {answer["client_id"].lower()}
        assert len(ids) == 1, answer
        if made.client_id is not None:
            assert ids == {made.client_id}, answer
