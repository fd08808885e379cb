"""Azure's content filter speaks up in OpenAI's streams: in chunks of its own, beside deltas, and late.

Shapes: https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-streaming. Recorded ones are among those of
test_recordings.py.
"""

from typing import Any

import pytest

from tailrace.adapters.errors import http_error
from tailrace.schema import codec
from tests.support.decoding import hear, sse

SAFE = {"hate": {"filtered": False, "severity": "safe"}, "jailbreak": {"filtered": False, "detected": False}}
CAUGHT = {**SAFE, "violence": {"filtered": True, "severity": "high"}}
PROMPT = [{"prompt_index": 0, "content_filter_results": SAFE}]
OFFSETS = {"check_offset": 0, "start_offset": 0, "end_offset": 9}
USAGE = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}


def chunk(*choices: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion.chunk", "model": "gpt-5", "choices": list(choices), **fields}


def choice(delta: dict[str, Any] | None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    said = {} if delta is None else {"delta": delta}
    return {"index": 0, "finish_reason": finish, "logprobs": None, **said, **fields}


def stream(finish: str, verdict: dict[str, Any]) -> bytes:
    """Annotations before the text, beside it, and, as the asynchronous filter sends them, after it without a delta."""
    return sse(
        {"id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": PROMPT},
        chunk(choice({"role": "assistant", "content": ""}, content_filter_results={})),
        chunk(choice({"content": "It is "}, content_filter_results=SAFE)),
        chunk(choice({"content": "fine."}, content_filter_results=SAFE)),
        chunk(choice(None, content_filter_results=verdict, content_filter_offsets=OFFSETS)),
        chunk(choice({}, finish, content_filter_results=verdict)),
        chunk(usage=USAGE),
        done=True,
    )


@pytest.mark.parametrize("size", [None, 1, 7])
@pytest.mark.parametrize(("finish", "verdict"), [("stop", SAFE), ("content_filter", CAUGHT)])
def test_chat_with_filter_results(finish: str, verdict: dict[str, Any], size: int | None):
    """One message, its finish reason and its usage; what the filter found is kept."""
    heard = hear("openai-chat-completions", stream(finish, verdict), chunk=size)
    assert [(item.content, type(item).__name__) for item in heard.items] == [("It is fine.", "MessageItem")]
    assert heard.deltas() == ["It is ", "fine."]
    assert (heard.step_done.finish_reason, heard.step_done.usage.total_tokens) == (finish, 6)
    assert (heard.step_done.provider_response_id, heard.response.error) == ("c1", None)
    noted = [data for data in heard.events("response") if "prompt_filter_results" in data]
    assert noted[0]["content_filter_results"] == verdict


@pytest.mark.parametrize("size", [None, 1, 7])
def test_responses_with_filter_results(size: int | None):
    """They stand in the response, and beside its items."""
    filters = [{"blocked": False, "source_type": "prompt", "content_filter_results": SAFE}]
    message = {"type": "message", "id": "msg_1", "role": "assistant"}
    part = {"type": "output_text", "text": "Fine.", "annotations": []}
    heard = hear(
        "openai-responses",
        sse(
            {"type": "response.created", "response": {"id": "r", "output": [], "content_filters": None}},
            {"type": "response.output_item.added", "output_index": 0, "item": {**message, "content": []}},
            {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "delta": "Fine.",
             "content_filter_results": SAFE},
            {"type": "response.output_item.done", "output_index": 0, "item": {**message, "content": [part]}},
            {"type": "response.completed", "response": {
                "id": "r", "status": "completed", "output": [{**message, "content": [part]}],
                "content_filters": filters, "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}}},
        ),
        chunk=size,
    )  # fmt: skip
    assert [item.content for item in heard.items] == ["Fine."]
    assert (heard.step_done.finish_reason, heard.step_done.usage.total_tokens) == ("stop", 4)
    assert heard.events("response") == [{"content_filters": filters}]


def test_a_prompt_that_is_filtered_is_an_error_of_its_own():
    """Azure refuses it with 400 and says why."""
    body = {"error": {"message": "The response was filtered", "code": "content_filter", "status": 400,
                      "innererror": {"content_filter_result": CAUGHT}}}  # fmt: skip
    assert http_error(400, {}, codec.encode(body)).code == "content_filter"
