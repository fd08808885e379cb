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
from collections.abc import Iterator
from itertools import groupby, takewhile
from operator import itemgetter
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
    is_text,
    look_up,
    parts_of,
    refuse,
    returned,
    schema_of,
    split_data_url,
    with_extra,
)
from tailrace.adapters.effort import LEAST_BUDGET, budget_of, effort_of
from tailrace.adapters.schemas import ANTHROPIC, strict_schema
from tailrace.adapters.tools import Offer, ToolNames, as_function, narrowed, offer_of
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

Block = dict[str, Any]

NAME = "anthropic-messages"
PATH = "/v1/messages"
HEADERS = {"anthropic-version": "2023-06-01"}
names = ToolNames(limit=128, flat=True)
callees = names.callees

CONTINUE = "Continue."
BEGIN = "(The conversation begins here.)"
CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
THINKING = frozenset({"thinking", "redacted_thinking"})
LEAST_TOP_P = 0.95  # with thinking
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
    system, items = _head(request)
    messages = _messages(items, request)
    thinking = _thinking(generation, row, offer, lost=_began_without_thinking(messages))
    body: dict[str, Any] = {
        "model": request.model_id,
        "max_tokens": _max_tokens(generation, row, thinking),
        "messages": messages,
        "stream": request.stream,
        **thinking,
        **_output(generation, row, thinking),
        **_tools(generation, row, offer),
        **_sampling(generation, row, thinking),
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


def _thinking(generation: Generation, row: Quirks, offer: Offer, *, lost: bool) -> dict[str, Any]:
    """`thinking`: nothing where nothing was asked."""
    budget = budget_of(generation)
    if budget == 0 or (_forced(offer) and row["thinking_off"]):
        return _no_thinking(generation, row)
    if budget is None or _forced(offer):
        return {}
    if row["thinking"] == "adaptive":
        return {"thinking": {"type": "adaptive", "display": "summarized"}}
    return {} if lost else {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _no_thinking(generation: Generation, row: Quirks) -> dict[str, Any]:
    off = row["thinking_off"]
    if not off:
        field = "reasoning_effort" if generation.reasoning_effort else "thinking_budget"
        raise InvalidRequest("the model always thinks", field=field)
    return {} if off == "omit" else {"thinking": {"type": off}}


def _is_on(thinking: dict[str, Any]) -> bool:
    return thinking.get("thinking", {}).get("type") in {"enabled", "adaptive"}


def _output(generation: Generation, row: Quirks, thinking: dict[str, Any]) -> dict[str, Any]:
    """The effort, where thinking goes by it, and the form of the answer."""
    config: dict[str, Any] = {}
    if thinking.get("thinking", {}).get("type") == "adaptive":
        effort = str(effort_of(generation))
        config["effort"] = {"minimal": "low", "xhigh": row["xhigh"]}.get(effort, effort)
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


def _max_tokens(generation: Generation, row: Quirks, thinking: dict[str, Any]) -> int:
    """As asked, but always with room for an answer beside the budget, which counts towards it."""
    asked = int(generation.max_output_tokens or row["max_tokens"])
    budget = thinking.get("thinking", {}).get("budget_tokens", 0)
    return max(asked, budget + LEAST_BUDGET) if budget else asked


def _sampling(generation: Generation, row: Quirks, thinking: dict[str, Any]) -> dict[str, float]:
    """What is not what the API does anyway; with thinking it takes only a `top_p` close to 1.

    Raises InvalidRequest for what the model, or thinking, does not allow.
    """
    asked = fields(generation, temperature="temperature", top_p="top_p", top_k="top_k")
    asked = {name: value for name, value in asked.items() if name == "top_k" or value != 1}
    for name, value in asked.items():
        if not row["sampling"]:
            raise InvalidRequest(f"the model takes no {name}", field=name)
        if _is_on(thinking) and not (name == "top_p" and value >= LEAST_TOP_P):
            raise InvalidRequest(f"the provider does not take this {name} with thinking", field=name)
    if asked.get("temperature", 0) > 1:
        raise InvalidRequest("the provider's temperatures end at 1", field="temperature")
    return asked


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


def _head(request: ModelRequest) -> tuple[str, list[OutputItem]]:
    """The system prompt: the instructions and the system's messages before anyone has spoken; and the other items."""
    first = list(takewhile(lambda item: isinstance(item, MessageItem) and item.origin == "system", request.items))
    lines = [request.generation.instructions or "", *(item.content for item in first if isinstance(item, MessageItem))]
    return "\n\n".join(line for line in lines if line.strip()), request.items[len(first) :]


def _messages(items: list[OutputItem], request: ModelRequest) -> list[dict[str, Any]]:
    blocks = [(role, block) for item in items for role, said in [_said(item, request)] for block in said]
    messages: list[dict[str, Any]] = []
    for role, group in groupby(_led_on(_answered(blocks)), key=itemgetter(0)):
        messages.append({"role": role, "content": sorted((block for _, block in group), key=_place)})
    if messages and messages[-1]["role"] == "assistant" and messages[-1]["content"][-1]["type"] == "text":
        messages.append({"role": "user", "content": _text(CONTINUE)})
    if messages and messages[0]["role"] == "assistant":  # the API wants the user to begin
        messages.insert(0, {"role": "user", "content": _text(BEGIN)})
    return messages


def _place(block: Block) -> int:
    """Results stand first in their message, and calls last; what else was said meanwhile stands between."""
    return {"tool_result": 0, "tool_use": 2}.get(block["type"], 1)


def _led_on(blocks: list[tuple[str, Block]]) -> list[tuple[str, Block]]:
    """Without the thinking that no other block of its turn came after: the API refuses it."""
    kept: list[tuple[str, Block]] = []
    has_led_on = False
    for role, block in reversed(blocks):
        is_thought = block["type"] in THINKING
        if not is_thought or has_led_on:
            kept.append((role, block))
        if not is_thought:
            has_led_on = role == "assistant"
    return kept[::-1]


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


def _began_without_thinking(messages: list[dict[str, Any]]) -> bool:
    """Is this the middle of a tool loop whose first turn has no thinking in front? Then thinking may not be on."""
    loop: list[Block] = []
    for message in messages:
        if message["role"] == "assistant":
            loop.extend(message["content"])
        elif any(block["type"] != "tool_result" for block in message["content"]):
            loop = []
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

    The order of a prompt is tools, system, messages. Nothing given is changed.
    """
    own = 1 if body.get("cache_control") else 0
    surplus = sum("cache_control" in block for block in _cacheable(body)) - (MOST_MARKS - own)
    if surplus <= 0:
        return body
    limited = dict(body)
    for key in ("tools", "system"):
        blocks = limited.get(key)
        if not isinstance(blocks, list):
            continue
        kept = []
        for block in blocks:
            is_over = surplus > 0 and "cache_control" in block
            surplus -= is_over
            kept.append({name: value for name, value in block.items() if not is_over or name != "cache_control"})
        limited[key] = kept
    return limited


def _cacheable(body: dict[str, Any]) -> Iterator[Block]:
    """The tools and the system's blocks: what stands in messages has no marks of its own here."""
    for key in ("tools", "system"):
        blocks = body.get(key)
        yield from (block for block in blocks if isinstance(block, dict)) if isinstance(blocks, list) else ()


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
