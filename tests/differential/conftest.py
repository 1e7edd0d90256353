"""What the comparison is given: the two Pythons, how many programs, from which seed."""

from __future__ import annotations

from typing import Iterator, Tuple

import pytest
from sides import Side


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("differential")
    group.addoption("--peer", help="a Python that has glean-sdk")
    group.addoption("--ours", help="a Python that has glean_py")
    group.addoption("--count", type=int, default=200, help="how many programs")
    group.addoption("--first-seed", type=int, default=1, help="which programs")
    group.addoption("--time-zone", default="UTC", help="where both packages believe to be")


@pytest.fixture(scope="session")
def sides(request: pytest.FixtureRequest) -> Iterator[Tuple[Side, Side]]:
    """The two packages, peer first."""
    pythons = [request.config.getoption(name) for name in ("--peer", "--ours")]
    if not all(pythons):
        pytest.exit("name two Pythons: --peer PYTHON --ours PYTHON", returncode=4)
    zone = request.config.getoption("--time-zone")
    with Side("glean", pythons[0], time_zone=zone) as peer, Side("glean_py", pythons[1], time_zone=zone) as ours:
        yield peer, ours
