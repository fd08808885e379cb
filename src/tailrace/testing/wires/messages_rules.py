"""What Anthropic's Messages API refuses (https://platform.claude.com/docs/en/api/messages)."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from tailrace.testing.wires.base import Json, Memory, is_sealed, sign
from tailrace.testing.wires.rules import Refused, name, objects, only, require, text

_BODY = frozenset({
    "betas", "billing_policy", "cache_control", "compaction", "container", "context_management",
    "fallback_credit_token", "fallbacks", "inference_geo", "max_tokens", "mcp_servers", "messages", "metadata", "model",
    "output_config", "service_tier", "speed", "stop_sequences", "stream", "system", "temperature", "thinking",
    "tool_choice", "tools", "top_k", "top_p", "user_profile_id", "workspace_id",
})  # fmt: skip
_BLOCKS = {
    "text": {"text", "citations"},
    "image": {"source"},
    "document": {"source", "title", "context", "citations"},
    "tool_use": {"id", "name", "input", "caller"},
    "tool_result": {"tool_use_id", "content", "is_error"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
}
_THINKING = ("thinking", "redacted_thinking")
_SERVER_USES = ("server_tool_use", "mcp_tool_use")
_USERS = {"text", "image", "document", "tool_result", "search_result"}
_IN_RESULT = {"text", "image", "document", "search_result", "tool_reference"}
_SOURCES = {
    "base64": {"type", "media_type", "data"},
    "url": {"type", "url"},
    "file": {"type", "file_id"},
    "text": {"type", "media_type", "data"},
    "content": {"type", "content"},
}
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MIN_BUDGET = 1024
_MOST_MARKS = 4


def check(body: Json, memory: Memory) -> None:
    """Raises Refused."""
    only(body, _BODY, "body")
    require(sum(1 for _ in _marks(body)) <= _MOST_MARKS, f"cache_control: at most {_MOST_MARKS} blocks may have it")
    _check_limits(body)
    _check_tools(body)
    messages = objects(body.get("messages") or [], "messages")
    require(messages and messages[0].get("role") == "user", "messages: the first message must have the role user")
    for at, message in enumerate(messages):
        _check_message(message, f"messages.{at}", is_last=at == len(messages) - 1)
        _check_thinking(message, body["model"], memory, f"messages.{at}")
    _check_pairs(messages)
    if (body.get("thinking") or {}).get("type") == "enabled":
        _check_loop_begins_with_thinking(messages)


def blocks(message: Json, *kinds: str) -> list[Json]:
    """The blocks of these types in a message."""
    content = message.get("content")
    return [block for block in content if block.get("type") in kinds] if isinstance(content, list) else []


def _check_limits(body: Json) -> None:
    limit, thinking = body.get("max_tokens"), body.get("thinking") or {}
    require(isinstance(limit, int) and limit >= 1, "max_tokens: Field required")
    budget = thinking.get("budget_tokens")
    if budget is not None:
        within = f"thinking.budget_tokens: must be at least {_MIN_BUDGET} and less than max_tokens"
        require(_MIN_BUDGET <= budget < int(limit or 0), within)
    if thinking.get("type") in {"enabled", "adaptive"}:
        forced = (body.get("tool_choice") or {}).get("type") in {"any", "tool"}
        require(not forced, "Thinking may not be enabled when tool_choice forces tool use.")
        require(body.get("temperature", 1) == 1, "temperature: may only be set to 1 when thinking is enabled")
        require("top_k" not in body, "top_k: must be unset when thinking is enabled")
    require(0 <= body.get("temperature", 1) <= 1, "temperature: range: 0..1")


def _check_tools(body: Json) -> None:
    tools = objects(body.get("tools") or [], "tools")
    require(tools or "tool_choice" not in body, "tool_choice: may only be specified while providing tools")
    names: set[Any] = set()
    for at, tool in enumerate(tools):
        require(tool.get("name") not in names, "tools: Tool names must be unique.")
        names.add(tool.get("name"))
        if "input_schema" in tool:
            name(tool.get("name"), f"tools.{at}.name", 128)
            require(tool["input_schema"].get("type") == "object", f"tools.{at}.input_schema.type: must be 'object'")
    choice = body.get("tool_choice") or {}
    if choice.get("type") == "tool":
        require(choice.get("name") in names, f"tool_choice: tool {choice.get('name')!r} not found")


def _marks(value: Any) -> Iterator[Json]:
    """All cache marks of the body, wherever they stand."""
    if isinstance(value, dict):
        if value.get("cache_control"):
            yield value["cache_control"]
        for each in value.values():
            yield from _marks(each)
    elif isinstance(value, list):
        for each in value:
            yield from _marks(each)


# --- messages ----------------------------------------------------------------------------------------------------


def _check_message(message: Json, where: str, *, is_last: bool) -> None:
    only(message, {"role", "content"}, where)
    role, content = message.get("role"), message.get("content")
    require(role in {"user", "assistant"}, f"{where}.role: {role!r} is not supported")
    if isinstance(content, str):
        require(content.strip(), f"{where}.content: must not be empty")
        return
    found = objects(content, f"{where}.content")
    require(found, f"{where}: all messages must have non-empty content")
    for at, block in enumerate(found):
        _check_block(block, f"{where}.content.{at}", role)
    order = [block["type"] for block in found]
    if role == "user":
        require(order == sorted(order, key=lambda kind: kind != "tool_result"), f"{where}: tool_result must come first")
        return
    require(order == sorted(order, key=lambda kind: kind == "tool_use"), f"{where}: tool_use must come last")
    require(order[-1] not in _THINKING, f"{where}: the final block in an assistant message cannot be thinking")
    if is_last and order[-1] == "text":
        ending = found[-1]["text"]
        require(ending == ending.rstrip(), "final assistant content cannot end with trailing whitespace")


def _check_block(block: Json, where: str, role: Any) -> None:
    kind = str(block.get("type"))
    if kind not in _BLOCKS:
        require(role == "assistant", f"{where}: {kind!r} is not a block of the user's")
        return
    require(
        (kind in _USERS) if role == "user" else kind not in {"tool_result", "image", "document"}, f"{where}: {kind}"
    )
    only(block, {"type", "cache_control", *_BLOCKS[kind]}, where)
    check_it = _CHECKS.get(kind)
    if check_it is not None:
        check_it(block, where)


def _check_text(block: Json, where: str) -> None:
    said = text(block.get("text"), f"{where}.text")
    require(said.strip(), f"{where}: text content blocks must contain non-whitespace text")


def _check_source(block: Json, where: str) -> None:
    source = block.get("source") or {}
    kind = str(source.get("type"))
    require(kind in _SOURCES, f"{where}.source: {kind!r} is not supported")
    only(source, _SOURCES[kind], f"{where}.source")


def _check_use(block: Json, where: str) -> None:
    require(_ID.fullmatch(text(block.get("id"), f"{where}.id")), f"{where}.id: does not match ^[a-zA-Z0-9_-]+$")
    name(block.get("name"), f"{where}.name", 128)
    require(isinstance(block.get("input"), dict), f"{where}.input: Input should be a valid dictionary")


def _check_result(block: Json, where: str) -> None:
    require(_ID.fullmatch(text(block.get("tool_use_id"), where)), f"{where}.tool_use_id: is none")
    content = block.get("content", [])
    if isinstance(content, str):
        return
    for at, inner in enumerate(objects(content, f"{where}.content")):
        kind = str(inner.get("type"))
        require(kind in _IN_RESULT, f"{where}.content.{at}: {kind!r} is not supported")
        require(kind == "text" or not block.get("is_error"), f"{where}: content of an error must be text")
        _check_block(inner, f"{where}.content.{at}", "user")


_CHECKS: dict[str, Callable[[Json, str], None]] = {
    "text": _check_text,
    "image": _check_source,
    "document": _check_source,
    "tool_use": _check_use,
    "tool_result": _check_result,
}


# --- the conversation --------------------------------------------------------------------------------------------


def _check_pairs(messages: list[Json]) -> None:
    """Every tool_use is answered once in the very next message, and every tool_result asked for in the one before."""
    seen: set[str] = set()
    for at, message in enumerate(messages):
        asked = [block["id"] for block in blocks(message, "tool_use")]
        for call_id in asked:
            require(call_id not in seen, f"messages.{at}: `tool_use` ids must be unique")
            seen.add(call_id)
        after = messages[at + 1] if at + 1 < len(messages) else {}
        answers = [block["tool_use_id"] for block in blocks(after, "tool_result")]
        require(len(set(answers)) == len(answers), f"messages.{at + 1}: each tool_use must have a single result")
        for call_id in asked:
            require(call_id in answers, f"messages.{at}: tool_use {call_id} has no tool_result in the next message")
        for call_id in answers:
            missing = f"messages.{at + 1}: tool_result {call_id} has no tool_use in the message before"
            require(call_id in asked, missing)
        _check_server_uses(message, f"messages.{at}", is_last=at + 1 == len(messages))
    require(not blocks(messages[0], "tool_result"), "messages.0: tool_result has no tool_use in the message before")


def _check_server_uses(message: Json, where: str, *, is_last: bool) -> None:
    """A server's tool has its result in the same message; that of the last message may still be waited for."""
    found = message["content"] if isinstance(message.get("content"), list) else []
    results = {block.get("tool_use_id") for block in found}
    for block in blocks(message, *_SERVER_USES):
        require(is_last or block.get("id") in results, f"{where}: {block.get('id')} has no result")


