"""A real redis-server on a free port of loopback, in a folder of its own; it can be killed and started again."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

START_S = 10.0
STEP_S = 0.01  # nothing tells when a server listens, or when a cluster is up: one has to ask


def free_port() -> int:
    """A port that nobody listens on right now, with room above for a cluster's bus (port + 10000)."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55000:
            return port


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
