"""Runs programs of Glean operations under one package and says what happened; both sides of a comparison run this file.

`python driver.py glean FOLDER` or `python driver.py glean_py FOLDER`: one JSON program per line comes in, one JSON line
with the outcome goes out; a third word, `trace`, lets it log everything. Nothing is ever uploaded, and everything on
disk stays below FOLDER.

A program is {"pings": [..], "metrics": [..], "segments": [..]} (see programs.py). A segment is one life of Glean: calls
before `initialize`, `initialize`, calls after it, an end. After a segment that ends with `exit` or `kill` another
process goes on.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import enum
import faulthandler
import importlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
import traceback
import uuid
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

Json = Any
PROGRAM_S = 200.0
PING_FOLDERS = ("pending_pings", "deletion_request")
BUILT_IN = ("baseline", "metrics", "events", "health", "deletion-request")
ERRORS = ("INVALID_VALUE", "INVALID_LABEL", "INVALID_STATE", "INVALID_OVERFLOW")


class Package:
    """The package under test: `glean` or `glean_py`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = importlib.import_module(name)
        self.metrics = importlib.import_module(f"{name}.metrics")
        self.testing = importlib.import_module(f"{name}.testing")
        self.binding = importlib.import_module(f"{name}._uniffi")
        self.Glean: Any = self.root.Glean
        self.version = str(self.root.__version__)
        if name == "glean":
            # An upload would start a process of its own, or wait for a lock that its caller holds.
            net = importlib.import_module("glean.net")
            net.PingUploadWorker.process = classmethod(lambda cls, testing_mode=False: None)
            worker = importlib.import_module("glean.net.ping_upload_worker")
            worker.PingUploadWorker.process = net.PingUploadWorker.process

    def enum(self, name: str, member: str) -> Any:
        return getattr(getattr(self.metrics, name, None) or getattr(self.binding, name), member)


