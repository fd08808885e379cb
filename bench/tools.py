"""What is measured of the loop: what a tool call costs beside the tool, and how well calls run side by side."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from bench.client import BenchError
from bench.load import Bench
from bench.processes import redis_server, tailrace
from bench.report import Figure
from tailrace.client.client import Client
from tailrace.schema.events import Event, ItemDone
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem
from tailrace.testing.moves import Call, Move, Text
from tailrace.testing.upstream import ScriptedUpstream

AGENT = """
[tools]
register = ["bench.trivial:TOOLS"]
workspace = "{folder}"

[agents.bench]
tools = ["trivial", "nap"]
"""
SIDE_BY_SIDE = 50
NAP_S = 1.0


async def tools(bench: Bench) -> list[Figure]:
    """The overhead of a trivial call, and 50 calls of a second at once; with the log in a file, and in Redis."""
    figures = await _measured(bench, "", {})
    if shutil.which("redis-server") is None:
        bench.say("tools: Redis is left out, redis-server is not installed")
        return figures
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(redis_server(bench.folder))
        return [*figures, *await _measured(bench, " (log in Redis)", {"REDIS_URL": url})]


async def _measured(bench: Bench, label: str, settings: Mapping[str, str]) -> list[Figure]:
    folder = bench.folder / f"tools{'-redis' if settings else ''}"
    more = AGENT.format(folder=folder / "workspace")
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(ScriptedUpstream())
        port = int(upstream.url.split(":")[2].split("/")[0])
        environ = {"PYTHONPATH": str(Path(__file__).parents[1]), **settings}
        server = await stack.enter_async_context(tailrace(port, bench.folder, folder.name, environ, more))
        client = await stack.enter_async_context(Client(f"http://127.0.0.1:{server.port}"))
        single = [
            await _took(client, upstream, [Call("trivial", "{}", call_id="c0")]) for _ in range(10 * bench.repeats)
        ]
        many: list[Move] = [Call("nap", f'{{"seconds":{NAP_S}}}', call_id=f"c{n}") for n in range(SIDE_BY_SIDE)]
        at_once = [await _took(client, upstream, many) for _ in range(bench.repeats)]
    bench.say(f"tools{label}: one call {median(single):.1f} ms, {SIDE_BY_SIDE} of a second {median(at_once):.0f} ms")
    return [
        Figure("tools", f"overhead of a call, p50{label}", "ms", median(single), goal=15 if settings else 5),
        Figure("tools", f"{SIDE_BY_SIDE} calls, times the slowest{label}", "", median(at_once) / NAP_S / 1e3, goal=1.2),
    ]


async def _took(client: Client, upstream: ScriptedUpstream, calls: list[Move]) -> float:
    """Milliseconds from the last call that was whole to the last output, by the log's own time."""
    upstream.enqueue(calls, [Text("done")])
    run_id = (await client.submit(prompt="x", agent_id="bench", model_id="bench/bench"))["run_id"]
    events = [event async for event in client.events(run_id)]
    answered = _last(events, lambda item: isinstance(item, FunctionCallOutputItem) and item.success)
    return answered - _last(events, lambda item: isinstance(item, FunctionCallItem))


def _last(events: list[Event], wanted: Callable[[object], bool]) -> int:
    times = [
        event.timestamp for event in events if isinstance(event.payload, ItemDone) and wanted(event.payload.final_item)
    ]
    if not times:
        raise BenchError("a call was not answered")
    return times[-1]
