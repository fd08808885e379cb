"""The canonical request in the words of the Messages API: `POST {base_url}/v1/messages`.

Roles alternate, so that what follows in one role is one message. Thinking goes back in its place before the calls of
its turn, byte for byte where it is signed by this very model, and else not at all
(https://platform.claude.com/docs/en/build-with-claude/extended-thinking). Calls stand last in their message, because
their results must follow at once.

Four things are added or taken away because the API refuses the request otherwise: a conversation that ends in the
assistant's text is followed by CONTINUE; one that begins with the assistant has BEGIN before it; of more cache marks
than there may be the last ones stay; and a request goes without thinking where a call is forced, or where the tool loop
it is in began without signed thinking (after a change of model).

A provider's own blocks go back as they came where their type is one that this wire takes. They carry no
provider, so that history has left out those of other providers (`runs.history`); the type tells the wire.

Tools are functions with flat names (adapters/tools.py). A limit of tool calls is the caller's to keep, and a prompt
cache needs no key: both are left unsaid. Seeds, penalties, token probabilities, verbosity and JSON without a schema
have no words here. The request's parameters: https://platform.claude.com/docs/en/api/messages.
"""

import re
from base64 import b64decode
from typing import Any

from tailrace.adapters.anthropic_messages.quirks import DEFAULTS, MODELS
from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import (
    EMPTY_SCHEMA,
    arguments_of,
    caller_of,
    fields,
    fit_id,
    fitted,
    head,
    is_text,
    look_up,
    parts_of,
    refuse,
    returned,
    schema_of,
    split_data_url,
    with_extra,
)
from tailrace.adapters.claude import effort_word, max_tokens_of, sampling_of, thinking_of
from tailrace.adapters.schemas import ANTHROPIC, strict_schema
from tailrace.adapters.tools import Offer, ToolNames, as_function, narrowed, offer_of
from tailrace.adapters.turns import Block, Turn, led_on, loop_of, turns_of
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import (
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    OutputItem,
    Part,
    ProviderItem,
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
)

NAME = "anthropic-messages"
PATH = "/v1/messages"
HEADERS = {"anthropic-version": "2023-06-01"}
names = ToolNames(limit=128, flat=True)
callees = names.callees

CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
THINKING = frozenset({"thinking", "redacted_thinking"})
MOST_MARKS = 4  # of the prompt cache: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}

SERVER_CALLS = frozenset({"server_tool_use", "mcp_tool_use"})
# The provider's own blocks, which it wants back in the assistant's turn.
SERVER_BLOCKS = SERVER_CALLS | frozenset({
    "advisor_tool_result", "bash_code_execution_tool_result", "code_execution_tool_result", "compaction", "fallback",
    "mcp_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result", "web_fetch_tool_result",
    "web_search_tool_result",
})  # fmt: skip


