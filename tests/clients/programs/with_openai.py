"""The `openai` SDK of the second generation, on the Chat Completions and the Responses API."""

from typing import Any

import openai
from common import (
    API,
    ERROR,
    LONG,
    MODEL,
    PLACES,
    TEXT,
    TEXT_ANSWER,
    THINK,
    THOUGHT,
    TOOL_ANSWER,
    TOOLS,
    URL,
    run,
    weather,
)
from openai import OpenAI

client = OpenAI(base_url=f"{URL}/v1", api_key="k", max_retries=0)
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def failed(iterate: Any) -> bool:
    """Does reading to the end raise?"""
    try:
        for _ in iterate:
            pass
    except openai.APIError as error:
        return "as it was asked to" in str(error)
    return False


# --- chat completions ---------------------------------------------------------------------------------------------


def said(text: str) -> Any:
    return {"role": "user", "content": text}


def chat_text() -> None:
    whole = client.chat.completions.create(model=MODEL, messages=[said(TEXT)])
    stream = client.chat.completions.create(model=MODEL, messages=[said(TEXT)], stream=True)
    text = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)
    assert TEXT_ANSWER in text
    assert whole.choices[0].message.content == text


def chat_tools() -> None:
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}]
    for prompt, answers in ((TOOLS, (TOOL_ANSWER,)), ("make parallel calls", PLACES)):
        with client.chat.completions.stream(model=MODEL, messages=[said(prompt)], tools=tools) as stream:
            message = stream.get_final_completion().choices[0].message
        outputs: list[Any] = [
            {"role": "tool", "tool_call_id": call.id, "content": weather(call.function.parsed_arguments["city"])}
            for call in message.tool_calls or ()
        ]
        again = client.chat.completions.create(model=MODEL, messages=[said(prompt), message, *outputs], tools=tools)
        assert all(answer in (again.choices[0].message.content or "") for answer in answers)


def chat_reasoning() -> None:
    stream = client.chat.completions.create(model=MODEL, messages=[said(THINK)], stream=True)
    deltas = [choice.delta for chunk in stream for choice in chunk.choices]
    thought = "".join((delta.model_extra or {}).get("reasoning_content") or "" for delta in deltas)
    assert THOUGHT in thought
    assert TEXT_ANSWER in "".join(delta.content or "" for delta in deltas)


def chat_error() -> None:
    assert failed(client.chat.completions.create(model=MODEL, messages=[said(ERROR)], stream=True))


def chat_cancel() -> None:
    """The last thing done: the one who watches sees the provider's socket close."""
    stream = client.chat.completions.create(model=MODEL, messages=[said(LONG)], stream=True, store=False)
    next(chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)
    stream.close()


# --- responses ----------------------------------------------------------------------------------------------------


def responses_text() -> None:
    whole = client.responses.create(model=MODEL, input=TEXT)
    with client.responses.stream(model=MODEL, input=TEXT) as stream:
        streamed = stream.get_final_response()
    assert TEXT_ANSWER in whole.output_text
    assert whole.output_text == streamed.output_text


def responses_tools() -> None:
    tools: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]
    for prompt, answers in ((TOOLS, (TOOL_ANSWER,)), ("make parallel calls", PLACES)):
        with client.responses.stream(model=MODEL, input=prompt, tools=tools) as stream:
            first = stream.get_final_response()
        outputs: list[Any] = [
            {"type": "function_call_output", "call_id": item.call_id, "output": weather(item.parsed_arguments["city"])}
            for item in first.output
            if item.type == "function_call"
        ]
        again = client.responses.create(model=MODEL, input=outputs, tools=tools, previous_response_id=first.id)
        assert all(answer in again.output_text for answer in answers)


def responses_reasoning() -> None:
    response = client.responses.create(model=MODEL, input=THINK, reasoning={"effort": "low", "summary": "auto"})
    (item, *_) = [item for item in response.output if item.type == "reasoning"]
    texts = [part.text for part in [*item.summary, *(item.content or ())]]
    assert THOUGHT in "".join(texts)


def responses_resume() -> None:
    """Cut behind each of some events, and gone on by `starting_after`."""
    stream = client.responses.create(model=MODEL, input=TEXT, stream=True)
    whole = [event.to_json(indent=None) for event in stream]
    run_id = client.responses.create(model=MODEL, input=TEXT, stream=True)
    response_id = next(iter(run_id)).response.id  # type: ignore[union-attr]  # the first event is response.created
    run_id.close()
    for cut in (0, 3, 7):
        rest = list(client.responses.retrieve(response_id, stream=True, starting_after=cut))
        assert [event.sequence_number for event in rest] == list(range(cut + 1, len(whole)))


def responses_background() -> None:
    response = client.responses.create(model=MODEL, input=TEXT, background=True)
    while response.status in {"queued", "in_progress"}:
        response = client.responses.retrieve(response.id)
    assert TEXT_ANSWER in response.output_text


def responses_cancel() -> None:
    response = client.responses.create(model=MODEL, input=LONG, background=True)
    assert client.responses.cancel(response.id).status == "cancelled"


def responses_error() -> None:
    assert failed(client.responses.create(model=MODEL, input=ERROR, stream=True))


def responses_web_socket() -> None:
    with client.responses.connect() as connection:
        connection.response.create(model=MODEL, input=TEXT)
        for event in connection:
            if event.type == "response.completed":
                assert TEXT_ANSWER in event.response.output_text
                break


if API == "chat":
    run(chat_text, chat_tools, chat_reasoning, chat_error, chat_cancel)
else:
    run(responses_text, responses_tools, responses_reasoning, responses_resume, responses_background)
    run(responses_error, responses_web_socket, responses_cancel)
