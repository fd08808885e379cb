"""The canonical request in the words of Bedrock's Converse: `POST {base_url}/model/{model}/converse-stream`, or
`/converse` where it is not to be streamed.

Roles alternate, and what follows in one role is one message, so that the results of parallel calls stand in one turn.
Reasoning goes back in its place, byte for byte where it is signed by this very model, and else not at all.

What is added because the API refuses the request otherwise: turns at either end (adapters/turns.py), a tool that is
none where the history has calls and none are offered, and a text beside a document. What a model has of its own goes
into `additionalModelRequestFields`.

Tools are functions with flat names (adapters/tools.py). A limit of tool calls is the caller's to keep, and a prompt
cache needs no key: both are left unsaid. That none of the tools may be called is said by not offering any. The user
stands in the request's metadata, for the account's own logs. Parameters:
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tailrace.adapters.base import Quirks
from tailrace.adapters.bedrock_converse.quirks import DEFAULTS, MODELS
from tailrace.adapters.canonical import (
    EMPTY_SCHEMA,
    answer,
    arguments_of,
    fields,
    fit_id,
    fitted,
    head,
    look_up,
    parts_of,
    refuse,
    refuse_one_at_a_time,
    returned,
    schema_of,
    split_data_url,
    with_extra,
)
from tailrace.adapters.claude import effort_word, max_tokens_of, sampling_of, thinking_of
from tailrace.adapters.effort import budget_of, effort_of
from tailrace.adapters.schemas import ANTHROPIC, strict_schema
from tailrace.adapters.tools import Offer, ToolNames, as_function, narrowed, offer_of
from tailrace.adapters.turns import Block, Turn, led_on, loop_of, turns_of
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
    ProviderItem,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from tailrace.schema.request import AnyTool, Generation, HostedTool, ModelRequest, NamedToolChoice, OutputFormat

NAME = "bedrock-converse"
names = ToolNames(limit=64, flat=True)
callees = names.callees

CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
ODD = re.compile(r"[^a-zA-Z0-9\s:_@$#=/+,.-]")  # in the request's metadata
MOST_METADATA = 256
NO_TOOLS: Block = {
    "toolSpec": {
        "name": "__no_tools__",
        "description": "There are no tools any more. Never call this.",
        "inputSchema": {"json": EMPTY_SCHEMA},
    }
}
CLAUDE = frozenset({"budget", "adaptive"})  # its ways of thinking
SAMPLING = {"temperature": "temperature", "top_p": "topP"}
DOCUMENT_ALONE = "(See the document.)"
TIERS = {
    "default": "default",
    "standard_only": "default",
    "flex": "flex",
    "priority": "priority",
    "reserved": "reserved",
}
NOVA_EFFORTS = {"minimal": "low", "xhigh": "high"}  # the others are its own words

IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS = {
    "application/pdf": "pdf",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
}
# The provider's own blocks, which it wants back in the assistant's turn, and what they cannot be without.
OWN_BLOCKS: dict[str, frozenset[str]] = {
    "toolUse": frozenset({"toolUseId", "name", "input"}),
    "toolResult": frozenset({"toolUseId", "content"}),
    **dict.fromkeys(("image", "audio", "video", "searchResult"), frozenset()),
}


def path(model_id: str, stream: bool) -> str:  # as Wire.path has it
    """The path of a model, whose name may be an ARN with colons and slashes."""
    return f"/model/{quote(model_id, safe='')}/{'converse-stream' if stream else 'converse'}"


def build(request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    """The body. Raises InvalidRequest, naming the field, for what the wire, or the model, cannot say."""
    row = look_up(request.model_id, DEFAULTS, MODELS, quirks)
    request, generation = fitted(request, row), request.generation
    refuse(generation, "seed", "frequency_penalty", "presence_penalty", "top_logprobs", "verbosity")
    refuse(generation, "reasoning_summary", why="the provider's summaries have one length only: ask for auto")
    refuse_one_at_a_time(generation)
    offer = narrowed(offer_of(generation, NAME, names))
    system, items = head(request)
    messages = _messages(items, request, row)
    body: dict[str, Any] = {
        "messages": messages,
        **_inference(generation, row, offer, messages),
        **_tools(row, offer, messages),
        **_format(generation.output_format),
        **_tier(generation),
        **_metadata(generation),
    }
    if system:
        body["system"] = [{"text": system}]
    return with_extra(body, generation, NAME)


# --- how to answer ----------------------------------------------------------------------------------------------


def _inference(generation: Generation, row: Quirks, offer: Offer, messages: list[Turn]) -> dict[str, Any]:
    """How to think and to sample: in the wire's own words, and in the model's where it has none."""
    own = _thinking(generation, row, offer, messages)
    sampling = _sampling(generation, row, own)
    config = fields(generation, max_output_tokens="maxTokens", stop="stopSequences")
    if "budget_tokens" in own.get("thinking", {}):
        config["maxTokens"] = max_tokens_of(generation, row, own)
    config |= {SAMPLING[name]: value for name, value in sampling.items() if name in SAMPLING}
    if "top_k" in sampling:
        own |= _at_path(row["top_k"], sampling["top_k"])
    return {
        **({"inferenceConfig": config} if config else {}),
        **({"additionalModelRequestFields": own} if own else {}),
    }


def _sampling(generation: Generation, row: Quirks, own: dict[str, Any]) -> dict[str, float]:
    if row["thinking"] in CLAUDE:
        return sampling_of(generation, row, own)
    asked = fields(generation, temperature="temperature", top_p="top_p", top_k="top_k")
    if asked.get("temperature", 0) > 1:
        raise InvalidRequest("the provider's temperatures end at 1", field="temperature")
    return asked


def _at_path(path_: str, value: object) -> dict[str, Any]:
    """`{"a": {"b": value}}` for the path `a.b`."""
    if not path_:
        raise InvalidRequest("the model takes no top_k", field="top_k")
    first, _, rest = path_.partition(".")
    return {first: _at_path(rest, value) if rest else value}


def _thinking(generation: Generation, row: Quirks, offer: Offer, messages: list[Turn]) -> dict[str, Any]:
    if row["thinking"] in CLAUDE:
        own = thinking_of(generation, row, forced=_forced(offer), lost=_began_without_thinking(messages))
        effort = effort_word(generation, row, own)
        return {**own, "output_config": {"effort": effort}} if effort else own
    effort = effort_of(generation)
    if effort is None or (budget_of(generation) == 0 and row["thinking"] != "effort"):
        return {}
    if row["thinking"] == "nova":
        return _nova_thinking(generation, NOVA_EFFORTS.get(effort, effort))
    if row["thinking"] == "effort" and effort != "none":
        return {"reasoning_effort": {"minimal": "low", "xhigh": row["xhigh"]}.get(effort, effort)}
    field = "reasoning_effort" if generation.reasoning_effort else "thinking_budget"
    raise InvalidRequest("the model cannot be told how to think", field=field)


def _nova_thinking(generation: Generation, effort: str) -> dict[str, Any]:
    """The greatest effort has no limit, and sampling of its own."""
    for name in ("max_output_tokens", "temperature", "top_p"):
        if effort == "high" and getattr(generation, name) is not None:
            raise InvalidRequest(f"the model takes no {name} with its greatest effort", field=name)
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}


def _forced(offer: Offer) -> bool:
    return offer.choice == "required" or isinstance(offer.choice, NamedToolChoice)


def _began_without_thinking(messages: list[Turn]) -> bool:
    """Is this the middle of a tool loop whose first turn has no thinking in front? Then thinking may not be on."""
    loop = loop_of(messages, _is_result)
    return bool(loop) and "reasoningContent" not in loop[0]


def _format(wanted: OutputFormat | None) -> dict[str, Any]:
    if wanted is None:
        return {}
    if wanted.type == "json_object":
        raise InvalidRequest("the provider takes a JSON schema only: give one", field="output_format")
    schema = schema_of(wanted)
    said = {"schema": codec.encode(strict_schema(schema, ANTHROPIC) or schema).decode()}
    said |= {key: value for key, value in (("name", wanted.name), ("description", wanted.description)) if value}
    return {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": said}}}}


def _tier(generation: Generation) -> dict[str, Any]:
    tier = generation.service_tier
    if tier is None or tier == "auto":
        return {}
    if tier not in TIERS:
        raise InvalidRequest(f"the provider has no tier {tier!r}", field="service_tier")
    return {"serviceTier": {"type": TIERS[tier]}}


def _metadata(generation: Generation) -> dict[str, Any]:
    """The user, as far as the API's characters go: clients put JSON there, and it is only to be found again."""
    if not generation.user:
        return {}
    return {"requestMetadata": {"user": ODD.sub("_", generation.user)[:MOST_METADATA]}}


