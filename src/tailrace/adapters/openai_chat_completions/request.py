"""The canonical request in the words of chat completions: `POST {base_url}/chat/completions`.

What the assistant says between two others is one message: its text, then its calls. Reasoning has no place on this
wire, save `reasoning_details` that a host sent, and the text where a quirk says that it must be brought back. Images in
a tool's answer follow in a user's message, because the tool role takes text only. A provider's own items have no words
here.

Tools are functions with flat names, as most hosts know only them (adapters/tools.py). A limit of tool calls is the
caller's to keep. The request's parameters: https://platform.openai.com/docs/api-reference/chat/create. How hosts
differ: quirks.py.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby, takewhile
from typing import Any

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import (
    EMPTY_SCHEMA,
    answer,
    arguments_of,
    cache_key,
    fields,
    fit_id,
    fitted,
    is_foreign,
    is_text,
    json_schema,
    look_up,
    merged,
    parts_of,
    refuse,
    returned,
    service_tier,
    speaker_of,
    text_of,
    with_extra,
)
from tailrace.adapters.flavours import flavoured
from tailrace.adapters.openai_chat_completions.quirks import BETWEEN, DEFAULTS, MODELS
from tailrace.adapters.openai_chat_completions.thinking import thinking
from tailrace.adapters.schemas import OPENAI, strict_schema
from tailrace.adapters.tools import Offer, ToolNames, as_function, narrowed, offer_of, only_named
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
from tailrace.schema.request import (
    AnyTool,
    Generation,
    HostedTool,
    ModelRequest,
    NamedToolChoice,
    OutputFormat,
    Tool,
)

Message = dict[str, Any]

NAME = "openai-chat-completions"
PATH = "/chat/completions"
HEADER_TEXT = re.compile(r"[!-~]{1,64}")
names = ToolNames(limit=64, flat=True)
callees = names.callees


def build(request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    """The body. Raises InvalidRequest, naming the field, for what the wire, or this host of it, cannot say."""
    row = look_up(request.model_id, DEFAULTS, MODELS, quirks)
    request, generation = fitted(request, row), request.generation
    refuse(generation, "top_k", "reasoning_summary")
    offer = narrowed(offer_of(generation, NAME, names))
    body: dict[str, Any] = {
        "model": request.model_id,
        "messages": _messages(request, row),
        "stream": request.stream,
        **_tools(generation, row, offer),
        **thinking(generation, row, offer),
        **_sampling(generation, row),
        **_limit(generation, row),
        **fields(generation, stop="stop", seed="seed", verbosity="verbosity", user="user"),
        **service_tier(generation),
    }
    if request.stream and row["stream_options"]:
        body["stream_options"] = {"include_usage": True}
    if row["store"]:
        body["store"] = False
    if generation.output_format is not None:
        body["response_format"] = _format(generation.output_format)
    if row["prompt_cache_key"]:
        body |= cache_key(generation)
    return with_extra(merged(body, row["extra_body"]), generation, NAME)


def own_headers(request: ModelRequest, quirks: Quirks) -> dict[str, str]:
    """The cache key, where the host takes it in a header."""
    header = look_up(request.model_id, DEFAULTS, MODELS, quirks)["prompt_cache_header"]
    key = request.generation.prompt_cache_key
    return {header: fit_id(key, HEADER_TEXT, 40)} if header and key else {}


# --- how to answer ----------------------------------------------------------------------------------------------


def _limit(generation: Generation, row: Quirks) -> dict[str, int]:
    limit = generation.max_output_tokens or row["max_tokens"]
    return {row["max_tokens_field"]: limit} if limit else {}


def _sampling(generation: Generation, row: Quirks) -> dict[str, Any]:
    """Raises InvalidRequest where the model takes none, and more than what it does anyway is asked."""
    if not row["sampling"]:
        why = "the model does not take it"
        refuse(generation, "top_p", "frequency_penalty", "presence_penalty", "top_logprobs", why=why)
        if generation.temperature not in (None, 1):
            raise InvalidRequest(f"temperature: {why}", field="temperature")
        return {}
    plain = fields(
        generation,
        temperature="temperature",
        top_p="top_p",
        frequency_penalty="frequency_penalty",
        presence_penalty="presence_penalty",
    )
    return {**plain, **_probabilities(generation)}


def _probabilities(generation: Generation) -> dict[str, Any]:
    """Those of the tokens themselves, and of so many others: `top_logprobs` 0 asks for none of these."""
    return {"logprobs": True, **asked} if (asked := fields(generation, top_logprobs="top_logprobs")) else {}


def _format(wanted: OutputFormat) -> dict[str, Any]:
    if wanted.type == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": json_schema(wanted)}


def _tools(generation: Generation, row: Quirks, offer: Offer) -> dict[str, Any]:
    """The tools and the choice. A host that heeds no choice is offered none where none may be called; one that can be
    made to call, but not which tool, is offered only that one."""
    heeds = row["tool_choice"]
    if heeds == "required":
        offer = only_named(offer)
    choice = offer.choice
    if choice not in (None, "auto", "none") and heeds not in {"named", "required"}:
        raise InvalidRequest("the provider cannot be made to call a tool", field="tool_choice")
    if not offer.tools or (choice == "none" and heeds == "no"):
        return {}
    said = {"tools": _offered(offer.tools, row), **fields(generation, parallel_tool_calls="parallel_tool_calls")}
    return said if choice is None or heeds == "no" else {**said, "tool_choice": _choice(offer)}


def _choice(offer: Offer) -> Any:
    if isinstance(offer.choice, NamedToolChoice):
        return _reference(offer.named(offer.choice.name))
    return offer.choice


def _offered(tools: Sequence[AnyTool], row: Quirks) -> list[dict[str, Any]]:
    """The tools, each as strict as it and its host would have it; where all must be or none, one odd one decides."""
    if row["strict"] == "all":
        every = [_tool(tool, row, strict=True) for tool in tools]
        if all(said["function"]["strict"] for said in every if "function" in said):
            return every
    return [_tool(tool, row, strict=row["strict"] == "asked" and _wants_strict(tool)) for tool in tools]


def _wants_strict(tool: AnyTool) -> bool | None:
    return tool.strict if isinstance(tool, Tool) else None


def _reference(tool: AnyTool) -> dict[str, Any]:
    if isinstance(tool, HostedTool):
        return {"type": tool.data.get("type")}
    return {"type": "function", "function": {"name": names.of_tool(tool)}}


def _tool(tool: AnyTool, row: Quirks, *, strict: bool | None) -> dict[str, Any]:
    """`strict` is said where it was asked, or must be; None says nothing. A schema that it cannot be had for is offered
    without (adapters/schemas.py)."""
    if isinstance(tool, HostedTool):
        return tool.data
    plain = as_function(tool)
    parameters = plain.parameters or EMPTY_SCHEMA
    fit = strict_schema(parameters, OPENAI) if strict else None
    offered = fit or flavoured(parameters, row["schemas"])
    function: dict[str, Any] = {"name": names.of_tool(tool), "parameters": offered}
    if plain.description:
        function["description"] = plain.description
    if strict is not None and row["strict"] != "no":
        function["strict"] = fit is not None
    return {"type": "function", "function": function}


# --- the conversation -------------------------------------------------------------------------------------------


def _messages(request: ModelRequest, row: Quirks) -> list[Message]:
    head, items = _head(request, row)
    messages: list[Message] = [{"role": _system(row), "content": text} for text in head]
    called = {item.call_id: names.of(item.name, item.namespace) for item in items if isinstance(item, FunctionCallItem)}
    spoken = (item for item in items if speaker_of(item))
    for speaker, group in groupby(spoken, key=speaker_of):
        said = list(group)
        if speaker == "assistant":
            messages += _assistant(said, request, row)
        elif speaker == "tool":
            answers = [item for item in said if isinstance(item, FunctionCallOutputItem)]
            messages += _answers(answers, called, row)
        else:
            messages += [each for item in said if isinstance(item, MessageItem) for each in _message(item, row)]
    return _with_between(messages) if row["assistant_after_tool_result"] else messages


def _system(row: Quirks) -> str:
    return "developer" if row["developer_role"] else "system"


def _head(request: ModelRequest, row: Quirks) -> tuple[list[str], list[OutputItem]]:
    """The instructions, with what the system says at the head where there may be but one; and the other items."""
    instructions = request.generation.instructions
    texts = [instructions] if instructions else []
    if row["many_system_messages"]:
        return texts, request.items
    first = list(takewhile(_is_system_text, request.items))
    texts += [text_of(parts_of(item)) for item in first if isinstance(item, MessageItem)]
    joined = "\n\n".join(text for text in texts if text.strip())
    return [joined] if joined else [], request.items[len(first) :]


def _is_system_text(item: OutputItem) -> bool:
    return isinstance(item, MessageItem) and item.origin == "system" and all(map(is_text, parts_of(item)))


def _with_between(messages: list[Message]) -> list[Message]:
    """A word of the assistant's between a tool's and the user's."""
    said: list[Message] = []
    for message in messages:
        if said and said[-1]["role"] == "tool" and message["role"] not in {"tool", "assistant"}:
            said.append({"role": "assistant", "content": BETWEEN})
        said.append(message)
    return said


