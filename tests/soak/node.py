"""The server under soak, in a process of its own: its URL on the first line of stdout, then a sample of itself for each
line that it is sent."""

import asyncio
import gc
import os
import sys
import time
from pathlib import Path

from tailrace import app
from tailrace.cli.serve import configure_logging
from tailrace.schema import codec
from tailrace.settings import Settings
from tests.soak.judge import Sample
from tests.support.server import prepare

_PAGE = os.sysconf("SC_PAGE_SIZE")


def sample() -> Sample:
    """Of this process, garbage aside."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    files = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return Sample(
        at=time.monotonic(),
        megabytes=resident / 1e6,
        tasks=len(asyncio.all_tasks()),
        sockets=sum(str(file).startswith("socket:") for file in files),
        files=len(files),
    )


def say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


async def serve(given: Settings) -> None:
    """Until stdin ends."""
    prepare(Path(given.data))
    asked = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    async with app.services(given, {}) as services:
        server = app.http_server(services, lambda url: say(url.encode()))
        serving = asyncio.create_task(server.serve())
        while await asked.readline():
            say(codec.encode(sample()))
        services.readers.stop()
        server.should_exit = True
        await serving


if __name__ == "__main__":
    configure_logging()
    asyncio.run(serve(codec.decode(sys.argv[1].encode(), Settings)))
