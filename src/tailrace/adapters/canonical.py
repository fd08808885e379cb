"""What every wire asks of the canonical request before it says it in its own words.

Two things no wire is told: error and cancelled items (what they leave worth saying, `runs.history` has made a message),
and script items, which are Tailrace's own.
"""

import re
from collections.abc import Sequence
from hashlib import sha1
from itertools import takewhile
from typing import Any

from msgspec.structs import replace

from tailrace.adapters.base import Quirks
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, InvalidRequest
from tailrace.schema.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    Opaque,
    OutputItem,
    Part,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from tailrace.schema.request import Generation, ModelRequest, OutputFormat

Rows = tuple[tuple[str, Quirks], ...]  # (what a model's id matches, how it differs), the first match counts

EMPTY_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}
FAILED = TextPart(text="The tool call failed:")
MISSING = TextPart(text="(an attachment, which cannot be shown here)")
UNSEEN = TextPart(text="(an image, which this model cannot see)")

MOST_CACHE_KEY = 64  # characters

# Quirks that every wire has, because `fitted` heeds them for all.
# - `images`: do the models see pictures? Where not, a text says that there was one.
# - `reasoning_as_text`: reasoning goes back as plain text of its turn: "" never, "foreign" another model's, "all" any.
#   What does not, goes back in the wire's own words to the model that it came from, and else not at all.
CONVERSATION: Quirks = {"images": True, "reasoning_as_text": ""}

# What every provider does anyway: asking for it can be left unsaid.
NEUTRAL: dict[str, Any] = {
    "top_p": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "verbosity": "medium",
    "service_tier": "auto",
    "reasoning_summary": "auto",
}


def look_up(model_id: str, defaults: Quirks, models: Rows, quirks: Quirks) -> Quirks:
    """The wire's defaults, overridden by the model's row, overridden by the provider's quirks."""
    row = next((row for pattern, row in models if re.search(pattern, model_id)), {})
    return {**defaults, **row, **quirks}


def fitted(request: ModelRequest, row: Quirks) -> ModelRequest:
    """The request with what this model cannot take of the conversation said in words that it can (CONVERSATION)."""
    as_text, images = row["reasoning_as_text"], row["images"]
    if images and not as_text:
        return request
    items: list[OutputItem] = []
    for item in request.items:
        if isinstance(item, ReasoningItem) and (as_text == "all" or (as_text and is_foreign(item, request))):
            items.append(MessageItem(id=item.id, content=item.content))
        elif isinstance(item, MessageItem | FunctionCallOutputItem) and not images:
            items.append(_unseen(item))
        else:
            items.append(item)
    return replace(request, items=items)


def _unseen(item: MessageItem | FunctionCallOutputItem) -> MessageItem | FunctionCallOutputItem:
    """The item with a text for each of its images."""
    parts = parts_of(item)
    if not any(isinstance(part, ImagePart) for part in parts):
        return item
    return with_parts(item, [UNSEEN if isinstance(part, ImagePart) else part for part in parts])


def is_foreign(item: ReasoningItem, request: ModelRequest) -> bool:
    """Is this another model's reasoning, or another provider's?"""
    return item.opaque is not None and not _is_home(item.opaque, request)


def returned(opaque: Opaque | None, kind: str, request: ModelRequest) -> str | None:
    """Continuation data of this `kind`, only where it came from this very provider and model (contract §1)."""
    if opaque is None or opaque.kind != kind or not _is_home(opaque, request):
        return None
    return opaque.data


def _is_home(opaque: Opaque, request: ModelRequest) -> bool:
    return (opaque.provider_id, opaque.model_id) == (request.provider_id, request.model_id)


def head(request: ModelRequest) -> tuple[str, list[OutputItem]]:
    """The system prompt: the instructions and the system's messages before anyone has spoken; and the other items."""
    first = list(takewhile(lambda item: isinstance(item, MessageItem) and item.origin == "system", request.items))
    lines = [request.generation.instructions or "", *(item.content for item in first if isinstance(item, MessageItem))]
    return "\n\n".join(line for line in lines if line.strip()), request.items[len(first) :]


def speaker_of(item: OutputItem) -> str:
    """In whose message an item stands, on wires whose messages have a speaker: "assistant", "tool", "user" or "system";
    "" for what is not said there."""
    match item:
        case MessageItem(origin="agent") | ReasoningItem() | FunctionCallItem():
            return "assistant"
        case FunctionCallOutputItem():
            return "tool"
        case MessageItem():
            return item.origin
        case _:
            return ""


def parts_of(item: MessageItem | FunctionCallOutputItem) -> list[Part]:
    """What the item says, part by part; its plain text where that is all, or where the parts do not repeat it."""
    text = item.content if isinstance(item, MessageItem) else item.output
    parts = [part for part in item.parts or () if not is_text(part) or text_of([part])]  # hosts refuse empty ones
    if text.strip() and not any(isinstance(part, TextPart | RefusalPart) for part in parts):
        return [TextPart(text=text), *parts]
    return parts