def _assistant(items: Sequence[OutputItem], request: ModelRequest, row: Quirks) -> list[Message]:
    text = "\n\n".join(item.content for item in items if isinstance(item, MessageItem) and item.content.strip())
    calls = [_call(item, request, row) for item in items if isinstance(item, FunctionCallItem)]
    if not (text or calls):
        return []
    message: Message = {"role": "assistant", "content": text or row["call_filler"]}
    if calls:
        message["tool_calls"] = calls
    thoughts = [item for item in items if isinstance(item, ReasoningItem)]
    return [{**message, **_thoughts(thoughts, request, row, calls=bool(calls))}]


def _thoughts(items: Sequence[ReasoningItem], request: ModelRequest, row: Quirks, *, calls: bool) -> dict[str, Any]:
    """The details that this model left to be sent back; and the text, where the host wants it, but not another's."""
    returns = [(item, returned(item.opaque, "reasoning_details", request)) for item in items]
    details = [detail for _, data in returns if data is not None for detail in codec.decode(data, list[Any])]
    said: dict[str, Any] = {"reasoning_details": details} if details else {}
    replay = row["replay_reasoning"]
    own = "".join(item.content for item in items if not is_foreign(item, request)) if replay != "no" else ""
    if own or replay == "all" or (replay == "calls" and calls):
        said[row["reasoning_field"]] = own or row["reasoning_filler"]
    return said