def _tools(row: Quirks, offer: Offer, messages: list[Turn]) -> dict[str, Any]:
    tools = [] if offer.choice == "none" else [_tool(tool) for tool in offer.tools]
    if not tools:
        has_any = any("toolUse" in block or "toolResult" in block for turn in messages for block in turn["content"])
        return {"toolConfig": {"tools": [NO_TOOLS]}} if has_any else {}
    if not _forced(offer):  # that it may choose is what every model does anyway
        return {"toolConfig": {"tools": tools}}
    if not row["forced_tools"]:
        raise InvalidRequest("the model cannot be forced to call a tool", field="tool_choice")
    choice: Block = {"any": {}}
    if isinstance(offer.choice, NamedToolChoice):
        tool = offer.named(offer.choice.name)
        choice = {"tool": {"name": offer.choice.name if isinstance(tool, HostedTool) else names.of_tool(tool)}}
    return {"toolConfig": {"tools": tools, "toolChoice": choice}}


def _tool(tool: AnyTool) -> Block:
    """A tool that is to be strict is offered without where it cannot be (adapters/schemas.py)."""
    if isinstance(tool, HostedTool):
        return tool.data
    plain = as_function(tool)
    parameters = plain.parameters or EMPTY_SCHEMA
    strict = strict_schema(parameters, ANTHROPIC) if plain.strict else None
    said: Block = {"name": names.of_tool(tool), "inputSchema": {"json": strict or parameters}}
    if plain.description:
        said["description"] = plain.description
    return {"toolSpec": {**said, "strict": True} if strict else said}