class Life:
    """One program as it runs."""

    def __init__(self, package: Package, program: Json, folder: Path) -> None:
        self.package = package
        self.program = program
        self.folder = folder
        self.metrics: Dict[str, Any] = {}
        self.pings: Dict[str, Any] = {}
        self.slots: Dict[Tuple[str, int], Any] = {}
        self.listened: List[str] = []
        self.seen: Dict[str, List[int]] = {}
        self.outcome: List[Json] = []
        base: Any = package.metrics.ObjectSerialize

        class Anything(base):  # type: ignore[misc]
            def __init__(self, text: str) -> None:
                self.text = text

            def into_serialized_object(self) -> str:
                return self.text

        self.Anything = Anything

    # --- what exists ---

    def make_pings(self, when: str) -> None:
        for ping in self.program["pings"]:
            if ping.get("when", "before") == when:
                self.pings[ping["name"]] = self.package.metrics.PingType(**ping["fields"], name=ping["name"])

    def common(self, fields: Json) -> Any:
        fields = dict(fields)
        fields["lifetime"] = self.package.enum("Lifetime", fields["lifetime"])
        return self.package.metrics.CommonMetricData(**fields)

    def make_metrics(self) -> None:
        self.slots.clear()
        for metric in self.program["metrics"]:
            self.metrics[metric["id"]] = self.make_metric(metric)

    def make_metric(self, metric: Json) -> Any:
        kind, common = metric["type"], self.common(metric["common"])
        metrics, binding = self.package.metrics, self.package.binding
        options = {key: self.option(key, value) for key, value in metric.get("options", {}).items()}
        if kind == "dual_labeled_counter":
            return binding.DualLabeledCounterMetric(common, options["keys"], options["categories"])
        if kind == "object":
            return metrics.ObjectMetricType(common, self.Anything)
        if kind == "denominator":
            return metrics.DenominatorMetricType(common, [self.common(fields) for fields in metric["numerators"]])
        name = "".join(word.capitalize() for word in kind.split("_")) + "MetricType"
        if not kind.startswith("labeled_"):
            return getattr(metrics, name)(common, **options)
        labels = options.pop("labels", None)
        inner = kind[len("labeled_") :]
        data = binding.LabeledMetricData
        if inner == "custom_distribution":
            described = data.CUSTOM_DISTRIBUTION(common, *(options[key] for key in _CUSTOM))
        elif inner == "memory_distribution":
            described = data.MEMORY_DISTRIBUTION(common, options["memory_unit"])
        elif inner == "timing_distribution":
            described = data.TIMING_DISTRIBUTION(common, options["time_unit"])
        else:
            described = data.COMMON(common)
        return getattr(metrics, name)(described, labels)

    def option(self, key: str, value: Json) -> Any:
        classes = {"time_unit": "TimeUnit", "memory_unit": "MemoryUnit", "histogram_type": "HistogramType"}
        return self.package.enum(classes[key], value) if key in classes else value

    # --- values ---

    def value(self, data: Json) -> Any:
        """Return the Python value that a JSON value of a program stands for."""
        if isinstance(data, list):
            return [self.value(item) for item in data]
        if not isinstance(data, dict):
            return data
        kind = data["$"]
        if kind == "repeat":
            return data["text"] * data["times"]
        if kind == "number":
            return {"nan": float("nan"), "half": 0.5, "one": 1.0}[data["name"]]
        if kind == "bytes":
            return data["text"].encode("latin-1")
        if kind == "uuid":
            return uuid.UUID(data["text"])
        if kind == "datetime":
            zone = data.get("offset_minutes")
            info = None if zone is None else datetime.timezone(datetime.timedelta(minutes=zone))
            return datetime.datetime(*data["fields"]).replace(tzinfo=info)
        if kind == "extras":
            pairs = data["pairs"]
            base: Any = self.package.metrics.EventExtras

            class Extras(base):  # type: ignore[misc]
                def to_ffi_extra(self) -> Dict[str, str]:
                    return dict(pairs)

            return Extras()
        if kind == "object":
            return self.Anything(data["text"])
        if kind == "timer":
            return self.package.metrics.TimerId(id=data["id"])
        raise ValueError(f"no value {kind!r}")

    # --- operations ---

    def call(self, operation: Json) -> Any:
        """Do one operation and return what it returned, as JSON."""
        return getattr(self, "do_" + operation["do"])(**{k: v for k, v in operation.items() if k != "do"})

    def settle(self) -> None:
        """Wait until everything queued is done, before a call that would overtake it."""
        if not self.is_synchronous and self.package.Glean.is_initialized():
            self.package.Glean.test_is_experiment_active("nobody")

    def sub(self, on: str, path: List[str]) -> Any:
        metric = self.metrics[on]
        if self.kind(on) == "dual_labeled_counter":
            return metric.get(*path) if path else metric
        for label in path:
            metric = metric[label]
        return metric

    def kind(self, on: str) -> str:
        return next(str(metric["type"]) for metric in self.program["metrics"] if metric["id"] == on)

    def do_record(self, on: str, fn: str, args: Json = (), path: Json = ()) -> Json:
        result = getattr(self.sub(on, [self.value(label) for label in path]), fn)(*[self.value(arg) for arg in args])
        if self.kind(on) == "event":
            # Two events in the same millisecond cannot be told from one and a clock that stands.
            time.sleep(0.003)
        return encode(result)

    def do_many(self, on: str, fn: str, args: Json, count: int, path: Json = ()) -> Json:
        metric = self.sub(on, [self.value(label) for label in path])
        for _ in range(count):
            getattr(metric, fn)(*args)
            if self.kind(on) == "event":
                time.sleep(0.003)

    def do_fill(self, on: str, count: int, where: int = 0) -> Json:
        """Use many labels."""
        kind = self.kind(on)
        function, value = _FILLING.get(kind, ("accumulate_samples", [3]))
        for number in range(count):
            label = f"l{number}"
            path = ([label, "a"] if where == 0 else ["a", label]) if kind == "dual_labeled_counter" else [label]
            getattr(self.sub(on, path), function)(value)

    def do_experiment(self, id: Json, branch: Json, extra: Json = None) -> Json:
        self.package.Glean.set_experiment_active(self.value(id), self.value(branch), extra)

    def do_timer(self, on: str, fn: str, slot: int, path: Json = ()) -> Json:
        metric = self.sub(on, [self.value(label) for label in path])
        key = (on + repr(path), slot)
        if fn == "start":
            self.slots[key] = metric.start()
        elif key in self.slots:
            getattr(metric, fn)(self.slots[key])
        return None

    def do_measure(self, on: str, raises: bool = False, path: Json = ()) -> Json:
        with contextlib.suppress(KeyError), self.sub(on, [self.value(label) for label in path]).measure():
            if raises:
                raise KeyError("on purpose")

    def do_get(self, on: str, ping: Optional[str] = None, path: Json = ()) -> Json:
        metric = self.sub(on, [self.value(label) for label in path])
        if path and self.kind(on) == "labeled_event":
            return None
        return encode(metric.test_get_value() if ping is None else metric.test_get_value(ping))

    def do_errors(self, on: str) -> Json:
        kind = self.package.testing.ErrorType
        return [self.metrics[on].test_get_num_recorded_errors(getattr(kind, name)) for name in ERRORS]

    def do_submit(self, ping: str, reason: Json = None) -> Json:
        if ping in self.pings:
            return encode(self.pings[ping].submit(self.value(reason)))
        return encode(self.package.binding.glean_submit_ping_by_name(ping, reason))

    def do_submit_watched(self, ping: str, reason: Json = None) -> Json:
        told: List[Json] = []
        self.pings[ping].test_before_next_submit(told.append)
        self.pings[ping].submit(self.value(reason))
        self.pings[ping].submit(self.value(reason))
        return told

    def do_submit_by_name(self, ping: str, reason: Optional[str] = None, sync: bool = False) -> Json:
        binding = self.package.binding
        if sync:
            self.settle()
        call = binding.glean_submit_ping_by_name_sync if sync else binding.glean_submit_ping_by_name
        return encode(call(ping, reason))

    def do_set_ping_enabled(self, ping: str, enabled: bool) -> Json:
        self.pings[ping].set_enabled(enabled)

    def do_collection(self, enabled: bool) -> Json:
        self.package.Glean.set_collection_enabled(enabled)

    def do_glean(self, fn: str, args: Json = ()) -> Json:
        if fn in ("clear_attribution", "clear_distribution"):
            self.settle()
        return encode(getattr(self.package.Glean, fn)(*[self.value(arg) for arg in args]))

    def do_binding(self, fn: str, args: Json = ()) -> Json:
        return encode(getattr(self.package.binding, fn)(*[self.value(arg) for arg in args]))

    def do_knobs(self, config: Json) -> Json:
        text = config if isinstance(config, str) else json.dumps(config)
        self.package.binding.glean_apply_server_knobs_config(text)

    def do_attribution(self, fields: Json) -> Json:
        empty = {key: None for key in ("source", "medium", "campaign", "term", "content")}
        given = {key: self.value(text) for key, text in fields.items()}
        made = self.package.metrics.AttributionMetrics(**{**empty, **given})
        self.settle()
        self.package.Glean.update_attribution(made)

    def do_distribution(self, name: Json) -> Json:
        self.settle()
        self.package.Glean.update_distribution(self.package.metrics.DistributionMetrics(name=self.value(name)))

    def do_channel(self, channel: Optional[str]) -> Json:
        self.package.Glean.configuration.channel = channel

    def do_registered(self) -> Json:
        ours = {ping["name"] for ping in self.program["pings"]} | set(BUILT_IN)
        return sorted(set(self.package.binding.glean_get_registered_ping_names()) & ours)

    def do_sleep(self, seconds: float) -> Json:
        time.sleep(seconds)

    # --- what is on disk ---

    def look(self) -> Tuple[List[Json], List[Json]]:
        """Return the pings that came and those that went since the last look."""
        now: Dict[str, Path] = {}
        for name in PING_FOLDERS:
            with contextlib.suppress(FileNotFoundError):
                for file in (self.folder / "data" / name).iterdir():
                    now[f"{name}/{file.name}"] = file
        came = sorted((read_ping(now[key]) for key in now if key not in self.seen), key=_order)
        gone = sorted(self.seen.pop(key) for key in list(self.seen) if key not in now)
        for document in came:
            # Pings of one step are written within the tick of a clock, so their order says nothing.
            self.seen[document.pop("key")] = [len(self.outcome), document["folder"] + document["path"]]
        return came, gone

    def step(self, label: str, operation: Json, action: Callable[[], Json]) -> None:
        """Do something and note what it returned or raised and which pings it wrote or removed."""
        done: Dict[str, Json] = {"label": label}
        if operation is not None:
            done["op"] = operation
        try:
            result = action()
            if result is not None:
                done["returned"] = result
        except Exception as error:
            done["raised"] = type(error).__name__
            logging.debug("%s", label, exc_info=True)
        # Without test mode, what was called comes to pass later; it is looked at when the segment ends.
        if self.is_synchronous:
            self.note(done)
        self.outcome.append(done)

    def note(self, done: Dict[str, Json]) -> None:
        came, gone = self.look()
        if came:
            done["wrote"] = came
        if gone:
            done["removed"] = gone

    # --- a program ---

    def run(self, start: int) -> Optional[int]:
        """Run the segments from number `start`; return the one to go on with in another process, if there is one."""
        segments = self.program["segments"]
        for number in range(start, len(segments)):
            segment = segments[number]
            self.is_synchronous = segment.get("test_mode", True)
            is_last = number + 1 == len(segments)
            self.run_segment(number, segment, is_last)
            end = segment.get("end", "reset")
            if end == "reset" or is_last:
                self.step(f"{number}: end", None, self.package.Glean._reset)
            elif end == "shutdown":
                self.step(f"{number}: shutdown", None, self.package.Glean.shutdown)
                self.step(f"{number}: end", None, self.package.Glean._reset)
            else:
                return number + 1
            if not self.is_synchronous:
                self.note(self.outcome[-1])
        text = self.folder / "data" / "client_id.txt"
        self.outcome.append({"label": "client_id.txt", "client_id": text.read_text() if text.exists() else None})
        return None

    def run_segment(self, number: int, segment: Json, is_last: bool) -> None:
        glean = self.package.Glean
        self.make_metrics()
        self.make_pings("before")
        for place, operation in enumerate(segment.get("before", ())):
            self.step(f"{number}: before {place}", operation, lambda operation=operation: self.call(operation))  # type: ignore[misc]
        if self.is_synchronous:
            glean._testing_mode = True
            self.package.binding.glean_set_test_mode(True)
        self.step(f"{number}: initialize", None, lambda: self.initialize(segment))
        self.make_pings("after")
        for place, operation in enumerate(segment.get("ops", ())):
            self.step(f"{number}: op {place}", operation, lambda operation=operation: self.call(operation))  # type: ignore[misc]
        if is_last:
            self.finish(number)

    def initialize(self, segment: Json) -> None:
        config = dict(segment.get("config", {}))
        if "session_mode" in config:
            config["session_mode"] = getattr(self.package.root.SessionMode, config["session_mode"])
        # glean_py sends nothing without one.
        config["server_endpoint"] = ""
        self.package.Glean._init_finished = False
        known = self.find_health()
        self.package.Glean.initialize(
            segment.get("application_id", "differential"),
            segment.get("application_version", "1.0"),
            segment.get("upload_enabled", True),
            configuration=self.package.root.Configuration(**config),
            data_dir=self.folder / "data",
            application_build_id=segment.get("build_id", "17"),
        )
        has_health = config.get("enable_internal_pings", True) and segment.get("upload_enabled", True)
        # Otherwise what follows would come before or after the health ping, as it happens; test mode sends none.
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not (
            self.package.Glean._init_finished and (self.is_synchronous or not has_health or self.find_health() - known)
        ):
            time.sleep(0.001)

    def find_health(self) -> Set[str]:
        """Return the names of the files of the health pings that starts made."""
        found: Set[str] = set()
        with contextlib.suppress(FileNotFoundError):
            for file in (self.folder / "data" / "pending_pings").iterdir():
                document = read_ping(file)
                if "/health/" in document["path"] and document["body"]["ping_info"].get("reason") == "pre_init":
                    found.add(file.name)
        return found

    def finish(self, number: int) -> None:
        """Read every value and error, then send every ping and read what is left."""
        for metric in self.program["metrics"]:
            for ping in [None, *metric["common"]["send_in_pings"][1:]]:
                operation = {"do": "get", "on": metric["id"], "ping": ping}
                self.step(f"{number}: last value", operation, lambda operation=operation: self.call(operation))  # type: ignore[misc]
            operation = {"do": "errors", "on": metric["id"]}
            self.step(f"{number}: last errors", operation, lambda operation=operation: self.call(operation))  # type: ignore[misc]
        for ping in [*self.pings, *BUILT_IN]:
            operation = {"do": "submit", "ping": ping}
            self.step(f"{number}: last ping", operation, lambda operation=operation: self.call(operation))  # type: ignore[misc]


