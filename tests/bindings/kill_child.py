"""A program that records until it is killed, and a model of what it must have recorded; used by test_kill.py.

Step number i is always the same call, so what is stored after n steps is known: `Model`. A process says how many of its
calls returned by writing one byte for each to a file, which outlives it.

`python kill_child.py nursery` forks such processes from one that has imported everything: one request (JSON) a line
comes in; the process id, and later its exit status, go out. `python kill_child.py child REQUEST` is one by itself.
"""

import datetime
import json
import os
import random
import sys
import threading
import time
import traceback
import uuid
from pathlib import Path
from typing import Dict

from glean_py import Configuration, Glean, metrics
from glean_py.metrics import CommonMetricData, EventExtras, Lifetime, MemoryUnit, ObjectSerialize, PingType, TimeUnit

PING = "killed"
STEPS_A_LIFE = 400
ORDER = random.Random(4)
UTC = datetime.timezone.utc


class Number(EventExtras):
    """The extra of an event: which step it was."""

    def __init__(self, step):
        self._step = step

    def to_ffi_extra(self):
        return {"step": str(self._step)}


class Value(ObjectSerialize):
    """An object: which step it was."""

    def __init__(self, step):
        self._step = step

    def into_serialized_object(self):
        return json.dumps({"step": self._step})


def describe(name, lifetime=Lifetime.PING):
    return CommonMetricData(category="kill", name=name, send_in_pings=[PING], lifetime=lifetime, disabled=False)


def make_metrics():
    """Return all metrics by name, and the ping."""
    common = metrics.LabeledMetricData.COMMON
    made = {
        "total": metrics.CounterMetricType(describe("total", Lifetime.USER)),
        "counter": metrics.CounterMetricType(describe("counter")),
        "boolean": metrics.BooleanMetricType(describe("boolean")),
        "quantity": metrics.QuantityMetricType(describe("quantity")),
        "string": metrics.StringMetricType(describe("string")),
        "text": metrics.TextMetricType(describe("text")),
        "url": metrics.UrlMetricType(describe("url")),
        "string_list": metrics.StringListMetricType(describe("string_list")),
        "uuid": metrics.UuidMetricType(describe("uuid")),
        "datetime": metrics.DatetimeMetricType(describe("datetime"), TimeUnit.SECOND),
        "timespan": metrics.TimespanMetricType(describe("timespan"), TimeUnit.NANOSECOND),
        "timing": metrics.TimingDistributionMetricType(describe("timing"), TimeUnit.NANOSECOND),
        "memory": metrics.MemoryDistributionMetricType(describe("memory"), MemoryUnit.BYTE),
        "custom": metrics.CustomDistributionMetricType(
            describe("custom"), 1, 500, 20, metrics.HistogramType.EXPONENTIAL
        ),
        "event": metrics.EventMetricType(describe("event"), ["step"]),
        "object": metrics.ObjectMetricType(describe("object"), Value),
        "rate": metrics.RateMetricType(describe("rate")),
        "numerator": metrics.NumeratorMetricType(describe("numerator")),
        "denominator": metrics.DenominatorMetricType(describe("denominator"), [describe("numerator")]),
        "labeled_counter": metrics.LabeledCounterMetricType(common(describe("labeled_counter"))),
        "labeled_string": metrics.LabeledStringMetricType(common(describe("labeled_string")), {"a", "b"}),
        "labeled_boolean": metrics.LabeledBooleanMetricType(common(describe("labeled_boolean"))),
        "labeled_quantity": metrics.LabeledQuantityMetricType(common(describe("labeled_quantity"))),
        "dual": metrics.DualLabeledCounterMetricType(describe("dual"), None, None),
    }
    ping = PingType(PING, True, False, True, True, [], [], [])
    return made, ping


NAMES = [
    *(
        "total",
        "counter",
        "boolean",
        "quantity",
        "string",
        "text",
        "url",
        "string_list",
        "uuid",
        "datetime",
        "timespan",
    ),
    *("timing", "memory", "custom", "event", "object", "rate", "numerator", "denominator", "labeled_counter"),
    *("labeled_string", "labeled_boolean", "labeled_quantity", "dual"),
]
# Every kind comes up equally often, in an order that has no pattern; a ping now and then.
SCHEDULE = [name for name in NAMES for _ in range(4)] + ["submit"] * 3
ORDER.shuffle(SCHEDULE)


