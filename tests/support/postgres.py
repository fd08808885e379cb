"""A real PostgreSQL server of the tests' own: on a free port of loopback, killed and restarted at will."""

import atexit
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import psycopg
import pytest
from psycopg import sql

STARTS_WITHIN_S = 30.0
TEMPLATE = "tailrace_empty"
_numbers = itertools.count(1)


class Postgres:
    """A server with its data in a new folder, which goes with it. PostgreSQL does not run as root: then it runs as the
    user `postgres`. It ends with this process, however that ends."""

    def __init__(self) -> None:
        self._bin = binaries()
        self._folder = Path(mkdtemp(prefix="tailrace-postgres-"))
        self._data = self._folder / "data"
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        self._as_owner("initdb", "-D", self._data, "--auth=trust", "-U", "tailrace", "-E", "UTF8", "--locale=C", "-N")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it answers."""
        until = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            assert time.monotonic() < until, (self._folder / "log").read_text()
            if self._process is None or self._process.poll() is not None:  # also where a killed one is not quite gone
                self._process = self._spawn()
            time.sleep(0.05)  # a server that starts can only be asked again and again

    def stop(self) -> None:
        """An operator's quick stop: connections are ended, what is committed stays."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def destroy(self) -> None:
        """End it for good, with all of its processes."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """Where a database is."""
        return f"postgresql://tailrace:secret@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """One statement, by another way than the store's; its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.SQL(statement))  # type: ignore[arg-type]  # it wants literals only
            return cursor.fetchall() if cursor.description else []

    def new_database(self, template: str = "template0") -> str:
        """A database of one's own, empty or as the template is; its name."""
        name = f"test_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def new_store(self) -> str:
        """A store of one's own with its tables and nothing in them; its URL."""
        if not self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{TEMPLATE}'"):
            self.execute(f"CREATE DATABASE {TEMPLATE}")
            command = [sys.executable, "-m", "tailrace.store.migrations"]
            subprocess.run(command, input=f"{self.url(TEMPLATE)}\n".encode(), check=True)
        return self.url(self.new_database(TEMPLATE))

    def _as_owner(self, program: str, *arguments: object) -> None:
        subprocess.run(self._command(program, *arguments), check=True, stdout=subprocess.DEVNULL, cwd="/")

    def _command(self, program: str, *arguments: object) -> list[str]:
        owner = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *owner, "--pdeathsig=KILL", str(self._bin / program), *map(str, arguments)]

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = (
            f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off",
            "shared_buffers=32MB", "max_connections=60", "deadlock_timeout=100ms",
        )  # fmt: skip
        arguments = [argument for setting in settings for argument in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(self._command("postgres", "-D", self._data, *arguments), stderr=log, cwd="/")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


def binaries() -> Path:
    """Where PostgreSQL's programs are (Debian keeps them out of the way). Skips the test where there are none."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        pytest.skip("PostgreSQL is not installed")
    return folders[-1]


@cache
def shared() -> Postgres:
    """The server that tests share which leave it alive."""
    server = Postgres()
    atexit.register(server.destroy)
    server.start()
    return server
