"""What many tests stand on: a scripted upstream and a whole server in front of it, on free ports of loopback."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tailrace.cli.serve import configure_logging
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import Served, serving, settings
from tests.support.topology import TOPOLOGIES, standing_on

# How long an example takes says more of the machine than of the code: no test is timed.
hypothesis_settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What the servers of the tests stand on."""
    parser.addoption("--topology", choices=TOPOLOGIES, default="embedded", help="what servers stand on")


@pytest.fixture(autouse=True)
def topology(request: pytest.FixtureRequest) -> Iterator[None]:
    """What this test's servers stand on, with nothing in it."""
    with standing_on(request.config.getoption("--topology")):
        yield


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """A scripted upstream that speaks every wire."""
    async with ScriptedUpstream() as running:
        yield running


@pytest.fixture
async def server(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Served]:
    """A server over `upstream`, with its data in a directory of its own."""
    async with serving(settings(tmp_path / "data", upstream), upstream) as served:
        yield served


@pytest.fixture(autouse=True, scope="session")
def plain_log_lines() -> None:
    """Log lines as the server writes them where no terminal is: JSON, without drawings of tracebacks."""
    configure_logging()