def perform(step, made, ping):
    """Do step number `step`."""
    name = SCHEDULE[step % len(SCHEDULE)]
    metric = made.get(name)
    if name == "submit":
        ping.submit()
    elif name in ("total", "counter"):
        metric.add(1 + step % 3)
    elif name == "boolean":
        metric.set(step % 2 == 0)
    elif name == "quantity":
        metric.set(step)
    elif name in ("string", "text"):
        metric.set(f"step {step}")
    elif name == "url":
        metric.set(f"https://example.org/{step}")
    elif name == "string_list":
        metric.add(str(step))
    elif name == "uuid":
        metric.set(uuid.UUID(int=step))
    elif name == "datetime":
        metric.set(datetime.datetime(2020, 1, 1, tzinfo=UTC) + datetime.timedelta(seconds=step))
    elif name == "timespan":
        metric.set_raw_nanos(step)
    elif name == "timing":
        metric.accumulate_single_sample(step + 1)
    elif name == "memory":
        metric.accumulate(step)
    elif name == "custom":
        metric.accumulate_samples([step % 500, 7])
    elif name == "event":
        metric.record(Number(step))
    elif name == "object":
        metric.set(Value(step))
    elif name == "rate":
        metric.add_to_numerator(1)
    elif name == "numerator":
        metric.add_to_numerator(2)
    elif name == "denominator":
        metric.add(3)
    elif name == "labeled_counter":
        metric[f"l{step % 7}"].add(1)
    elif name == "labeled_string":
        metric["a" if step % 2 else "b"].set(str(step))
    elif name == "labeled_boolean":
        metric[f"l{step % 5}"].set(step % 3 == 0)
    elif name == "labeled_quantity":
        metric[f"l{step % 5}"].set(step)
    elif name == "dual":
        metric.get(f"k{step % 4}", f"c{step % 3}").add(1)
    else:
        raise AssertionError(name)


class Model:
    """What is stored after some steps, and the pings that were made of what was stored before."""

    def __init__(self):
        self.steps = 0
        self.stored = {}
        self.pings = []

    def apply(self):
        """Do the next step."""
        step, stored = self.steps, self.stored
        name = SCHEDULE[step % len(SCHEDULE)]
        if name == "submit":
            if stored:
                self.pings.append(dict(stored))
            kept = stored.get("total")
            self.stored = {} if kept is None else {"total": kept}
        elif name in ("total", "counter"):
            stored[name] = stored.get(name, 0) + 1 + step % 3
        elif name == "boolean":
            stored[name] = step % 2 == 0
        elif name == "quantity":
            stored[name] = step
        elif name in ("string", "text"):
            stored[name] = f"step {step}"
        elif name == "url":
            stored[name] = f"https://example.org/{step}"
        elif name == "string_list":
            stored[name] = (stored.get(name, []) + [str(step)])[:100]
        elif name == "uuid":
            stored[name] = str(uuid.UUID(int=step))
        elif name == "datetime":
            moment = datetime.datetime(2020, 1, 1, tzinfo=UTC) + datetime.timedelta(seconds=step)
            stored[name] = moment.isoformat()
        elif name == "timespan":
            stored.setdefault(name, step)
        elif name in ("timing", "memory", "custom"):
            samples = {"timing": [step + 1], "memory": [step], "custom": [step % 500, 7]}[name]
            count, total = stored.get(name, [0, 0])
            stored[name] = [count + len(samples), total + sum(samples)]
        elif name == "event":
            stored[name] = stored.get(name, []) + [step]
        elif name == "object":
            stored[name] = {"step": step}
        elif name == "rate":
            stored[name] = [stored.get(name, [0, 0])[0] + 1, 0]
        elif name == "numerator":
            numerator, denominator = stored.get(name, [0, 0])
            stored[name] = [numerator + 2, denominator]
        elif name == "denominator":
            stored[name] = stored.get(name, 0) + 3
            numerator, denominator = stored.get("numerator", [0, 0])
            stored["numerator"] = [numerator, denominator + 3]
        elif name == "labeled_counter":
            self._label(name, f"l{step % 7}", lambda value: (value or 0) + 1)
        elif name == "labeled_string":
            self._label(name, "a" if step % 2 else "b", lambda _: str(step))
        elif name == "labeled_boolean":
            self._label(name, f"l{step % 5}", lambda _: step % 3 == 0)
        elif name == "labeled_quantity":
            self._label(name, f"l{step % 5}", lambda _: step)
        elif name == "dual":
            key, category = f"k{step % 4}", f"c{step % 3}"
            inner = dict(stored.get(name, {}).get(key, {}))
            inner[category] = inner.get(category, 0) + 1
            stored[name] = {**stored.get(name, {}), key: inner}
        self.steps += 1

    def _label(self, name, label, change):
        values = dict(self.stored.get(name, {}))
        values[label] = change(values.get(label))
        self.stored[name] = values