_FILLING: Dict[str, Tuple[str, Json]] = {
    "labeled_boolean": ("set", True),
    "labeled_counter": ("add", 1),
    "dual_labeled_counter": ("add", 1),
    "labeled_quantity": ("set", 7),
    "labeled_string": ("set", "text"),
}
_CUSTOM = ("range_min", "range_max", "bucket_count", "histogram_type")


def _order(document: Json) -> Tuple[int, int, str]:
    # Without test mode many pings are found at once; a file's time is not fine enough to tell two quick ones apart.
    sequence = document["body"].get("ping_info", {}).get("seq", 0)
    return document.pop("written"), sequence, json.dumps(document["body"], sort_keys=True)


def read_ping(file: Path) -> Json:
    """Return a ping file as JSON: where it goes to, what it says, what is said about it."""
    lines = file.read_bytes().decode("utf-8").split("\n")
    path, _, document_id = lines[0].rpartition("/")
    return {
        "key": f"{file.parent.name}/{file.name}",
        "written": file.stat().st_mtime_ns,
        "folder": file.parent.name,
        "path": path,
        "is_named_after_its_id": document_id == file.name,
        "body": json.loads(lines[1]),
        "meta": json.loads(lines[2]) if len(lines) == 3 else {"lines": len(lines)},
    }


