"""Asking a server for a stream, as a black box: one request in its protocol, and the raw bytes of the answer.

Slow to import: only from within the command that does it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tailrace.client.client import UNREACHABLE, ClientError, unreachable
from tailrace.dialects.lint import Linter, Violation
from tailrace.schema import codec
from tailrace.schema.errors import TailraceError

SILENCE_S = 300.0  # of a model that thinks
LINGER_S = 2.0  # of a body whose stream is over
_VERSION = re.compile(r"/v\d\w*$")
_SHOWN = 300  # characters of a refusal

PROMPT = "Say hello in one short sentence."
TOOL_PROMPT = "What is the weather in Paris? Use the tool get_weather."
_TOOL = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
_MAX_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: with a body it is a POST."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a streaming answer is asked for: `body` takes model, prompt, and the tool or None."""

    path: str
    headers: Callable[[str | None], dict[str, str]]
    body: Callable[[str, str, dict[str, Any] | None], dict[str, Any]]

    def ask(self, base: str, key: str | None, model: str, prompt: str | None, *, tools: bool) -> Ask:
        """The request to the server at `base`: an address with or without its version, or the endpoint's own."""
        said = prompt or (TOOL_PROMPT if tools else PROMPT)
        headers = {"accept": "text/event-stream", "content-type": "application/json", **self.headers(key)}
        return Ask(self._address(base), headers, self.body(model, said, _TOOL if tools else None))

    def _address(self, base: str) -> str:
        base = base.rstrip("/")
        if base.endswith(self.path):
            return base
        return base + self.path if _VERSION.search(base) else f"{base}/v1{self.path}"


def bearer(key: str | None) -> dict[str, str]:
    """The key as OpenAI's APIs take it."""
    return {"authorization": f"Bearer {key}"} if key else {}


def _anthropic(key: str | None) -> dict[str, str]:
    return {"anthropic-version": "2023-06-01", **({"x-api-key": key} if key else {})}


def _responses(model: str, prompt: str, tool: dict[str, Any] | None) -> dict[str, Any]:
    tools = {"tools": [{"type": "function", "strict": False, **tool}]} if tool else {}
    return {"model": model, "input": prompt, "stream": True, **tools}


def _chat(model: str, prompt: str, tool: dict[str, Any] | None) -> dict[str, Any]:
    tools = {"tools": [{"type": "function", "function": tool}]} if tool else {}
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **options, **tools}


def _messages(model: str, prompt: str, tool: dict[str, Any] | None) -> dict[str, Any]:
    tools: dict[str, Any] = {}
    if tool:
        named = {name: tool[name] for name in ("name", "description")}
        tools = {"tools": [{**named, "input_schema": tool["parameters"]}]}
    messages = [{"role": "user", "content": prompt}]
    return {"model": model, "max_tokens": _MAX_TOKENS, "messages": messages, "stream": True, **tools}


PROTOCOLS = {
    "responses": Protocol("/responses", bearer, _responses),
    "chat": Protocol("/chat/completions", bearer, _chat),
    "messages": Protocol("/messages", _anthropic, _messages),
}


async def heard(linter: Linter[Any], ask: Ask) -> AsyncIterator[Violation]:
    """What is wrong with the answer, its header and its end included. Raises ClientError where there is none.

    A redirection is not followed: the key is for this address only (design rule 9).
    """
    method, data = ("GET", None) if ask.body is None else ("POST", codec.encode(ask.body))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
    try:
        async with (
            aiohttp.ClientSession(headers=ask.headers, timeout=timeout) as session,
            session.request(method, ask.url, data=data, allow_redirects=False) as reply,
        ):
            if reply.status != 200:
                raise ClientError(_refusal(ask.url, reply.status, await reply.read()), status=reply.status)
            for violation in linter.content_type(reply.headers.get("content-type", "")):
                yield violation
            async for violation in _read(linter, reply.content, ask.url):
                yield violation
    except UNREACHABLE as error:
        raise unreachable(ask.url, error) from error


async def _read(linter: Linter[Any], body: aiohttp.StreamReader, url: str) -> AsyncIterator[Violation]:
    clock, over = asyncio.get_running_loop().time, None
    while True:
        if linter.ended and over is None:
            over = clock() + LINGER_S
        try:
            async with asyncio.timeout_at(over or clock() + SILENCE_S):
                piece = await body.readany()
        except TimeoutError as error:
            if over is None:
                raise ClientError(f"{url} has said nothing for {SILENCE_S:.0f} s") from error
            break
        if not piece:
            over = None
            break
        for violation in linter.feed(piece):
            yield violation
    for violation in linter.close(is_open=over is not None):
        yield violation


def _refusal(url: str, status: int, content: bytes) -> str:
    """What the server says of an error, in whichever envelope."""
    try:
        said = codec.decode_any(content)["error"]["message"]
    except (TailraceError, KeyError, TypeError):
        said = content[:_SHOWN].decode("utf-8", "replace")
    return f"{url} answered {status}: {said}"
