"""`pydantic-ai`: an agent with a tool and with structured output, on all three APIs."""

import asyncio
from contextlib import suppress
from typing import Any

from common import (
    API,
    ERROR,
    MODEL,
    PARALLEL,
    PLACES,
    TEXT,
    TEXT_ANSWER,
    THINK,
    THOUGHT,
    TOOL_ANSWER,
    TOOLS,
    URL,
    weather,
)
from pydantic_ai import Agent, ThinkingPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider


def made() -> Any:
    if API == "messages":
        return AnthropicModel(MODEL, provider=AnthropicProvider(base_url=URL, api_key="k"))
    kind: Any = OpenAIChatModel if API == "chat" else OpenAIResponsesModel
    return kind(MODEL, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key="k"))


model = made()
plain: Any = Agent(model, instructions="Be brief.")
armed: Any = Agent(model, instructions="Be brief.", tools=[weather])


async def text() -> None:
    whole = await plain.run(TEXT)
    assert TEXT_ANSWER in whole.output
    async with plain.run_stream(TEXT) as streamed:
        pieces = [piece async for piece in streamed.stream_text(delta=True)]
    assert "".join(pieces) == whole.output
    assert whole.usage.output_tokens > 0


async def tools() -> None:
    for prompt, answers in ((TOOLS, (TOOL_ANSWER,)), (PARALLEL, PLACES)):
        whole = await armed.run(prompt)
        assert all(answer in whole.output for answer in answers)
        async with armed.run_stream_events(prompt) as events:
            streamed = [event async for event in events]
        assert all(answer in streamed[-1].result.output for answer in answers)


async def conversation() -> None:
    first = await armed.run(TOOLS)
    again = await armed.run("what did I say", message_history=first.all_messages())
    assert TOOLS in again.output


async def reasoning() -> None:
    """On the Responses API it shows summaries only, which one wire has."""
    if API == "responses" and not MODEL.endswith("responses"):
        return
    result = await plain.run(THINK)
    thoughts = [p.content for m in result.new_messages() for p in m.parts if isinstance(p, ThinkingPart)]
    assert THOUGHT in "".join(thoughts)


async def error() -> None:
    looked_whole = False
    with suppress(Exception):
        async with plain.run_stream(ERROR) as streamed:
            await streamed.get_output()
        looked_whole = True
    assert not looked_whole


async def main() -> None:
    for scenario in (text, tools, conversation, reasoning, error):
        await scenario()


asyncio.run(main())