def build(request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    """The body. Raises InvalidRequest, naming the field, for what the wire cannot say."""
    row = look_up(request.model_id, DEFAULTS, MODELS, quirks)
    request, generation = fitted(request, row), request.generation
    refuse(generation, "seed", "frequency_penalty", "presence_penalty", "top_logprobs", "verbosity")
    refuse(generation, "reasoning_summary", why="the provider's summaries have one length only: ask for auto")
    offer = narrowed(offer_of(generation, NAME, names))
    system, items = head(request)
    messages = _messages(items, request)
    thinking = thinking_of(generation, row, forced=_forced(offer), lost=_began_without_thinking(messages))
    body: dict[str, Any] = {
        "model": request.model_id,
        "max_tokens": max_tokens_of(generation, row, thinking),
        "messages": messages,
        "stream": request.stream,
        **thinking,
        **_output(generation, row, thinking),
        **_tools(generation, row, offer),
        **sampling_of(generation, row, thinking),
        **_tier(generation),
        **fields(generation, stop="stop_sequences"),
    }
    if system:
        body["system"] = system
    if generation.user is not None:
        body["metadata"] = {"user_id": generation.user}
    return _limited_marks(with_extra(body, generation, NAME))


def own_headers(request: ModelRequest, quirks: Quirks) -> dict[str, str]:
    """The betas that the provider's row asks for."""
    betas = look_up(request.model_id, DEFAULTS, MODELS, quirks)["betas"]
    return {"anthropic-beta": ",".join(betas)} if betas else {}


# --- how to answer ----------------------------------------------------------------------------------------------


def _forced(offer: Offer) -> bool:
    return offer.choice == "required" or isinstance(offer.choice, NamedToolChoice)


def _output(generation: Generation, row: Quirks, thinking: dict[str, Any]) -> dict[str, Any]:
    """The effort, where thinking goes by it, and the form of the answer."""
    config: dict[str, Any] = {}
    effort = effort_word(generation, row, thinking)
    if effort is not None:
        config["effort"] = effort
    if generation.output_format is not None:
        config["format"] = _format(generation.output_format)
    return {"output_config": config} if config else {}


def _format(wanted: OutputFormat) -> dict[str, Any]:
    """The wire has no name and no description beside the schema: the description stands in it."""
    if wanted.type == "json_object":
        raise InvalidRequest("the provider takes a JSON schema only: give one", field="output_format")
    schema = schema_of(wanted)
    if wanted.description and "description" not in schema:
        schema = {**schema, "description": wanted.description}
    return {"type": "json_schema", "schema": strict_schema(schema, ANTHROPIC) or schema}


def _tier(generation: Generation) -> dict[str, str]:
    tier = generation.service_tier
    if tier is None:
        return {}
    if tier not in TIERS:
        raise InvalidRequest(f"the provider has no tier {tier!r}", field="service_tier")
    return {"service_tier": TIERS[tier]}


def _tools(generation: Generation, row: Quirks, offer: Offer) -> dict[str, Any]:
    if not offer.tools:
        return {}
    if _forced(offer) and not row["forced_tools"]:
        raise InvalidRequest("the model cannot be forced to call a tool", field="tool_choice")
    choice = _choice(offer)
    if generation.parallel_tool_calls is not None and offer.choice != "none":
        one_only = {"disable_parallel_tool_use": not generation.parallel_tool_calls}
        choice = {"type": "auto", **choice, **one_only}
    return {"tools": [_tool(tool) for tool in offer.tools], **({"tool_choice": choice} if choice else {})}


def _choice(offer: Offer) -> dict[str, Any]:
    match offer.choice:
        case NamedToolChoice(name=name):
            tool = offer.named(name)
            return {"type": "tool", "name": name if isinstance(tool, HostedTool) else names.of_tool(tool)}
        case "required":
            return {"type": "any"}
        case str() as choice:
            return {"type": choice}
        case _:
            return {}


def _tool(tool: AnyTool) -> dict[str, Any]:
    """A tool that is to be strict is offered without where it cannot be (adapters/schemas.py)."""
    if isinstance(tool, HostedTool):
        return tool.data
    plain = as_function(tool)
    parameters = plain.parameters or EMPTY_SCHEMA
    strict = strict_schema(parameters, ANTHROPIC) if plain.strict else None
    said: dict[str, Any] = {"name": names.of_tool(tool), "input_schema": strict or parameters}
    if plain.description:
        said["description"] = plain.description
    return {**said, "strict": True} if strict else said


# --- the conversation -------------------------------------------------------------------------------------------


def _messages(items: list[OutputItem], request: ModelRequest) -> list[Turn]:
    blocks = [(role, block) for item in items for role, said in [_said(item, request)] for block in said]
    return turns_of(led_on(_answered(blocks), _is_thought), _place, _text)


def _is_thought(block: Block) -> bool:
    return block["type"] in THINKING


def _is_result(block: Block) -> bool:
    return bool(block["type"] == "tool_result")


def _place(block: Block) -> int:
    """Results stand first in their message, and calls last; what else was said meanwhile stands between."""
    return {"tool_result": 0, "tool_use": 2}.get(block["type"], 1)


def _answered(blocks: list[tuple[str, Block]]) -> list[tuple[str, Block]]:
    """Without the server tools' calls that have no result, which the API refuses; those of the last turn may wait."""
    results = {block.get("tool_use_id") for _, block in blocks}
    last_turn = max((index for index, (role, _) in enumerate(blocks, 1) if role == "user"), default=0)
    return [
        (role, block)
        for index, (role, block) in enumerate(blocks)
        if index >= last_turn or block["type"] not in SERVER_CALLS or block.get("id") in results
    ]


def _said(item: OutputItem, request: ModelRequest) -> tuple[str, list[Block]]:
    """Who says it, and in which blocks: none for what is not said on this wire."""
    match item:
        case MessageItem(origin="agent"):
            return "assistant", _text(item.content)
        case MessageItem():
            return "user", [block for part in parts_of(item) for block in _part(part)]
        case ReasoningItem():
            return "assistant", _thought(item, request)
        case FunctionCallItem():
            return "assistant", [{**_tool_use(item), **caller_of(item, request)}]
        case FunctionCallOutputItem():
            return "user", _tool_result(item)
        case ProviderItem(provider_type=kind, data=data) if kind in SERVER_BLOCKS and isinstance(data, dict):
            return "assistant", [{**data, "type": kind}]
        case _:
            return "user", []


def _text(text: str) -> list[Block]:
    """The API refuses a block of nothing but white space."""
    return [{"type": "text", "text": text}] if text.strip() else []


def _thought(item: ReasoningItem, request: ModelRequest) -> list[Block]:
    redacted = returned(item.opaque, "redacted_thinking", request)
    if redacted is not None:
        return [{"type": "redacted_thinking", "data": redacted}]
    signature = returned(item.opaque, "signature", request)
    return [{"type": "thinking", "thinking": item.content, "signature": signature}] if signature is not None else []


def _tool_use(item: FunctionCallItem) -> Block:
    name = names.of(item.name, item.namespace)
    return {"type": "tool_use", "id": fit_id(item.call_id, CALL_ID, 40), "name": name, "input": arguments_of(item)}


def _tool_result(item: FunctionCallOutputItem) -> list[Block]:
    """The result; beside it, not in it, what is not text where the call failed: there the API takes text only."""
    parts = parts_of(item)
    inside = [block for part in parts if item.success or is_text(part) for block in _part(part)]
    beside = [block for part in parts if not (item.success or is_text(part)) for block in _part(part)]
    result: Block = {"type": "tool_result", "tool_use_id": fit_id(item.call_id, CALL_ID, 40)}
    if inside:
        result["content"] = inside
    if not item.success:
        result["is_error"] = True
    return [result, *beside]


def _began_without_thinking(messages: list[Turn]) -> bool:
    """Is this the middle of a tool loop whose first turn has no thinking in front? Then thinking may not be on."""
    loop = loop_of(messages, _is_result)
    return bool(loop) and loop[0]["type"] not in THINKING


def _part(part: Part) -> list[Block]:
    match part:
        case TextPart():
            return _text(part.text)
        case RefusalPart():
            return _text(part.refusal)
        case ImagePart():
            return [{"type": "image", "source": _image_source(part)}]
        case FilePart():
            title = {"title": part.filename} if part.filename else {}
            return [{"type": "document", "source": _document_source(part), **title}]


# --- the prompt cache ---------------------------------------------------------------------------------------------


def _limited_marks(body: dict[str, Any]) -> dict[str, Any]:
    """The body with no more cache marks than there may be: the last ones, which reach furthest, and the request's own.

    The order of a prompt is tools, system, messages, and those of messages have none here. Nothing given is changed.
    """
    prefix = {key: body[key] for key in ("tools", "system") if isinstance(body.get(key), list)}
    marked = [
        (key, at)
        for key, blocks in prefix.items()
        for at, block in enumerate(blocks)
        if isinstance(block, dict) and "cache_control" in block
    ]
    own = 1 if body.get("cache_control") else 0
    surplus = marked[: max(len(marked) + own - MOST_MARKS, 0)]
    for key, at in surplus:
        blocks = prefix[key] = list(prefix[key])
        blocks[at] = {name: value for name, value in blocks[at].items() if name != "cache_control"}
    return {**body, **prefix}


def _image_source(part: ImagePart) -> Block:
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    if not part.url:
        raise InvalidRequest("an image needs a url or a file_id", field="input.parts.url")
    if not part.url.startswith("data:"):
        return {"type": "url", "url": part.url}
    media_type, data = split_data_url(part.url, "input.parts.url")
    return {"type": "base64", "media_type": media_type, "data": data}


def _document_source(part: FilePart) -> Block:
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    if part.url:
        return {"type": "url", "url": part.url}
    media_type, data = split_data_url(part.data or "", "input.parts.data")
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": data}
    if not media_type.startswith("text/"):
        raise InvalidRequest(f"a file of type {media_type} cannot be sent; PDF and text can", field="input.parts.data")
    try:
        text = b64decode(data, validate=True).decode()
    except ValueError as error:
        raise InvalidRequest("a text file must be base64 of UTF-8", field="input.parts.data") from error
    return {"type": "text", "media_type": "text/plain", "data": text}
