"""A thread goes on with another provider: over real sockets, each with the rows of its table."""

from pathlib import Path

from tailrace.adapters.canonical import MISSING, UNSEEN
from tailrace.testing.moves import Call, Reasoning, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.server import Served, serving, settings

CHAT = "openai-chat-completions"
SHOWN = {
    "content": "look \ud83d",
    "parts": [
        {"type": "text", "text": "look \ud83d"},
        {"type": "image", "url": "data:image/png;base64,iVBORw0K"},
        {"type": "file", "url": "https://host/a.pdf"},
    ],
}
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


async def asked(server: Served, **body):
    """A run to its end; what was asked of the provider."""
    run = await server.client.submit(**body)
    events = [event async for event in server.client.events(run["run_id"])]
    assert events[-1].type == "response_done", events[-1]
    return run["thread_id"], server.upstream.requests[-1]


async def test_a_thread_goes_on_with_a_provider_that_has_other_words(tmp_path: Path, upstream: ScriptedUpstream):
    """Pictures, files, reasoning and half a character of the earlier runs are said in words that it takes."""
    providers = {
        "first": {"wire": "anthropic-messages", "base_url": upstream.origin, "quirks": {"betas": ["one", "two"]}},
        "seeing": {"wire": CHAT, "base_url": upstream.url},
        "blind": {
            "wire": CHAT, "base_url": upstream.url,
            "quirks": {
                "images": False, "reasoning_as_text": "foreign", "special_tokens": True, "call_filler": ".",
                "prompt_cache_header": "x-cache",
            },
        },
    }  # fmt: skip
    given = settings(tmp_path, upstream)
    table = {name: getattr(given, name) for name in given.__struct_fields__}
    async with serving(type(given)(**{**table, "providers": providers}), upstream) as server:
        upstream.enqueue(
            [Reasoning("hm"), Call("look", '{"at": "sky"}', call_id="toolu_1")],
            [Text("Blue.")],
            [Text("Blue<\uff5cend\uff5c>, I said.")],
        )
        run = await server.client.submit(model_id="first/m", input=[SHOWN], tools=[LOOK])
        async for event in server.client.events(run["run_id"]):
            if event.type == "step_done":
                break
        await server.client.outputs(run["run_id"], [{"call_id": "toolu_1", "output": "blue"}])
        assert [event async for event in server.client.events(run["run_id"])][-1].type == "response_done"
        assert upstream.requests[0].headers["anthropic-beta"] == "one,two"
        assert upstream.requests[0].body["messages"][0]["content"][0] == {"type": "text", "text": "look \ufffd"}

        again, blind = await asked(server, model_id="blind/m", prompt="why?", thread_id=run["thread_id"])
        assert blind.body["messages"] == [
            {"role": "user", "content": f"look \ufffd\n{UNSEEN.text}\n{MISSING.text}"},
            {"role": "assistant", "content": "hm", "tool_calls": blind.body["messages"][1]["tool_calls"]},
            {"role": "tool", "tool_call_id": "toolu_1", "content": "blue"},
            {"role": "assistant", "content": "Blue."},
            {"role": "user", "content": "why?"},
        ]
        thread = await server.client.request("GET", f"/api/v2/threads/{again}")
        assert thread["history"][-1]["content"] == "Blue, I said."

        _, seeing = await asked(server, model_id="seeing/m", prompt="sure?", thread_id=run["thread_id"])
        kinds = [part["type"] for part in seeing.body["messages"][0]["content"]]
        assert kinds == ["text", "image_url", "text"]
