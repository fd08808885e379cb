"""A Redis, and a cluster, for the whole session; each test that uses one empties it first."""

from collections.abc import Iterator

import pytest

from tests.support.redis import RedisCluster, RedisServer, redis_cluster, redis_server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The server."""
    with redis_server(tmp_path_factory.mktemp("redis"), appendfsync="everysec") as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three servers, each with a third of the slots."""
    with redis_cluster(tmp_path_factory.mktemp("cluster"), appendfsync="everysec") as cluster:
        yield cluster