def _check_thinking(message: Json, model: str, memory: Memory, where: str) -> None:
    """Thinking must come back as it was sent, and not be left out before its tool use."""
    thinking = blocks(message, *_THINKING)
    for block in thinking:
        require(_is_ours(block), f"{where}: invalid signature in {block['type']} block")
    for use in blocks(message, "tool_use"):
        for block in memory.thinking.get((model, use["id"]), ()):
            missing = f"{where}: the thinking blocks before tool_use {use['id']} must come back unchanged"
            require(block in thinking, missing)


def _is_ours(block: Json) -> bool:
    if block["type"] == "redacted_thinking":
        return is_sealed(block["data"])
    return sign(block["thinking"]) == block.get("signature")


def _check_loop_begins_with_thinking(messages: list[Json]) -> None:
    """With thinking by budget, the tool loop that the conversation ends in must have begun with it."""
    loop: list[Json] = []
    for message in messages:
        if message["role"] == "assistant":
            loop += message["content"] if isinstance(message["content"], list) else [{"type": "text"}]
        elif len(blocks(message, "tool_result")) != len(message["content"]):
            loop = []
    if loop and loop[0]["type"] not in _THINKING:
        raise Refused("Expected `thinking` or `redacted_thinking` at the beginning of the tool loop.")
