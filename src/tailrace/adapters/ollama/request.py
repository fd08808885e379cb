"""The canonical request in the words of Ollama: `POST {base_url}/api/chat` (https://docs.ollama.com/api/chat).

What the assistant says between two others is one message: its thinking, its text, its calls. Images are base64, in a
user's message; those of a tool's answer follow it in one. Files, and a provider's own items, have no words here.

The wire knows no choice among tools: a tool that must be called is offered alone, and none where none may be called.
That some tool must be called, or one at a time only, cannot be said. A limit of tool calls is the caller's to keep; a
prompt cache needs no key, and nobody there keeps accounts of users: these are left unsaid.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import (
    EMPTY_SCHEMA,
    answer,
    arguments_of,
    fields,
    fitted,
    is_text,
    look_up,
    parts_of,
    refuse,
    refuse_one_at_a_time,
    schema_of,
    speaker_of,
    split_data_url,
    text_of,
    with_extra,
)
from tailrace.adapters.effort import effort_of
from tailrace.adapters.ollama.quirks import DEFAULTS, MODELS
from tailrace.adapters.tools import ToolNames, as_function, narrowed, offer_of
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    OutputItem,
    Part,
    ReasoningItem,
)
from tailrace.schema.request import AnyTool, Generation, HostedTool, ModelRequest, NamedToolChoice, OutputFormat

Message = dict[str, Any]

NAME = "ollama"
PATH = "/api/chat"
names = ToolNames(limit=64, flat=True)
callees = names.callees


def build(request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    """The body. Raises InvalidRequest, naming the field, for what the wire, or the model, cannot say."""
    row = look_up(request.model_id, DEFAULTS, MODELS, quirks)
    request, generation = fitted(request, row), request.generation
    refuse(generation, "reasoning_summary", "verbosity", "service_tier")
    refuse_one_at_a_time(generation)
    body: dict[str, Any] = {
        "model": request.model_id,
        "messages": _messages(request, row),
        "stream": request.stream,
        **_tools(generation),
        **_thinking(generation, row),
        **_probabilities(generation),
    }
    options = _options(generation, row)
    if options:
        body["options"] = options
    if generation.output_format is not None:
        body["format"] = _format(generation.output_format)
    return with_extra(body, generation, NAME)


# --- how to answer ----------------------------------------------------------------------------------------------


def _options(generation: Generation, row: Quirks) -> dict[str, Any]:
    options = fields(
        generation,
        max_output_tokens="num_predict",
        temperature="temperature",
        top_p="top_p",
        top_k="top_k",
        stop="stop",
        seed="seed",
        frequency_penalty="frequency_penalty",
        presence_penalty="presence_penalty",
    )
    if row["most_tokens"] and options.get("num_predict", 0) > row["most_tokens"]:
        options["num_predict"] = row["most_tokens"]
    return options


def _thinking(generation: Generation, row: Quirks) -> dict[str, Any]:
    """On or off, or a word; a number of tokens has none, and becomes the effort that it stands for."""
    effort = effort_of(generation)
    if effort is None:
        return {}
    if row["think"] == "switch":
        return {"think": effort != "none"}
    if effort == "none":
        field = "reasoning_effort" if generation.reasoning_effort else "thinking_budget"
        raise InvalidRequest("the model always thinks", field=field)
    return {"think": {"minimal": "low", "xhigh": row["max_think"]}.get(effort, effort)}


def _probabilities(generation: Generation) -> dict[str, Any]:
    asked = fields(generation, top_logprobs="top_logprobs")
    return {"logprobs": True, **asked} if asked else {}


def _format(wanted: OutputFormat) -> str | dict[str, Any]:
    """A schema stands alone: its name has no place, and its description is in it."""
    if wanted.type == "json_object":
        return "json"
    schema = schema_of(wanted)
    if wanted.description and "description" not in schema:
        return {**schema, "description": wanted.description}
    return schema


def _tools(generation: Generation) -> dict[str, Any]:
    offer = narrowed(offer_of(generation, NAME, names))
    tools = offer.tools
    match offer.choice:
        case NamedToolChoice(name=name):
            tools = [offer.named(name)]
        case "required":
            raise InvalidRequest("the provider cannot be made to call a tool", field="tool_choice")
        case "none":
            tools = []
    return {"tools": [_tool(tool) for tool in tools]} if tools else {}


def _tool(tool: AnyTool) -> dict[str, Any]:
    if isinstance(tool, HostedTool):
        return tool.data
    plain = as_function(tool)
    function: dict[str, Any] = {"name": names.of_tool(tool), "parameters": plain.parameters or EMPTY_SCHEMA}
    if plain.description:
        function["description"] = plain.description
    return {"type": "function", "function": function}


# --- the conversation -------------------------------------------------------------------------------------------


def _messages(request: ModelRequest, row: Quirks) -> list[Message]:
    instructions = request.generation.instructions
    messages: list[Message] = [{"role": "system", "content": instructions}] if instructions else []
    called = {
        item.call_id: names.of(item.name, item.namespace)
        for item in request.items
        if isinstance(item, FunctionCallItem)
    }
    spoken = (item for item in request.items if speaker_of(item))
    for speaker, group in groupby(spoken, key=speaker_of):
        items = list(group)
        if speaker == "assistant":
            messages += _assistant(items, row)
        elif speaker == "tool":
            messages += _answers([item for item in items if isinstance(item, FunctionCallOutputItem)], called)
        else:
            messages += [said for item in items if isinstance(item, MessageItem) for said in _message(item)]
    return messages


def _assistant(items: Sequence[OutputItem], row: Quirks) -> list[Message]:
    text = "\n\n".join(item.content for item in items if isinstance(item, MessageItem) and item.content.strip())
    calls = [_call(item) for item in items if isinstance(item, FunctionCallItem)]
    if not (text or calls):
        return []
    message: Message = {"role": "assistant", "content": text}
    # What another provider's model thought comes with something of that provider's: it is not this one's thought.
    thoughts = [item.content for item in items if isinstance(item, ReasoningItem) and item.opaque is None]
    if row["replay_thinking"] and any(thoughts):
        message["thinking"] = "\n\n".join(thought for thought in thoughts if thought)
    if calls:
        message["tool_calls"] = calls
    return [message]


def _call(item: FunctionCallItem) -> dict[str, Any]:
    name = names.of(item.name, item.namespace)
    return {"id": item.call_id, "type": "function", "function": {"name": name, "arguments": arguments_of(item)}}


def _answers(items: Sequence[FunctionCallOutputItem], called: dict[str, str]) -> list[Message]:
    """The tools' messages, in the order of their calls, then one with all their images."""
    messages: list[Message] = []
    shown: list[str] = []
    for item in items:
        parts = answer(item)
        message: Message = {"role": "tool", "content": text_of(parts), "tool_call_id": item.call_id}
        if item.call_id in called:
            message["tool_name"] = called[item.call_id]
        messages.append(message)
        shown += _images(parts)
    return [*messages, {"role": "user", "content": "", "images": shown}] if shown else messages


def _message(item: MessageItem) -> list[Message]:
    parts = parts_of(item)
    images = _images(parts)
    content = item.content or text_of(parts)
    if not (content or images):
        return []
    return [{"role": item.origin, "content": content, **({"images": images} if images else {})}]


def _images(parts: Sequence[Part]) -> list[str]:
    return [_image(part) for part in parts if not is_text(part)]


def _image(part: Part) -> str:
    if not isinstance(part, ImagePart):
        raise InvalidRequest("the provider takes no files", field="input.parts.data")
    if not (part.url or "").startswith("data:"):
        raise InvalidRequest("the provider takes images as data URLs only", field="input.parts.url")
    return split_data_url(part.url or "", "input.parts.url")[1]
