"""The canonical request in the words of chat completions: `POST {base_url}/chat/completions`.

What the assistant says between two others is one message: its text, then its calls. Reasoning has no place on this
wire, save `reasoning_details` that a host sent, and the text where a quirk says that it must be brought back. Images in
a tool's answer follow in a user's message, because the tool role takes text only. A provider's own items have no words
here.

Tools are functions with flat names, as most hosts know only them (adapters/tools.py). A limit of tool calls is the
caller's to keep. The request's parameters: https://platform.openai.com/docs/api-reference/chat/create.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import (
    EMPTY_SCHEMA,
    answer,
    arguments_of,
    fields,
    fit_id,
    is_text,
    json_schema,
    look_up,
    parts_of,
    refuse,
    returned,
    service_tier,
    speaker_of,
    text_of,
    with_extra,
)
from tailrace.adapters.effort import budget_of
from tailrace.adapters.openai_chat_completions.quirks import DEFAULTS, MODELS
from tailrace.adapters.schemas import OPENAI, strict_schema
from tailrace.adapters.tools import ToolNames, as_function, narrowed, offer_of
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import (
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    OutputItem,
    Part,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from tailrace.schema.request import AnyTool, Generation, HostedTool, ModelRequest, NamedToolChoice, OutputFormat

Message = dict[str, Any]

NAME = "openai-chat-completions"
PATH = "/chat/completions"
names = ToolNames(limit=64, flat=True)
callees = names.callees


def build(request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    """The body. Raises InvalidRequest, naming the field, for what the wire, or this host of it, cannot say."""
    row = look_up(request.model_id, DEFAULTS, MODELS, quirks)
    generation = request.generation
    refuse(generation, "top_k", "reasoning_summary")
    body: dict[str, Any] = {
        "model": request.model_id,
        "messages": _messages(request, row),
        "stream": request.stream,
        **_tools(generation, row),
        **_reasoning(generation, row),
        **_probabilities(generation),
        **fields(
            generation,
            max_output_tokens=row["max_tokens_field"],
            temperature="temperature",
            top_p="top_p",
            stop="stop",
            seed="seed",
            frequency_penalty="frequency_penalty",
            presence_penalty="presence_penalty",
            verbosity="verbosity",
            user="user",
        ),
        **service_tier(generation),
    }
    if request.stream and row["stream_options"]:
        body["stream_options"] = {"include_usage": True}
    if generation.output_format is not None:
        body["response_format"] = _format(generation.output_format)
    if generation.prompt_cache_key is not None and row["prompt_cache_key"]:
        body["prompt_cache_key"] = generation.prompt_cache_key
    return with_extra(body, generation, NAME)


# --- how to answer ----------------------------------------------------------------------------------------------


def _reasoning(generation: Generation, row: Quirks) -> dict[str, Any]:
    effort, budget = generation.reasoning_effort, budget_of(generation)
    if budget is None:
        return {}
    if effort == "none" and row["reasoning_off"]:
        return dict(row["reasoning_off"])
    if row["reasoning"] == "object":
        return {"reasoning": {"effort": effort} if effort else {"max_tokens": budget}}
    if generation.thinking_budget is not None:
        raise InvalidRequest("the provider takes a reasoning_effort, not a budget", field="thinking_budget")
    return {"reasoning_effort": effort}


def _probabilities(generation: Generation) -> dict[str, Any]:
    """Those of the tokens themselves, and of so many others: `top_logprobs` 0 asks for none of these."""
    return {"logprobs": True, **asked} if (asked := fields(generation, top_logprobs="top_logprobs")) else {}


def _format(wanted: OutputFormat) -> dict[str, Any]:
    if wanted.type == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": json_schema(wanted)}


def _tools(generation: Generation, row: Quirks) -> dict[str, Any]:
    """The tools and the choice. A host that heeds no choice is offered none where none may be called."""
    offer = narrowed(offer_of(generation, NAME, names))
    if not offer.tools:
        return {}
    choice: str | dict[str, Any] | None = None
    if isinstance(offer.choice, NamedToolChoice):
        choice = _reference(offer.named(offer.choice.name))
    elif isinstance(offer.choice, str):
        choice = offer.choice
    tools = {
        "tools": [_tool(tool) for tool in offer.tools],
        **fields(generation, parallel_tool_calls="parallel_tool_calls"),
    }
    if row["tool_choice"]:
        return {**tools, **({"tool_choice": choice} if choice is not None else {})}
    if choice not in (None, "auto", "none"):
        raise InvalidRequest("the provider cannot be made to call a tool", field="tool_choice")
    return {} if choice == "none" else tools


def _reference(tool: AnyTool) -> dict[str, Any]:
    if isinstance(tool, HostedTool):
        return {"type": tool.data.get("type")}
    return {"type": "function", "function": {"name": names.of_tool(tool)}}


def _tool(tool: AnyTool) -> dict[str, Any]:
    """`strict` is said where it was. A schema that it cannot be had for is offered without (adapters/schemas.py)."""
    if isinstance(tool, HostedTool):
        return tool.data
    plain = as_function(tool)
    parameters = plain.parameters or EMPTY_SCHEMA
    strict = strict_schema(parameters, OPENAI) if plain.strict else None
    function: dict[str, Any] = {"name": names.of_tool(tool), "parameters": strict or parameters}
    if plain.description:
        function["description"] = plain.description
    if plain.strict is not None:
        function["strict"] = strict is not None
    return {"type": "function", "function": function}


# --- the conversation -------------------------------------------------------------------------------------------


def _messages(request: ModelRequest, row: Quirks) -> list[Message]:
    instructions = request.generation.instructions
    messages: list[Message] = [{"role": "system", "content": instructions}] if instructions else []
    spoken = (item for item in request.items if speaker_of(item))
    for speaker, group in groupby(spoken, key=speaker_of):
        items = list(group)
        if speaker == "assistant":
            messages += _assistant(items, request, row)
        elif speaker == "tool":
            messages += _answers([item for item in items if isinstance(item, FunctionCallOutputItem)], row)
        else:
            messages += [said for item in items if isinstance(item, MessageItem) for said in _message(item)]
    return messages


def _assistant(items: Sequence[OutputItem], request: ModelRequest, row: Quirks) -> list[Message]:
    text = "\n\n".join(item.content for item in items if isinstance(item, MessageItem) and item.content.strip())
    calls = [_call(item, row) for item in items if isinstance(item, FunctionCallItem)]
    if not (text or calls):
        return []
    message: Message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = calls
    return [{**message, **_thoughts([item for item in items if isinstance(item, ReasoningItem)], request, row)}]


def _thoughts(items: Sequence[ReasoningItem], request: ModelRequest, row: Quirks) -> dict[str, Any]:
    """The details that this model left to be sent back; and the text, where the host wants it, but not another's."""
    returns = [(item, returned(item.opaque, "reasoning_details", request)) for item in items]
    details = [detail for _, data in returns if data is not None for detail in codec.decode(data, list[Any])]
    said: dict[str, Any] = {"reasoning_details": details} if details else {}
    if row["replay_reasoning"]:
        own = (item.content for item, data in returns if item.opaque is None or data is not None)
        said["reasoning_content"] = "".join(own)
    return said


