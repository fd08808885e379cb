"""A Redis for the whole session; each test that uses it empties it first."""

from collections.abc import Iterator

import pytest

from tests.support.redis import RedisServer, redis_server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The server."""
    with redis_server(tmp_path_factory.mktemp("redis"), appendfsync="everysec") as server:
        yield server
