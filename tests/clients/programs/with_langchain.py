"""LangChain's models, on all three APIs."""

from contextlib import suppress
from typing import Any

from common import API, ERROR, MODEL, PARALLEL, PLACES, TEXT, TEXT_ANSWER, TOOL_ANSWER, TOOLS, URL, run, weather
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

if API == "messages":
    model: Any = ChatAnthropic(model=MODEL, base_url=URL, api_key="k", max_retries=0, max_tokens=1000)
else:
    responses = API == "responses"
    model = ChatOpenAI(model=MODEL, base_url=f"{URL}/v1", api_key="k", use_responses_api=responses, max_retries=0)
armed = model.bind_tools([tool(weather)])


def text() -> None:
    asked = [SystemMessage("Be brief."), HumanMessage(TEXT)]
    whole = model.invoke(asked)
    assert TEXT_ANSWER in whole.text
    assert "".join(chunk.text for chunk in model.stream(asked)) == whole.text
    assert whole.usage_metadata["output_tokens"] > 0


def tools() -> None:
    for prompt, answers in ((TOOLS, (TOOL_ANSWER,)), (PARALLEL, PLACES)):
        for answered in (whole, streamed):
            message = answered([HumanMessage(prompt)])
            outputs = [ToolMessage(weather(**call["args"]), tool_call_id=call["id"]) for call in message.tool_calls]
            again = answered([HumanMessage(prompt), message, *outputs])
            assert all(answer in again.text for answer in answers)


def whole(messages: list[Any]) -> Any:
    return armed.invoke(messages)


def streamed(messages: list[Any]) -> Any:
    first, *rest = armed.stream(messages)
    return sum(rest, first)


def error() -> None:
    looked_whole = False
    with suppress(Exception):
        list(model.stream(ERROR))
        looked_whole = True
    assert not looked_whole


run(text, tools, error)
