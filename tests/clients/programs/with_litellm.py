"""`litellm` as a client, on all three APIs."""

from contextlib import suppress
from typing import Any

import litellm
from common import API, ERROR, MODEL, PARALLEL, PLACES, TEXT, TEXT_ANSWER, TOOL_ANSWER, TOOLS, URL, run, weather

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
if API == "messages":
    where: dict[str, Any] = {"model": f"anthropic/{MODEL}", "api_base": URL}
else:
    where = {"model": f"openai/{MODEL}", "api_base": f"{URL}/v1"}
if API == "responses":
    where["model"] = f"openai/responses/{MODEL}"  # litellm's word for: by way of the Responses API
where |= {"api_key": "k", "max_retries": 0}
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": SCHEMA}}


def text() -> None:
    messages = [{"role": "user", "content": TEXT}]
    whole = litellm.completion(messages=messages, **where).choices[0].message.content
    assert TEXT_ANSWER in whole
    chunks = litellm.completion(messages=messages, stream=True, **where)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole


def tools() -> None:
    for prompt, answers in ((TOOLS, (TOOL_ANSWER,)), (PARALLEL, PLACES)):
        messages: list[Any] = [{"role": "user", "content": prompt}]
        chunks = list(litellm.completion(messages=messages, tools=[TOOL], stream=True, **where))
        message = litellm.stream_chunk_builder(chunks, messages=messages).choices[0].message
        places = ("Paris", "Oslo", "Lima")
        outputs = [
            {"role": "tool", "tool_call_id": call.id, "content": weather(place)}
            for call, place in zip(message.tool_calls, places, strict=False)
        ]
        again = litellm.completion(messages=[*messages, message.model_dump(), *outputs], tools=[TOOL], **where)
        assert all(answer in again.choices[0].message.content for answer in answers)


def error() -> None:
    looked_whole = False
    with suppress(Exception):
        list(litellm.completion(messages=[{"role": "user", "content": ERROR}], stream=True, **where))
        looked_whole = True
    assert not looked_whole


run(text, tools, error)
