"""What the servers of the tests stand on, as `pytest --topology` says: one suite for all (docs/operations.md).

`embedded`: one process over SQLite files. `scaled`: one node in all roles, over Redis and PostgreSQL. `split`: four
nodes with one role each and connections of their own, which meet only in Redis and PostgreSQL; they share the test's
event loop, as nothing that they have in common is in it.
"""

import atexit
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from msgspec.structs import replace

from tailrace import app
from tailrace.api.services import Services
from tailrace.settings import ROLES, Role, Settings
from tests.support import postgres
from tests.support.redis import RedisServer

TOPOLOGIES = ("embedded", "scaled", "split")
DATABASES = 16  # of one Redis: more servers with data of their own than any test has


class _Place(NamedTuple):
    """Where the runs of a server are that is given this data directory: the URLs of Redis and PostgreSQL."""

    log: str
    store: str


class Topology:
    """What stands under the servers of one test. Who is given the same data directory again finds what was there."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._places: dict[str, _Place] = {}

    def placed(self, given: Settings) -> Settings:
        """The settings with the engines that this topology has in place of the data directory."""
        if self._name == "embedded" or given.log.url is not None:
            return given
        place = self._places.get(given.data)
        if place is None:
            url = f"{shared_redis().url}/{len(self._places)}"
            place = self._places[given.data] = _Place(url, postgres.shared().new_store())
        log, store = replace(given.log, url=place.log), replace(given.store, url=place.store)
        return replace(given, log=log, store=store)

    def clear(self) -> None:
        """Forget the test's data."""
        for place in self._places.values():
            database = place.store.rpartition("/")[2]
            postgres.shared().execute(f"DROP DATABASE {database} WITH (FORCE)")
        if self._places:
            shared_redis().wait_for(b"+OK", "FLUSHALL")

    @asynccontextmanager
    async def nodes(self, given: Settings, environ: Mapping[str, str]) -> AsyncIterator[list[Services]]:
        """What is behind the server of each node, alive; the first one has the API."""
        placed = self.placed(given)
        each = [in_role(placed, role) for role in ROLES] if self._name == "split" else [placed]
        async with AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(app.services(node, environ)) for node in reversed(each)]
            yield nodes[::-1]


_standing = [Topology("embedded")]


@contextmanager
def standing_on(name: str) -> Iterator[Topology]:
    """Servers stand on this topology meanwhile, with data of their own."""
    topology = Topology(name)
    _standing.append(topology)
    try:
        yield topology
    finally:
        _standing.remove(topology)
        topology.clear()


def current() -> Topology:
    """The topology of the test that runs."""
    return _standing[-1]


def in_role(given: Settings, role: Role) -> Settings:
    """The settings of a node with this role alone."""
    return replace(given, server=replace(given.server, roles=[role]))


@cache
def shared_redis() -> RedisServer:
    """The Redis of this process of the tests; it is started once, and ends with it."""
    folder = Path(mkdtemp(prefix="tailrace-redis-"))
    server = RedisServer(folder, appendfsync="everysec", databases=str(DATABASES))
    atexit.register(shutil.rmtree, folder)
    atexit.register(server.kill)
    server.start()
    return server
