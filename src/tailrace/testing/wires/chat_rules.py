"""What hosts of chat completions refuse (https://platform.openai.com/docs/api-reference/chat/create).

OpenAI's own rules for OpenAI's own models; for others what most hosts have in common.
"""

import re
from typing import Any

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.testing.wires.base import Json, Memory
from tailrace.testing.wires.rules import Refused, name, objects, only, require, strict, text

_BODY = frozenset({
    "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "messages", "metadata",
    "modalities", "model", "n", "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key",
    "prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier",
    "stop", "store", "stream", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
    "user", "verbosity", "web_search_options",
    # hosts' own
    "chat_template_kwargs", "enable_thinking", "provider", "reasoning", "thinking", "thinking_budget", "top_k",
})  # fmt: skip
_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_text", "reasoning_details")
_MESSAGES = {
    "system": frozenset({"role", "content", "name"}),
    "developer": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset({"role", "content", "name", "refusal", "tool_calls", *_THOUGHTS}),
    "tool": frozenset({"role", "content", "name", "tool_call_id"}),
}
_PARTS = {
    "text": frozenset({"type", "text"}),
    "refusal": frozenset({"type", "refusal"}),
    "image_url": frozenset({"type", "image_url"}),
    "file": frozenset({"type", "file"}),
    "input_audio": frozenset({"type", "input_audio"}),
}
_ROLE_PARTS = {"user": {"text", "image_url", "file", "input_audio"}, "assistant": {"text", "refusal"}}
_REASONING_MODEL = re.compile(r"^(o\d|gpt-[5-9](?!(\.\d)?-chat))")
_OPENAI_MODEL = re.compile(r"^(o\d|gpt-|chatgpt-)")
_NOT_OF_REASONING_MODELS = (
    "max_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty", "logprobs", "top_logprobs",
)  # fmt: skip
_MOST_ID = 40  # at OpenAI


def check(body: Json, memory: Memory) -> None:
    """Raises Refused."""
    only(body, _BODY, "body")
    messages = objects(body.get("messages") or [], "messages")
    require(messages, "Missing required parameter: 'messages'.")
    model = text(body.get("model"), "model", least=1)
    if _REASONING_MODEL.match(model):
        for field in _NOT_OF_REASONING_MODELS:
            require(field not in body, f"Unsupported parameter: {field!r} is not supported with this model.")
    require(body.get("stream") or "stream_options" not in body, "stream_options: only with stream")
    _check_tools(body)
    most_id = _MOST_ID if _OPENAI_MODEL.match(model) else None
    for at, message in enumerate(messages):
        _check_message(message, f"messages[{at}]", most_id)
    _check_pairs(messages)


def _check_tools(body: Json) -> None:
    tools = objects(body.get("tools") or [], "tools")
    require(tools or "tools" not in body, "tools: empty")
    choices = {"tool_choice", "parallel_tool_calls"} & body.keys()
    require(tools or not choices, f"{min(choices, default='')}: only allowed when 'tools' are specified")
    offered = [_check_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools) if tool.get("type") == "function"]
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function":
        named = choice.get("function", {}).get("name")
        require(named in offered, f"Tool choice {named!r} not found in 'tools' parameter.")


def _check_tool(tool: Json, where: str) -> str:
    only(tool, {"type", "function"}, where)
    function = only(tool.get("function"), {"name", "description", "parameters", "strict"}, f"{where}.function")
    if function.get("strict"):
        strict(function.get("parameters"), where)
    return name(function.get("name"), f"{where}.function.name", 64)


def _check_message(message: Json, where: str, most_id: int | None) -> None:
    role = message.get("role")
    require(role in _MESSAGES, f"{where}.role: {role!r} is not supported")
    only(message, _MESSAGES[str(role)], where)
    _check_content(message.get("content"), f"{where}.content", str(role), may_be_empty="tool_calls" in message)
    if role == "tool":
        text(message.get("tool_call_id"), f"{where}.tool_call_id", least=1, most=most_id)
    if "tool_calls" in message:
        calls = objects(message["tool_calls"], f"{where}.tool_calls")
        require(calls, f"{where}.tool_calls: empty")
        for at, call in enumerate(calls):
            _check_call(call, f"{where}.tool_calls[{at}]", most_id)


def _check_content(content: Any, where: str, role: str, *, may_be_empty: bool) -> None:
    if content is None or isinstance(content, str):
        require(content or role == "tool" or may_be_empty, f"{where}: must not be empty")
        return
    parts = objects(content, where)
    require(parts, f"{where}: empty")
    for at, part in enumerate(parts):
        kind = str(part.get("type"))
        require(kind in _ROLE_PARTS.get(role, {"text"}), f"{where}[{at}]: {kind!r} is not supported with role {role}")
        only(part, _PARTS[kind], f"{where}[{at}]")
        if kind == "image_url":
            text(part["image_url"].get("url"), f"{where}[{at}].image_url.url", least=1)
        if kind == "text":
            text(part.get("text"), f"{where}[{at}].text", least=1)


def _check_call(call: Json, where: str, most_id: int | None) -> None:
    only(call, {"id", "type", "function", "extra_content"}, where)
    text(call.get("id"), f"{where}.id", least=1, most=most_id)
    function = only(call.get("function"), {"name", "arguments"}, f"{where}.function")
    name(function.get("name"), f"{where}.function.name", 64)
    try:
        arguments = codec.decode_any(text(function.get("arguments"), f"{where}.function.arguments"))
    except (InvalidJson, RecursionError):
        arguments = None
    require(isinstance(arguments, dict), f"{where}.function.arguments: must be the JSON of an object")


def _check_pairs(messages: list[Json]) -> None:
    """Each call is answered once, by a tool's message right behind its own, before anyone else speaks."""
    waiting: list[str] = []
    seen: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            call_id = message["tool_call_id"]
            require(call_id in waiting, "A message with role 'tool' must answer a tool call of the message before.")
            waiting.remove(call_id)
            continue
        if waiting:
            break
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
        for call_id in waiting:
            require(call_id not in seen, f"Duplicate tool call id {call_id}.")
            seen.add(call_id)
    if waiting:
        raise Refused(f"These tool calls have no tool message that answers them: {', '.join(waiting)}.")