def _call(item: FunctionCallItem, row: Quirks) -> dict[str, Any]:
    """The arguments as they came where they are an object, which is what hosts parse them to; "" is {}."""
    value = arguments_of(item)
    as_sent = item.kind != "custom" and value and "malformed_arguments" not in value
    name = names.of(item.name, item.namespace)
    function = {"name": name, "arguments": item.arguments if as_sent else codec.encode(value).decode()}
    return {"id": _call_id(item.call_id, row), "type": "function", "function": function}


def _call_id(call_id: str, row: Quirks) -> str:
    length = row["call_id_length"]
    return fit_id(call_id, re.compile(rf"[a-zA-Z0-9]{{{length}}}"), length) if length else call_id


def _answers(items: Sequence[FunctionCallOutputItem], row: Quirks) -> list[Message]:
    """The tools' messages, in the order of their calls, then one with all that is not text."""
    answers = [(item, answer(item)) for item in items]
    messages: list[Message] = [
        {"role": "tool", "tool_call_id": _call_id(item.call_id, row), "content": text_of(parts)}
        for item, parts in answers
    ]
    shown = [_part(part) for _, parts in answers for part in parts if not is_text(part)]
    return [*messages, {"role": "user", "content": shown}] if shown else messages


def _message(item: MessageItem) -> list[Message]:
    parts = parts_of(item)
    if not parts:
        return []
    content = item.content or text_of(parts) if all(map(is_text, parts)) else [_part(part) for part in parts]
    return [{"role": item.origin, "content": content}]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case RefusalPart():
            return {"type": "text", "text": part.refusal}
        case ImagePart():
            return {"type": "image_url", "image_url": _image(part)}
        case FilePart():
            return {"type": "file", "file": _file(part)}


def _image(part: ImagePart) -> dict[str, str]:
    """`original` is a detail that this wire does not know; `high` is the nearest."""
    if not part.url:
        raise InvalidRequest("the chat wire takes images by url only", field="input.parts.url")
    detail = "high" if part.detail == "original" else part.detail
    return {"url": part.url, **({"detail": detail} if detail else {})}


def _file(part: FilePart) -> dict[str, str]:
    if part.file_id:
        return {"file_id": part.file_id}
    if not part.data:
        raise InvalidRequest("the chat wire takes files as data or by file_id", field="input.parts.data")
    return {"filename": part.filename or "file", "file_data": part.data}
