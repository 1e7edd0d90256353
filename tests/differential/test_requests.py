"""What both packages send to one server for the same calls: paths, headers and decoded bodies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from sides import Side

sys.path.insert(0, str(Path(__file__).resolve().parent.with_name("bindings")))
from fault_server import FaultServer, Request

Json = Any
PROGRAM = """
import importlib, sys
from pathlib import Path
package, endpoint, data_dir, is_collected = sys.argv[1:]
glean, metrics = importlib.import_module(package), importlib.import_module(package + ".metrics")
def describe(category, name):
    return metrics.CommonMetricData(
        category=category, name=name, send_in_pings=["usage", "quiet"], lifetime=metrics.Lifetime.PING, disabled=False
    )
usage = metrics.PingType("usage", True, False, True, True, [], ["quit", "idle"], [])
quiet = metrics.PingType("quiet", False, True, False, False, [], [], [])
starts = metrics.CounterMetricType(describe("app", "starts"))
user = metrics.StringMetricType(describe("app", "user"))
sizes = metrics.MemoryDistributionMetricType(describe("app", "sizes"), metrics.MemoryUnit.KILOBYTE)
glean.Glean.initialize(
    "my.App_x \\u00e9", "1.0/beta", is_collected == "True",
    configuration=glean.Configuration(server_endpoint=endpoint, channel="nightly", enable_internal_pings=False),
    data_dir=Path(data_dir),
)
if is_collected == "False":
    glean.Glean.set_collection_enabled(True)
starts.add(3)
user.set("J\\u00f6ns \\U0001f600")
for size in (1, 1000, 100000):
    sizes.accumulate(size)
if is_collected == "True":
    usage.submit(0)
    usage.submit(1)
    starts.add(4)
    usage.submit(1)
    quiet.submit()
else:
    glean.Glean.set_collection_enabled(False)
glean.Glean.shutdown()
"""
# One is another in each process; the others are entries of docs/compatibility.md, or name the package.
OTHER_EACH_TIME = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\d(T[0-9:.]+)?([+-]\d\d:\d\d)?"
)
OF_THE_PACKAGE = ("os_version", "locale", "telemetry_sdk_build", "windows_build_number", "architecture")
PROGRAM_S = 600


def send(side: Side, is_collected: bool, folder: Path) -> List[Request]:
    """Run the program in a folder, where a process of the package may go on, and return its requests.

    Those of the same ping are in their order.
    """
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    env.update(GLEAN_DEBUG_VIEW_TAG="my-tag", GLEAN_SOURCE_TAGS="one,two", no_proxy="*")
    pings = 3 if is_collected else 1
    with FaultServer() as server:
        argv = [side.python, "-c", PROGRAM, side.package, server.endpoint, f"{folder}/data", str(is_collected)]
        subprocess.run(argv, env=env, check=True, timeout=PROGRAM_S, cwd=folder)
        server.wait_for_accepted(pings)
        requests = list(server.requests)
    return sorted(requests, key=lambda request: (request.name, request.body.get("ping_info", {}).get("seq", 0)))


def plain(text: str) -> str:
    return OTHER_EACH_TIME.sub("*", text)


def normal(value: Json) -> Json:
    """Return a body without what is another one each time."""
    if isinstance(value, dict):
        return {key: "*" if key in OF_THE_PACKAGE else normal(each) for key, each in value.items() if key != "locale"}
    if isinstance(value, list):
        return [normal(each) for each in value]
    return plain(value) if isinstance(value, str) else value


def headers(request: Request) -> Dict[str, str]:
    """Return the headers; of those that are another one each time, the form."""
    found = {name.title(): value for name, value in request.headers.items()}
    assert int(found.pop("Content-Length")) == len(request.raw)
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", found["Date"])
    found["Date"], found["Host"] = "*", "*"
    # The binding is spelt in small letters where a child of glean-sdk sends.
    found["X-Telemetry-Agent"] = re.sub(
        r"^Glean/[0-9.]+ \(python", "Glean/* (Python", found["X-Telemetry-Agent"], flags=re.I
    )
    return found


@pytest.mark.parametrize("is_collected", [True, False], ids=["collected", "withdrawn"])
def test_both_packages_send_the_same_requests(
    sides: Tuple[Side, Side], is_collected: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    peer, ours = (send(side, is_collected, tmp_path_factory.mktemp(side.package)) for side in sides)
    assert [plain(request.target) for request in ours] == [plain(request.target) for request in peer]
    for one, other in zip(ours, peer):
        assert (one.method, one.version, headers(one)) == (other.method, other.version, headers(other))
        assert normal(one.body) == normal(other.body)
    ids = [request.document_id for request in ours]
    assert len(set(ids)) == len(ids)