def _call(item: FunctionCallItem, request: ModelRequest, row: Quirks) -> dict[str, Any]:
    """The arguments as they came where they are an object, which is what hosts parse them to; "" is {}."""
    value = arguments_of(item)
    as_sent = item.kind != "custom" and value and "malformed_arguments" not in value
    name = names.of(item.name, item.namespace)
    function = {"name": name, "arguments": item.arguments if as_sent else codec.encode(value).decode()}
    extra = returned(item.opaque, "extra_content", request)  # a gateway's addition, a signature say
    added = {"extra_content": codec.decode_any(extra)} if extra is not None else {}
    return {"id": _call_id(item.call_id, row), "type": "function", "function": function, **added}


def _call_id(call_id: str, row: Quirks) -> str:
    length, limit = row["call_id_length"], row["call_id_limit"]
    if length:
        return fit_id(call_id, re.compile(rf"[a-zA-Z0-9]{{{length}}}"), length)
    return fit_id(call_id, re.compile(rf".{{1,{limit}}}", re.DOTALL), limit) if limit else call_id


def _answers(items: Sequence[FunctionCallOutputItem], called: Mapping[str, str], row: Quirks) -> list[Message]:
    """The tools' messages, in the order of their calls, then one with all that is not text."""
    answers = [(item, answer(item)) for item in items]
    messages: list[Message] = []
    for item, parts in answers:
        name = {"name": called.get(item.call_id, "")} if row["tool_result_name"] else {}
        messages.append({
            "role": "tool", "tool_call_id": _call_id(item.call_id, row), **name, "content": text_of(parts),
        })  # fmt: skip
    shown = [_part(part) for _, parts in answers for part in parts if not is_text(part)]
    return [*messages, {"role": "user", "content": shown}] if shown else messages


def _message(item: MessageItem, row: Quirks) -> list[Message]:
    """What the user or the system says. What the system says in mid-conversation the user says where it must be so,
    and always what it shows: its own role takes text only."""
    parts = parts_of(item)
    if not parts:
        return []
    is_said = all(map(is_text, parts))
    role = _system(row) if item.origin == "system" and row["many_system_messages"] and is_said else "user"
    return [{"role": role, "content": item.content or text_of(parts) if is_said else [_part(part) for part in parts]}]


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