def encode(result: Any) -> Json:
    """Return a value that a call returned as JSON."""
    if result is None or isinstance(result, (bool, int, float, str)):
        return result
    if isinstance(result, dict):
        # Buckets and labels.
        return {str(key): encode(item) for key, item in sorted(result.items(), key=lambda pair: str(pair[0]))}
    if isinstance(result, (list, tuple)):
        return [encode(item) for item in result]
    if isinstance(result, (set, frozenset)):
        return sorted(encode(item) for item in result)
    if isinstance(result, uuid.UUID):
        return str(result)
    if isinstance(result, datetime.datetime):
        return {"datetime": result.isoformat(), "aware": result.tzinfo is not None}
    if isinstance(result, enum.Enum):
        return result.name
    fields = [name for name in _FIELDS if hasattr(result, name)]
    if fields:
        return {name: encode(getattr(result, name)) for name in fields}
    return {"object": type(result).__name__}


_FIELDS = (
    *("values", "sum", "count"),
    *("numerator", "denominator"),
    *("timestamp", "category", "name", "extra", "session"),
    *("branch",),
    *("source", "medium", "campaign", "term", "content"),
    *("id", "document_id", "ping", "submitted_date", "uploaded_date", "upload_failed", "payload"),
    *("session_id", "session_seq", "event_seq", "session_sample_rate", "session_start_time"),
)