def stored_values(made):
    """Return what is stored, in the terms of the model."""
    found = {}
    for name, metric in made.items():
        # Only this says which labels there are, whatever this process has asked for.
        if name == "dual":
            for key in range(4):
                for category in range(3):
                    metric.get(f"k{key}", f"c{category}")
        value = metric.test_get_value()
        if value is None or value == {} or value == []:
            continue
        if name in ("timing", "memory", "custom"):
            value = [value.count, value.sum]
        elif name == "event":
            value = [int(event.extra["step"]) for event in value]
        elif name in ("rate", "numerator"):
            value = [value.numerator, value.denominator]
        elif name == "uuid":
            value = str(value)
        elif name == "datetime":
            value = value.isoformat()
        found[name] = value
    return found


def read_pings(data_dir):
    """Return the pings of that name on disk: (sequence number, what it holds in the terms of the model, client id)."""
    found = []
    for file in (Path(data_dir) / "pending_pings").glob("*"):
        path, body, _ = file.read_bytes().decode("utf-8").split("\n")
        assert path.endswith(file.name)
        if f"/{PING}/" not in path:
            continue
        ping = json.loads(body)
        values = {}
        for section, identifiers in ping.get("metrics", {}).items():
            for identifier, value in identifiers.items():
                category, _, name = identifier.rpartition(".")
                if category != "kill":
                    continue
                values[name] = _in_terms_of_the_model(section, value)
        steps = [int(e["extra"]["step"]) for e in ping.get("events", ()) if e["category"] == "kill"]
        if steps:
            values["event"] = steps
        found.append((ping["ping_info"]["seq"], values, ping["client_info"].get("client_id")))
    return sorted(found, key=lambda one: one[0])


def _in_terms_of_the_model(section, value):
    if section.endswith("_distribution"):
        return [sum(value["values"].values()), value["sum"]]
    if section == "timespan":
        return value["value"]
    return [value["numerator"], value["denominator"]] if section == "rate" else value


def differences(model, stored, pings):
    """Return in words how what was found differs from the model; nothing when it does not."""
    if len(pings) != len(model.pings):
        return f"{len(pings)} pings instead of {len(model.pings)}"
    for place, (wanted, found) in enumerate(zip(model.pings, pings)):
        if found[0] != place:
            return f"ping {place} has number {found[0]}"
        if wanted != found[1]:
            return f"ping {place}: {_first_difference(wanted, found[1])}"
    return "" if model.stored == stored else "stored: " + _first_difference(model.stored, stored)


def _first_difference(wanted, found):
    for name in sorted(set(wanted) | set(found)):
        if wanted.get(name) != found.get(name):
            return f"{name} is {found.get(name)!r} instead of {wanted.get(name)!r}"
    return "nothing"


