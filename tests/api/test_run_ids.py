"""A run's id, where the client chooses it."""

import asyncio

from tailrace.testing.moves import Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import Served


async def test_an_id_is_free_again_when_its_run_was_deleted(server: Served, upstream: ScriptedUpstream):
    """The second run of that id is stored to its end, as the first one was."""
    for said in ("one", "another"):
        upstream.enqueue([Text(said)])
        thread_id = (await server.client.submit(prompt="go", run_id="mine"))["thread_id"]
        _ = [event async for event in server.client.events("mine")]
        async with asyncio.timeout(10):
            while (run := await server.services.store.get_run("mine")).response.status != "complete":
                await asyncio.sleep(0.02)
        assert said in str(run.response.output_items)
        assert await server.services.store.archived("mine") is not None
        await server.client.request("DELETE", f"/api/v2/threads/{thread_id}")
