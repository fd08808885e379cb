"""What the routes need, wired together in app.py."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from litestar.di import NamedDependency

from tailrace.api.metrics import Value
from tailrace.api.readers import Readers
from tailrace.api.shared_encoding import Encodings
from tailrace.log.base import Log
from tailrace.mcp.config import Standing
from tailrace.runs.agents import Agents
from tailrace.runs.control import Control
from tailrace.runs.reader import RunReader
from tailrace.runs.submit import Submitter
from tailrace.runs.tracing import Tracing
from tailrace.settings import Settings
from tailrace.store.base import Store
from tailrace.tools.remote import Broker
from tailrace.upstream.registry import Registry
from tailrace.upstream.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Services:
    """The rooms below, as the API uses them.

    `settle` waits until a run is stored as it stands in its log; `dead` gives the runs that no worker could cope with,
    by kind of work; `mcp` says how it stands with the MCP servers. `now` gives milliseconds since the epoch; `new_id`
    makes ids by kind.
    """

    settings: Settings
    log: Log
    store: Store
    registry: Registry
    agents: Agents
    broker: Broker | None
    mcp: Callable[[], Sequence[Standing]]
    traffic: Traffic
    reader: RunReader
    control: Control
    submitter: Submitter
    tracing: Tracing
    readers: Readers
    encodings: Encodings
    gauges: Callable[[], Awaitable[Mapping[str, Value]]]
    settle: Callable[[str], Awaitable[None]]
    dead: Callable[[], Awaitable[dict[str, list[str]]]]
    now: Callable[[], int]
    new_id: Callable[[str], str]


Injected = NamedDependency[Services]