def with_parts(item: MessageItem | FunctionCallOutputItem, parts: list[Part]) -> MessageItem | FunctionCallOutputItem:
    """The item with these parts instead, and their text."""
    key = "content" if isinstance(item, MessageItem) else "output"
    return replace(item, parts=parts, **{key: text_of(parts)})


def answer(item: FunctionCallOutputItem) -> list[Part]:
    """A tool's answer for wires that have no word for failure: the text says it, so that `success` is not lost."""
    return parts_of(item) if item.success else [FAILED, *parts_of(item)]


def text_of(parts: Sequence[Part]) -> str:
    """The text among these parts, a line each."""
    texts = (part for part in parts if isinstance(part, TextPart | RefusalPart))
    return "\n".join(part.text if isinstance(part, TextPart) else part.refusal for part in texts)


def is_text(part: Part) -> bool:
    """Is this part text, a refusal included?"""
    return isinstance(part, TextPart | RefusalPart)


def split_data_url(url: str, field: str) -> tuple[str, str]:
    """The media type and the base64 text of a data URL (RFC 2397). Raises InvalidRequest for any other form."""
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise InvalidRequest("a data URL must be of the form data:<media type>;base64,<data>", field=field)
    return head.removeprefix("data:").split(";", 1)[0], data


def arguments_of(call: FunctionCallItem) -> dict[str, Any]:
    """A call's arguments as the object that a wire wants: {} for none, and what is no object is said to be none."""
    if call.kind == "custom":
        return {"input": call.arguments}
    if not call.arguments.strip():
        return {}
    try:
        value = codec.decode_any(call.arguments)
    except (InvalidJson, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"malformed_arguments": call.arguments}


def caller_of(call: FunctionCallItem, request: ModelRequest) -> dict[str, Any]:
    """Who called, where it was not the model itself but a program of its: said again with the call."""
    caller = returned(call.opaque, "caller", request)
    return {"caller": codec.decode_any(caller)} if caller is not None else {}


def fit_id(call_id: str, pattern: re.Pattern[str], length: int) -> str:
    """A call's id as a wire takes it: itself where it matches, else up to `length` hex digits that only it gives."""
    return call_id if pattern.fullmatch(call_id) else _digest(call_id)[:length]


def _digest(text: str) -> str:
    return sha1(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def fields(generation: Generation, **names: str) -> dict[str, Any]:
    """The fields that are set, each under the wire's name for it: `fields(generation, stop="stop_sequences")`."""
    values = ((said, getattr(generation, name)) for name, said in names.items())
    return {said: value for said, value in values if value is not None and value != []}


def refuse(generation: Generation, *names: str, why: str = "the provider's protocol has no word for it") -> None:
    """Raises InvalidRequest for the first of these that asks for anything."""
    for name in names:
        value = getattr(generation, name)
        if value not in (None, [], NEUTRAL.get(name)):
            raise InvalidRequest(f"{name}: {why}", field=name)


def refuse_one_at_a_time(generation: Generation) -> None:
    """Raises InvalidRequest where the model may not call several tools at once. (That it may is what all do anyway.)"""
    if generation.parallel_tool_calls is False:
        why = "the provider cannot be kept to one call at a time"
        raise InvalidRequest(f"parallel_tool_calls: {why}", field="parallel_tool_calls")


def service_tier(generation: Generation) -> dict[str, str]:
    """The tier in the words of the OpenAI wires; Anthropic's `standard_only` is their `default`. `auto` is unsaid: not
    every host knows the field."""
    tier = generation.service_tier
    return {"service_tier": "default" if tier == "standard_only" else tier} if tier not in (None, "auto") else {}


def cache_key(generation: Generation) -> dict[str, str]:
    """The key of the prompt cache in the words of the OpenAI wires; one that is too long for them, as its digest."""
    key = generation.prompt_cache_key
    if key is None:
        return {}
    return {"prompt_cache_key": key if len(key) <= MOST_CACHE_KEY else f"pc_{_digest(key)}"}


def json_schema(wanted: OutputFormat) -> dict[str, Any]:
    """The schema of an answer in the words of the OpenAI wires, which want a name. Raises InvalidRequest."""
    said = {"name": wanted.name or "answer", "schema": schema_of(wanted)}
    more = {"description": wanted.description, "strict": wanted.strict}
    return {**said, **{key: value for key, value in more.items() if value is not None}}


def schema_of(wanted: OutputFormat) -> dict[str, Any]:
    """The schema of an answer that is to fit one. Raises InvalidRequest where there is none."""
    if wanted.schema is None:
        raise InvalidRequest("json_schema needs a schema", field="output_format.schema")
    return wanted.schema


def with_extra(body: dict[str, Any], generation: Generation, wire: str) -> dict[str, Any]:
    """The body with what the request adds in this wire's own words; an object is added to field by field."""
    return merged(body, (generation.extra or {}).get(wire, {}))


def merged(into: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Both; where both have an object, field by field, and otherwise as `extra` has it."""
    both = dict(into)
    for key, value in extra.items():
        nested = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if nested else value
    return both