# --- the conversation -------------------------------------------------------------------------------------------


def _messages(items: list[OutputItem], request: ModelRequest, row: Quirks) -> list[Turn]:
    blocks = [(role, block) for item in items for role, said in [_said(item, request, row)] for block in said]
    turns = turns_of(led_on(_answered(blocks), _is_thought), _place, _text)
    for turn in turns:
        if any("document" in block for block in turn["content"]) and not any("text" in b for b in turn["content"]):
            turn["content"].append({"text": DOCUMENT_ALONE})
    _tell_documents_apart(turns)
    return turns


def _place(block: Block) -> int:
    """Results stand first in their turn, and calls last; what else was said meanwhile stands between.

    What has a type is the provider's own, and stays where it was.
    """
    if "toolResult" in block and "type" not in block["toolResult"]:
        return 0
    return 2 if "toolUse" in block and "type" not in block["toolUse"] else 1


def _is_result(block: Block) -> bool:
    return "toolResult" in block


def _is_thought(block: Block) -> bool:
    return "reasoningContent" in block


def _answered(blocks: list[tuple[str, Block]]) -> Iterator[tuple[str, Block]]:
    """Without the provider's own calls that have no result, which the API refuses."""
    results = {block["toolResult"].get("toolUseId") for _, block in blocks if "toolResult" in block}
    for role, block in blocks:
        use = block.get("toolUse", {})
        if not use.get("type") or use.get("toolUseId") in results:
            yield role, block


def _tell_documents_apart(turns: list[Turn]) -> None:
    """The API refuses two documents of one name."""
    seen: dict[str, int] = {}
    for block in (block for turn in turns if turn["role"] == "user" for block in turn["content"]):
        for inner in (block, *block.get("toolResult", {}).get("content", ())):
            if "document" in inner:
                name = inner["document"]["name"]
                seen[name] = seen.get(name, 0) + 1
                if seen[name] > 1:
                    inner["document"]["name"] = f"{name} ({seen[name]})"