def live(request):
    """Start Glean, say which step the directory stands at, and record from there until killed.

    The request has `data_dir`, `least` and `most` (how many steps may be stored), `told` (the file for the answer),
    `acknowledged` (the file that gets one byte for each call that returned), `pace` (seconds between calls), `last`
    (whether to end without recording).
    """
    made, ping = make_metrics()
    Glean.initialize("kill-tests", "1.0", True, Configuration(), Path(request["data_dir"]))
    model = Model()
    while model.steps < request["least"]:
        model.apply()
    # Reading waits for everything that was recorded before, by dead processes too.
    stored = stored_values(made)
    pings = read_pings(request["data_dir"])
    wrong = []
    while True:
        why = differences(model, stored, pings)
        if not why:
            break
        wrong.append(f"{model.steps} steps: {why}")
        if model.steps >= request["most"]:
            break
        model.apply()
    client_ids = sorted({client_id for _, _, client_id in pings})
    id_file = Path(request["data_dir"], "client_id.txt").read_text()
    answer = {"steps": model.steps, "client_ids": client_ids, "client_id": id_file}
    if why:
        answer["wrong"] = wrong
    _write_whole(request["told"], json.dumps(answer))
    if why or request.get("last"):
        return
    counted = os.open(request["acknowledged"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    pace = request.get("pace", 0.0)
    for step in range(model.steps, model.steps + STEPS_A_LIFE):
        perform(step, made, ping)
        os.write(counted, b".")
        if pace:
            until = time.perf_counter() + pace
            while time.perf_counter() < until:
                pass
    if request.get("ends"):
        return
    while True:
        time.sleep(10)


def _write_whole(path, text):
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


# --- several at once --------------------------------------------------------------------------------------------------


class Shared:
    """A counter and an event of a name, which any process may use."""

    def __init__(self, name):
        self.counter = metrics.CounterMetricType(describe(name))
        self.event = metrics.EventMetricType(describe(name + "_event"), ["step"])

    def call(self, step):
        """Record one call."""
        self.counter.add()
        self.event.record(Number(step))


def start(data_dir):
    """Start Glean; return the ping."""
    ping = PingType(PING, True, False, True, True, [], [], [])
    Glean.initialize("kill-tests", "1.0", True, Configuration(), Path(data_dir))
    return ping


def share(request):
    """Record beside other processes, submitting now and then; stay alive to be killed if told so."""
    own = Shared(request["name"])
    ping = start(request["data_dir"])
    counted = os.open(request["acknowledged"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for step in range(request["calls"]):
        own.call(step)
        os.write(counted, b".")
        if step % 97 == 96:
            ping.submit()
    while request["stays"]:
        time.sleep(10)


def fork(request):
    """Record before, between and after forks, in the parent and in each child."""
    parent = Shared("parent")
    ping = start(request["data_dir"])
    calls, children = request["calls"], []
    for step in range(calls):
        parent.call(step)
    for number in range(request["children"]):
        own = Shared(f"child{number}")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for step in range(calls):
                    own.call(step)
                    if step == calls // 2:
                        ping.submit()
                if request.get("is_killed"):
                    os.kill(os.getpid(), 9)
                Glean._reset()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(child)
    for step in range(calls):
        parent.call(step)
    ping.submit()
    wanted = 9 if request.get("is_killed") else 0
    assert [os.waitpid(child, 0)[1] for child in children] == [wanted] * len(children)
    for step in range(calls):
        parent.call(step)


def threads(request):
    """Record from many threads at once."""
    own = Shared("shared")
    start(request["data_dir"])
    counted = os.open(request["acknowledged"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def record():
        for _ in range(request["calls"]):
            own.counter.add()
            os.write(counted, b".")

    working = [threading.Thread(target=record) for _ in range(request["threads"])]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    while request["stays"]:
        time.sleep(10)


def early(request):
    """Record before the start, say so right after it, and wait to be killed."""
    own = Shared("early")
    for step in range(request["calls"]):
        own.call(step)
    start(request["data_dir"])
    _write_whole(request["acknowledged"], "started")
    while True:
        time.sleep(10)


def count(request):
    """Add up what is stored and what the pings have, after a last ping; `adds` says what to record before it."""
    ping = start(request["data_dir"])
    if "adds" in request:
        metrics.CounterMetricType(describe("last")).add(request["adds"])
    ping.submit()
    # Reading waits for the ping.
    metrics.CounterMetricType(describe("nothing")).test_get_value()
    counters: Dict[str, int] = {}
    events: Dict[str, int] = {}
    documents, client_ids = [], set()
    for file in (Path(request["data_dir"]) / "pending_pings").glob("*"):
        path, body, _ = file.read_bytes().decode("utf-8").split("\n")
        if f"/{PING}/" not in path:
            continue
        ping = json.loads(body)
        documents.append(ping["ping_info"]["seq"])
        client_ids.add(ping["client_info"].get("client_id", "none"))
        for identifier, value in ping.get("metrics", {}).get("counter", {}).items():
            if identifier.startswith("kill."):
                name = identifier[len("kill.") :]
                counters[name] = counters.get(name, 0) + value
        for event in ping.get("events", ()):
            if event["category"] == "kill":
                name = event["name"][: -len("_event")]
                events[name] = events.get(name, 0) + 1
    answer = {"counters": counters, "events": events, "documents": documents, "client_ids": sorted(client_ids)}
    _write_whole(request["told"], json.dumps(answer))


# --- damage -----------------------------------------------------------------------------------------------------------


def prepare(request):
    """Record some steps into a new directory and die; `rests` names steps after which everything is folded."""
    made, ping = make_metrics()
    start(request["data_dir"])
    for step in range(request["steps"]):
        perform(step, made, ping)
        if step in request["rests"]:
            made["total"].test_get_value()
    _write_whole(request["told"], "done")
    if hasattr(os, "kill") and sys.platform != "win32":
        os.kill(os.getpid(), 9)
    os._exit(0)


def damage(request):
    """Open copies of a directory, each damaged in one place, and say for each what is found.

    `places` has [file, kind, position] for each: `cut` at a byte, `flip` of a bit, `none`, and what else `hurt` knows;
    the answers are lines of JSON.
    """
    import shutil

    made, ping = make_metrics()
    error = metrics.StringMetricType(
        CommonMetricData(
            category="glean.database",
            name="load_error",
            send_in_pings=["metrics", "health"],
            lifetime=Lifetime.PING,
            disabled=False,
        )
    )
    # After each call, to know which one it was if this process dies.
    with open(request["told"], "w") as answers:
        for number, (name, kind, position) in enumerate(request["places"]):
            copy = Path(request["copies"], str(number))
            # Not `copy2`: from Python 3.12 on it calls CopyFile2, which Wine 8 does not have.
            shutil.copytree(request["data_dir"], str(copy), copy_function=shutil.copyfile)
            hurt(copy / name, kind, position)
            Glean.initialize("kill-tests", "1.0", True, Configuration(), copy)
            stored = stored_values(made)
            told = error.test_get_value("metrics")
            total = stored.get("total", 0)
            made["total"].add(5)
            pings = read_pings(copy)
            answer = {
                "place": [name, kind, position],
                "stored": stored,
                "pings": pings,
                "told": told,
                "goes_on": made["total"].test_get_value() == total + 5,
                "client_id": (copy / "client_id.txt").read_text(),
            }
            Glean._reset()
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
            shutil.rmtree(str(copy), ignore_errors=True)


def hurt(path, kind, position):
    """Damage a file."""
    if kind == "cut":
        with open(str(path), "r+b") as file:
            file.truncate(position)
    elif kind == "flip":
        with open(str(path), "r+b") as file:
            file.seek(position // 8)
            byte = file.read(1)[0]
            file.seek(position // 8)
            file.write(bytes([byte ^ (1 << position % 8)]))
    elif kind == "fill":
        path.write_bytes(random.Random(position).getrandbits(8 * 4096).to_bytes(4096, "big"))
    elif kind == "remove":
        path.unlink()
    elif kind == "append":
        with open(str(path), "ab") as file:
            file.write(random.Random(position).getrandbits(8 * 64).to_bytes(64, "big"))


def nursery():
    """Fork a process for each request, say its id, and when it is gone its status."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                WORK[request.get("work", "live")](request)
                Glean._reset()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


WORK = {
    "live": live,
    "share": share,
    "fork": fork,
    "threads": threads,
    "early": early,
    "count": count,
    "prepare": prepare,
    "damage": damage,
}


if __name__ == "__main__":
    if sys.argv[1] == "nursery":
        nursery()
    else:
        WORK[json.loads(sys.argv[2]).get("work", "live")](json.loads(sys.argv[2]))
