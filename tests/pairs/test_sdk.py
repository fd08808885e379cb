"""Where dialect and wire are one protocol, the vendor's SDK makes of our frames what it makes of the provider's bytes.

Both are served on loopback, to the real client.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp.web
import anthropic
import openai
import pytest

from tests.support.replaying import PROTOCOLS, Recording, asked, encoded, recordings

pytestmark = pytest.mark.slow
# Of the wires that we speak to clients, too.
STREAMS = [
    one
    for one in recordings()
    if one.values[0] is None or (one.values[0].is_stream and one.values[0].wire in PROTOCOLS)
]

# Where the SDK reads something else, and why.
OTHERWISE = {
    "derived.no-terminal-event": "the SDK takes a cut stream for a whole one; ours ends with an error",
    "derived.truncated-mid-character": "the SDK takes a cut stream for a whole one; ours ends with an error",
    "derived.truncated-mid-event": "the SDK takes a cut stream for a whole one; ours ends with an error",
    "anthropic.spliced-message-start.2ac79b": "the SDK mixes two streams into one message; ours ends with an error",
    "anthropic.fallback-tool-call.ecd02b": "the SDK cannot read the provider's numbering of calls",
    "openrouter.web-search-annotations-stream.d063e9": "the SDK cannot read the provider's annotations",
    "mistral.hybrid-reasoning-streams-thinking-separately-from-content.3a2792": "the SDK knows no lists as content",
}

Read = Callable[[str], Awaitable[dict[str, Any]]]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[bytes], str]]:
    """Gives bytes an address, at which any request is answered with them."""
    bodies: list[bytes] = []

    async def handle(request: aiohttp.web.Request) -> aiohttp.web.Response:
        body = bodies[int(request.path.split("/")[1])]
        return aiohttp.web.Response(body=body, headers={"content-type": "text/event-stream"})

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(handle))
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()

    def place(body: bytes) -> str:
        bodies.append(body)
        return f"http://127.0.0.1:{runner.addresses[0][1]}/{len(bodies) - 1}"

    yield place
    await runner.cleanup()


async def read_responses(url: str) -> dict[str, Any]:
    """The items as they were done, and the end."""
    items, final = [], None
    async with openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client:
        async for event in await client.responses.create(model="m", input="x", stream=True):
            if event.type == "response.output_item.done":
                items.append((event.output_index, _item(event.item)))
            elif event.type in {"response.completed", "response.failed", "response.incomplete"}:
                final = event.response
    assert final is not None
    usage, details = final.usage, final.incomplete_details
    return {
        "items": [item for _, item in sorted(items, key=lambda one: one[0])],
        "status": final.status,
        "reason": details.reason if details else None,
        "usage": (usage.input_tokens, usage.output_tokens, usage.total_tokens) if usage else None,
    }


def _item(item: Any) -> dict[str, Any]:
    """An item without what each server makes up itself, and without what says nothing."""
    said = item.model_dump(mode="json", exclude_none=True) if hasattr(item, "model_dump") else dict(item)
    made = {"id", "status", "encrypted_content", "caller"}
    content = said.get("content")
    if isinstance(content, list):
        said["content"] = [{k: v for k, v in part.items() if k != "logprobs" or v} for part in content]
    return {name: value for name, value in said.items() if name not in made and (name != "content" or value)}


async def read_chat(url: str) -> dict[str, Any]:
    """The message as the SDK accumulates it."""
    messages: Any = [{"role": "user", "content": "x"}]
    async with (
        openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client,
        client.chat.completions.stream(model="m", messages=messages) as stream,
    ):
        final = await stream.get_final_completion()
    choice, usage = final.choices[0], final.usage
    calls = [(c.id, c.function.name, c.function.arguments or "{}") for c in choice.message.tool_calls or []]
    return {
        "content": choice.message.content or "",
        "refusal": choice.message.refusal or "",
        "calls": calls,
        "finish": choice.finish_reason or "stop",
        "usage": (usage.prompt_tokens, usage.completion_tokens) if usage else None,
    }


async def read_messages(url: str) -> dict[str, Any]:
    """The message as the SDK accumulates it."""
    messages: Any = [{"role": "user", "content": "x"}]
    async with (
        anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=0) as client,
        client.messages.stream(model="m", max_tokens=9, messages=messages) as stream,
    ):
        final = await stream.get_final_message()
    usage, cached = final.usage, (final.usage.cache_read_input_tokens, final.usage.cache_creation_input_tokens)
    blocks = [block.model_dump(mode="json", exclude_none=True) for block in final.content]
    for block in blocks:
        if block.get("caller") == {"type": "direct"}:  # the model itself, as everywhere where nothing is said
            del block["caller"]
    return {
        "blocks": blocks,
        "stop": (final.stop_reason, final.stop_sequence),
        "usage": (usage.input_tokens, usage.output_tokens, *(count or 0 for count in cached)),
    }


READ: dict[str, Read] = {"responses": read_responses, "chat": read_chat, "messages": read_messages}


async def outcome(read: Read, url: str) -> dict[str, Any]:
    """What was read, or that the SDK raised its error."""
    try:
        return await read(url)
    except (openai.OpenAIError, anthropic.AnthropicError):
        return {"raised": True}


@pytest.mark.parametrize("recording", STREAMS)
async def test_the_sdk_reads_from_us_what_it_reads_from_the_provider(
    serve: Callable[[bytes], str], recording: Recording
):
    """The same text, reasoning, calls, counts and end; an error where the provider sent one."""
    if recording.scenario in OTHERWISE:
        return
    dialect = PROTOCOLS[recording.wire]
    ours = await outcome(READ[dialect], serve(encoded(asked(recording.events(), dialect), dialect)))
    theirs = await outcome(READ[dialect], serve(recording.body.read_bytes()))
    if theirs.get("usage", ...) is None:
        del theirs["usage"]  # told in a place of the provider's own
        ours.pop("usage")
    assert ours == theirs
