"""A real redis-server on a free port of loopback, in a folder of its own; it can be killed and started again."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from tailrace.log.redis_route import SLOTS, slot_of
from tests.support.ports import free_port

START_S = 30.0  # three nodes that share two busy processors take a while to make up a cluster
STEP_S = 0.01  # nothing tells when a server listens, or when a cluster is up: one has to ask


class RedisServer:
    """A server over the data in `folder`; `options` are of redis.conf. Its port stays the same."""

    def __init__(self, folder: Path, **options: str) -> None:
        self._folder = folder
        self._options = {"appendonly": "yes", "appendfsync": "always", "save": "", **options}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; returns once it answers."""
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed")
        options = [part for name, value in self._options.items() for part in (f"--{name.replace('_', '-')}", value)]
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.wait_for(b"-NOAUTH Authentication required." if "requirepass" in self._options else b"+PONG", "PING")

    def wait_for(self, answer: bytes, *command: str) -> None:
        """Ask until it answers so."""
        until = time.monotonic() + START_S
        while self.ask(*command) != answer:
            assert self._process is not None
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < until, "redis-server does not answer as it should"
            time.sleep(STEP_S)

    def ask(self, *command: str) -> bytes:
        """One inline command, on a connection of its own: the first line of the answer; empty where nobody answers."""
        try:
            with closing(socket.create_connection(("127.0.0.1", self.port), START_S)) as connection:
                connection.sendall(" ".join(command).encode() + b"\r\n")
                return connection.makefile("rb").readline().rstrip()
        except OSError:
            return b""

    def make_cluster(self) -> None:
        """Have it own all slots of a cluster that it is alone in; it was started with `cluster_enabled`."""
        self.wait_for(b"+OK", "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        self.wait_for(b"+OK", "SET", "probe", "1")

    def freeze(self) -> None:
        """Let it hang, with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def redis_server(folder: Path, **options: str) -> Iterator[RedisServer]:
    """A server that runs until the end."""
    server = RedisServer(folder, **options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class RedisCluster:
    """Servers that share the slots of a cluster, in equal parts; clients know the first of them."""

    def __init__(self, nodes: Sequence[RedisServer]) -> None:
        self.nodes = nodes
        self.url = nodes[0].url

    def ask(self, *command: str) -> bytes:
        """The same inline command to all: what the last one says."""
        return [node.ask(*command) for node in self.nodes][-1]

    def owner(self, key: str) -> RedisServer:
        """Who has this key's slot."""
        (owner,) = (node for node in self.nodes if node.ask("TTL", key).startswith(b":"))
        return owner

    def join(self) -> None:
        """Have them make up the cluster; returns once each of them serves."""
        share = SLOTS // len(self.nodes) + 1
        for number, node in enumerate(self.nodes):
            last = min(SLOTS, (number + 1) * share) - 1
            node.wait_for(b"+OK", "CLUSTER", "ADDSLOTSRANGE", str(number * share), str(last))
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            node.wait_for(b"+OK", "CLUSTER", "MEET", "127.0.0.1", str(self.nodes[0].port))
        for number, node in enumerate(self.nodes):
            key = next(f"probe{n}" for n in count() if slot_of(f"probe{n}".encode()) // share == number)
            moved = f"-MOVED {slot_of(key.encode())} 127.0.0.1:{node.port}".encode()
            for other in self.nodes:  # all know of each other when each knows who has it
                other.wait_for(b"+OK" if other is node else moved, "SET", key, "1")


@contextmanager
def redis_cluster(folder: Path, size: int = 3, **options: str) -> Iterator[RedisCluster]:
    """A cluster that runs until the end."""
    with ExitStack() as stack:
        nodes = []
        for number in range(size):
            place = folder / str(number)
            place.mkdir()
            nodes.append(stack.enter_context(redis_server(place, cluster_enabled="yes", **options)))
        cluster = RedisCluster(nodes)
        cluster.join()
        yield cluster