def _said(item: OutputItem, request: ModelRequest, row: Quirks) -> tuple[str, list[Block]]:
    """Who says it, and in which blocks: none for what is not said on this wire."""
    match item:
        case MessageItem(origin="agent"):
            return "assistant", _text(item.content)
        case MessageItem():
            return "user", [block for part in parts_of(item) for block in _part(part)]
        case ReasoningItem():
            return "assistant", _thought(item, request)
        case FunctionCallItem():
            return "assistant", [_tool_use(item)]
        case FunctionCallOutputItem():
            return "user", [_tool_result(item, row)]
        case ProviderItem(provider_type=kind, data=data) if kind in OWN_BLOCKS and isinstance(data, dict):
            return "assistant", [data] if data.keys() == {kind} and _is_own(kind, data[kind]) else []
        case _:
            return "user", []


def _is_own(kind: str, said: Any) -> bool:
    return isinstance(said, dict) and said.keys() >= OWN_BLOCKS[kind]


def _text(text: str) -> list[Block]:
    """The API refuses a block of nothing but white space."""
    return [{"text": text}] if text.strip() else []


def _thought(item: ReasoningItem, request: ModelRequest) -> list[Block]:
    redacted = returned(item.opaque, "redacted_content", request)
    if redacted is not None:
        return [{"reasoningContent": {"redactedContent": redacted}}]
    signature = returned(item.opaque, "reasoning_signature", request)
    if signature is None:
        return []
    return [{"reasoningContent": {"reasoningText": {"text": item.content, "signature": signature}}}]


def _tool_use(item: FunctionCallItem) -> Block:
    name = names.of(item.name, item.namespace)
    return {"toolUse": {"toolUseId": fit_id(item.call_id, CALL_ID, 40), "name": name, "input": arguments_of(item)}}


def _tool_result(item: FunctionCallOutputItem, row: Quirks) -> Block:
    parts = parts_of(item) if row["result_status"] else answer(item)
    content = [block for part in parts for block in _part(part)]
    result: Block = {"toolUseId": fit_id(item.call_id, CALL_ID, 40), "content": content or [{"text": "(nothing)"}]}
    if row["result_status"]:
        result["status"] = "success" if item.success else "error"
    return {"toolResult": result}


def _part(part: Part) -> list[Block]:
    match part:
        case TextPart():
            return _text(part.text)
        case RefusalPart():
            return _text(part.refusal)
        case ImagePart():
            return [{"image": _image(part)}]
        case FilePart():
            return [{"document": _document(part)}]


def _image(part: ImagePart) -> Block:
    """By value, or where it lies in S3; then its name must say what it is."""
    url = part.url or ""
    if url.startswith("s3://"):
        media_type = f"image/{url.rpartition('.')[2].lower().replace('jpg', 'jpeg')}"
        source: Block = {"s3Location": {"uri": url}}
    elif url.startswith("data:"):
        media_type, data = split_data_url(url, "input.parts.url")
        source = {"bytes": data}
    else:
        raise InvalidRequest("the provider takes images as data URLs, or by an s3 address", field="input.parts.url")
    if media_type not in IMAGES:
        raise InvalidRequest(f"an image of type {media_type} cannot be sent", field="input.parts.url")
    return {"format": IMAGES[media_type], "source": source}


def _document(part: FilePart) -> Block:
    """By value. Its name may have few characters; the model reads it, and so should not be led by it."""
    media_type, data = split_data_url(part.data or "", "input.parts.data")
    form = DOCUMENTS.get(media_type) or ("txt" if media_type.startswith("text/") else None)
    if form is None:
        raise InvalidRequest(f"a file of type {media_type} cannot be sent", field="input.parts.data")
    stem = (part.filename or "").rpartition(".")[0] or part.filename or ""
    name = " ".join(re.sub(r"[^a-zA-Z0-9()\[\] -]", " ", stem).split())[:180].strip()
    return {"format": form, "name": name or "document", "source": {"bytes": data}}
