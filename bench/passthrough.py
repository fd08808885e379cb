"""The yardstick: the least that an aiohttp gateway can do. Bytes in, bytes out; nothing is read, nothing is kept.

It runs on uvloop, as Tailrace does, so that the ratio shows what Tailrace adds and not which loop it chose.
"""

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web


class Passthrough:
    """Sends every request on to `base_url` and the answer's bytes back as they come."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._session: aiohttp.ClientSession | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        body = await request.read()
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self._base_url + request.path, data=body, headers=headers) as upstream:
            answer = web.StreamResponse(status=upstream.status, headers={"Content-Type": upstream.content_type})
            await answer.prepare(request)
            async for data in upstream.content.iter_any():
                await answer.write(data)
            await answer.write_eof()
            return answer

    async def serve(self) -> None:
        """Serve on a free port, which is the first line of stdout."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._session:
            await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
            print(runner.addresses[0][1], flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(uvloop.run(Passthrough(sys.argv[1]).serve()))
