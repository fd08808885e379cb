"""`tailrace serve` as a process of its own, to be killed and started again."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from tailrace.testing.upstream import ScriptedUpstream

CONFIG = """
[defaults]
model = "responses/m"

[server]
shutdown_s = 1.0

[upstream]
attempts = 1

[providers.responses]
wire = "openai-responses"
base_url = "{url}"

[providers.messages]
wire = "anthropic-messages"
base_url = "{origin}"
"""


def mapped(pid: int) -> str:
    """The files that a process has in its memory."""
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


class NotStarted(Exception):
    """The server ended instead; what it said."""


class ServerProcess:
    """A server over `upstream` with its data in `folder`, on a port that stays the same; in all `roles` or in some.

    `more` are settings behind those that all have. What it writes to its standard error is in `folder`/log.
    """

    def __init__(
        self,
        folder: Path,
        upstream: ScriptedUpstream,
        environ: Mapping[str, str] | None = None,
        roles: Sequence[str] = (),
        more: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "tailrace.toml"
        self._config.write_text(CONFIG.format(url=upstream.url, origin=upstream.origin) + more)
        self._data = folder / "data"
        self._roles = [argument for role in roles for argument in ("--role", role)]
        self._log = folder / "log"
        self._port = 0
        self._environ = dict(environ or {})
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> None:
        """Start it; returns once it answers. Raises NotStarted."""
        start = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tailrace", "serve", "--config", str(self._config), "--data", str(self._data),
                "--port", str(self._port), *self._roles, stderr=log,
                env={"PATH": os.environ["PATH"], "NO_COLOR": "1", "COLUMNS": "200", **self._environ},
            )  # fmt: skip
        while b"listens on http" not in (said := self._log.read_bytes()[start:]):
            if self._process.returncode is not None:
                raise NotStarted(said.decode()[-2000:])
            await asyncio.sleep(0.01)
        self.url = said.decode().split("listens on ")[1].split()[0]
        self._port = int(self.url.rsplit(":", 1)[1])

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> str:
        """SIGTERM; what it wrote to its standard error."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> str:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        await self._process.wait()
        return self._log.read_text()

    async def get(self, path: str) -> tuple[int, bytes]:
        """One GET."""
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as reply:
            return reply.status, await reply.read()
