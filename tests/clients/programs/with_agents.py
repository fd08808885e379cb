"""`openai-agents`: an agent with a tool, on the Chat Completions and the Responses API, by WebSocket, too."""

import asyncio
from contextlib import suppress
from typing import Any

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    responses_websocket_session,
    set_default_openai_client,
    set_tracing_disabled,
)
from common import API, ERROR, MODEL, PARALLEL, PLACES, TEXT, TEXT_ANSWER, TOOL_ANSWER, TOOLS, URL, weather
from openai import AsyncOpenAI

set_tracing_disabled(True)
client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="k", max_retries=0)
set_default_openai_client(client, use_for_tracing=False)
kind: Any = OpenAIChatCompletionsModel if API == "chat" else OpenAIResponsesModel
model = kind(model=MODEL, openai_client=client)
plain: Any = Agent(name="plain", instructions="Be brief.", model=model)
armed: Any = Agent(name="armed", instructions="Be brief.", model=model, tools=[function_tool(weather)])


async def text() -> None:
    whole = await Runner.run(plain, TEXT)
    assert TEXT_ANSWER in whole.final_output
    streamed = Runner.run_streamed(plain, TEXT)
    deltas = [event.data.delta async for event in streamed.stream_events() if is_text(event)]
    assert "".join(deltas) == whole.final_output


def is_text(event: Any) -> bool:
    return event.type == "raw_response_event" and event.data.type == "response.output_text.delta"


async def tools() -> None:
    for prompt, answers in ((TOOLS, (TOOL_ANSWER,)), (PARALLEL, PLACES)):
        whole = await Runner.run(armed, prompt)
        streamed = Runner.run_streamed(armed, prompt)
        async for _ in streamed.stream_events():
            pass
        for output in (whole.final_output, streamed.final_output):
            assert all(answer in output for answer in answers)


async def conversation() -> None:
    first = await Runner.run(armed, TOOLS)
    again = await Runner.run(armed, [*first.to_input_list(), {"role": "user", "content": "what did I say"}])
    assert TOOLS in again.final_output


async def error() -> None:
    streamed = Runner.run_streamed(plain, ERROR)
    looked_whole = False
    with suppress(Exception):
        async for _ in streamed.stream_events():
            pass
        looked_whole = True
    assert not looked_whole


async def web_socket() -> None:
    async with responses_websocket_session(base_url=f"{URL.replace('http', 'ws')}/v1", api_key="k") as session:
        agent: Any = Agent(name="socket", instructions="Be brief.", model=MODEL, tools=[function_tool(weather)])
        result = session.run_streamed(agent, TOOLS)
        async for _ in result.stream_events():
            pass
        assert TOOL_ANSWER in result.final_output


async def main() -> None:
    await text()
    await tools()
    await conversation()
    await error()
    if API == "responses":
        await web_socket()


asyncio.run(main())