class Runner:
    """Runs each program in a process of its own, forked from one that has imported the package and nothing more.

    A process that has run Glean before is no good for the next program: pings stay registered, settings stay made.
    """

    def __init__(self, package: Package, root: Path, pipes: List[int]) -> None:
        self.package = package
        self.root = root
        self.pipes = pipes

    def answer(self, number: int, program: Json) -> Json:
        folder = self.root / str(number)
        folder.mkdir(parents=True)
        answer: Dict[str, Json] = {"version": self.package.version}
        state: Json = {"start": 0, "seen": {}, "outcome": []}
        try:
            while state["start"] is not None:
                state = self.live(program, folder, state)
        except TimeoutError as error:
            answer["died"] = str(error)
        except ChildProcessError as error:
            answer["died"] = str(error)
        shutil.rmtree(folder, ignore_errors=True)
        answer["outcome"] = state["outcome"]
        return answer

    def live(self, program: Json, folder: Path, state: Json) -> Json:
        """Run segments in a new process until one of them ends it; return where to go on, or None at the end."""
        told = folder / "told.json"
        child = os.fork()
        if child == 0:
            self.run_and_end(program, folder, state, told)
        status = wait(child, PROGRAM_S)
        ends = [segment.get("end") for segment in program["segments"]]
        if not told.exists() or (status != 0 and not (os.WIFSIGNALED(status) and "kill" in ends)):
            raise ChildProcessError(f"exit status {status}")
        state = json.loads(told.read_text())
        told.unlink()
        return state

    def run_and_end(self, program: Json, folder: Path, state: Json, told: Path) -> None:
        # The package's own thread that reads the log of its core is not in this process; a full pipe would stop it.
        for pipe in self.pipes:
            threading.Thread(target=_drain, args=(pipe,), daemon=True).start()
        status = 1
        try:
            life = Life(self.package, program, folder)
            life.seen, life.outcome = state["seen"], state["outcome"]
            resume = life.run(state["start"])
            told.write_text(json.dumps({"start": resume, "seen": life.seen, "outcome": life.outcome}))
            status = 0
            if resume is not None and program["segments"][resume - 1]["end"] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if resume is not None:
                # What any program does at its end.
                atexit._run_exitfuncs()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)


def wait(child: int, seconds: float) -> int:
    """Return the exit status of a child; end it when it takes longer."""
    deadline = time.monotonic() + seconds
    pause = 0.0005
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGABRT)  # faulthandler says where it hangs.
            os.waitpid(child, 0)
            raise TimeoutError(f"it hung for {seconds:.0f} s")
        time.sleep(pause)


def _drain(pipe: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(pipe, 65536):
            pass


def load(name: str) -> Tuple[Package, List[int]]:
    """Import a package and return it with the pipes that it reads from."""
    made: List[int] = []
    original = os.pipe

    def noted() -> Tuple[int, int]:
        ends = original()
        made.append(ends[0])
        return ends

    os.pipe = noted
    try:
        return Package(name), made
    finally:
        os.pipe = original


def main() -> int:
    faulthandler.enable()
    logging.basicConfig(level=logging.DEBUG if "trace" in sys.argv[3:] else logging.CRITICAL)
    package, pipes = load(sys.argv[1])
    runner = Runner(package, Path(sys.argv[2]), pipes)
    # What a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    answers.write(json.dumps({"version": package.version}) + "\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(runner.answer(request["number"], request["program"])) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
