"""`llmprobe`, a black-box suite of other people's: what it finds on each API in front of each upstream wire."""

import pytest

from tailrace.schema import codec
from tests.support.clients import Client
from tests.support.obedient import obedient
from tests.support.server import Served

LLMPROBE = "node/node_modules/.bin/llmprobe"
WIRES = ("responses", "messages", "chat")
WANTED = 95  # per cent of the checks that it could make


@pytest.mark.parametrize("wire", WIRES)
async def test_llmprobe(client: Client, server: Served, wire: str):
    """Conformance on chat completions, responses and messages."""
    server.upstream.script = obedient
    ended = await client(
        LLMPROBE, f"{server.url}/v1", "-m", f"{wire}/m", "-k", "k", "--no-bench", "--no-save", "--json"
    )
    conformance = codec.decode_any(ended.out)["conformance"]
    failed = [
        f"{result['surface']}: {failure['label']}: {failure['message']}"
        for result in conformance["results"]
        for failure in result["failures"]
        if result["outcome"] == "fail"
    ]
    reached = {surface["surface"]: surface["pct"] for surface in conformance["bySurface"]}
    assert min(reached.get(api, 0) for api in ("chat", "responses", "messages")) >= WANTED, (reached, *failed)
