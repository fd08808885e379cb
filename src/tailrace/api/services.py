"""What the routes need, wired together in app.py."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from litestar.di import NamedDependency
from prometheus_client import CollectorRegistry

from tailrace.api.readers import Readers
from tailrace.log.base import Log
from tailrace.runs.reader import RunReader
from tailrace.runs.runner import Runner
from tailrace.runs.submit import Submitter
from tailrace.runs.tracing import Tracing
from tailrace.settings import Settings
from tailrace.store.base import Store
from tailrace.upstream.registry import Registry


@dataclass(frozen=True, slots=True)
class Services:
    """The rooms below, as the API uses them. `now` gives milliseconds since the epoch; `new_id` makes ids by kind."""

    settings: Settings
    log: Log
    store: Store
    registry: Registry
    reader: RunReader
    runner: Runner
    submitter: Submitter
    tracing: Tracing
    readers: Readers
    metrics: CollectorRegistry
    settle: Callable[[str], Awaitable[None]]
    set_aside: Collection[str]
    now: Callable[[], int]
    new_id: Callable[[str], str]


Injected = NamedDependency[Services]
