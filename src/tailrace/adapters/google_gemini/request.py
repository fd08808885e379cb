"""The canonical request in the words of Gemini: `POST {base_url}/models/{model}:streamGenerateContent`.

The model, and whether to stream, stand in the address. Roles alternate, so that what follows in one role is one turn;
only the responses to a turn's calls have a turn to themselves, right behind it, all in one, and what the user says next
has another. Thought signatures go back on the part they came on, and only to this very model (signatures.py). Where a
model wants one and there is none, as after a change of model, UNSIGNED stands for it.

Three things are said in other ways: a conversation that ends with the model is followed by CONTINUE, one that begins
with it has BEGIN before it, and that only one call may be made at a time is an instruction, ONE_CALL.

A provider's own parts go back as they came where this wire knows their kind. They carry no provider, so that history
has left out those of other providers (`runs.history`); the kind tells the wire.

Tools are functions with flat names (adapters/tools.py), their schemas in Gemini's subset (schema.py); strictness it has
no word for. A limit of tool calls is the caller's to keep, a cache needs no key, and who the user is changes no answer:
these are left unsaid. The request's parameters: https://ai.google.dev/api/generate-content.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import (
    arguments_of,
    fields,
    head,
    is_text,
    look_up,
    parts_of,
    refuse,
    returned,
    schema_of,
    split_data_url,
    text_of,
    with_extra,
)
from tailrace.adapters.google_gemini.quirks import DEFAULTS, MODELS
from tailrace.adapters.google_gemini.schema import google_schema
from tailrace.adapters.google_gemini.signatures import part_of, signed_parts
from tailrace.adapters.google_gemini.thinking import thinking_config
from tailrace.adapters.tools import Offer, ToolNames, as_function, narrowed, offer_of
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import (
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    Opaque,
    OutputItem,
    Part,
    ProviderItem,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from tailrace.schema.request import (
    AllowedTools,
    AnyTool,
    CustomTool,
    Generation,
    HostedTool,
    ModelRequest,
    NamedToolChoice,
    OutputFormat,
    Tool,
)

Json = dict[str, Any]

NAME = "google-gemini"
names = ToolNames(limit=64, flat=True, lettered=True)
callees = names.callees

CONTINUE = "Continue."
BEGIN = "(The conversation begins here.)"
ONE_CALL = "Call at most one function at a time, and wait for its response."
UNSIGNED = "skip_thought_signature_validator"  # https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
TIERS = {"default": "standard", "standard_only": "standard", "flex": "flex", "priority": "priority"}
TIER_HEADER = "X-Vertex-AI-LLM-Shared-Request-Type"
# The provider's own parts, which it wants back in the model's turn.
OWN_PARTS = frozenset({
    "audioTranscription", "codeExecutionResult", "executableCode", "fileData", "inlineData", "toolCall", "toolResponse",
})  # fmt: skip
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]{4})*(?:[A-Za-z0-9+/_-]{2}(?:==)?|[A-Za-z0-9+/_-]{3}=?)?")
# The kinds of files that an address is most often of; the API wants to be told.
_KINDS = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "heic": "image/heic", "heif": "image/heif", "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown",
    "html": "text/html", "csv": "text/csv", "json": "application/json", "mp4": "video/mp4", "mp3": "audio/mp3",
    "wav": "audio/wav",
}  # fmt: skip


def path(model_id: str, stream: bool) -> str:
    """What the model's name adds to the base URL; the stream's form is server-sent events."""
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/models/{quote(model_id, safe='')}:{method}"


def build(request: ModelRequest, quirks: Quirks) -> Json:
    """The body. Raises InvalidRequest, naming the field, for what the wire cannot say."""
    row = look_up(request.model_id, DEFAULTS, MODELS, quirks)
    generation = request.generation
    refuse(generation, "verbosity")
    refuse(generation, "reasoning_summary", why="the provider's summaries have one length only: ask for auto")
    system, items = head(request)
    if generation.tools and generation.parallel_tool_calls is False:
        system = f"{system}\n\n{ONE_CALL}" if system else ONE_CALL
    config = {**_sampling(generation), **thinking_config(generation, row), **_format(generation.output_format)}
    body: Json = {
        "contents": _Conversation(request, row).contents(items),
        **({"systemInstruction": {"parts": [{"text": system}]}} if system else {}),
        **_tools(generation),
        **({"generationConfig": config} if config else {}),
        **_tier(generation, row),
    }
    return with_extra(body, generation, NAME)


def own_headers(request: ModelRequest, quirks: Quirks) -> dict[str, str]:
    """The service tier, where the host takes it in a header; the standard one needs no word."""
    row = look_up(request.model_id, DEFAULTS, MODELS, quirks)
    tier = TIERS.get(request.generation.service_tier or "", "standard")
    return {TIER_HEADER: tier} if row["service_tier"] == "header" and tier != "standard" else {}


# --- how to answer ----------------------------------------------------------------------------------------------


def _sampling(generation: Generation) -> Json:
    said = fields(
        generation,
        max_output_tokens="maxOutputTokens",
        temperature="temperature",
        top_p="topP",
        top_k="topK",
        stop="stopSequences",
        seed="seed",
        frequency_penalty="frequencyPenalty",
        presence_penalty="presencePenalty",
    )
    if generation.top_logprobs is not None:
        said |= {"responseLogprobs": True, **({"logprobs": generation.top_logprobs} if generation.top_logprobs else {})}
    return said


def _format(wanted: OutputFormat | None) -> Json:
    """The wire has no name and no description beside the schema: the description stands in it."""
    if wanted is None:
        return {}
    said = {"responseMimeType": "application/json"}
    if wanted.type == "json_object":
        return said
    schema = schema_of(wanted)
    if wanted.description and "description" not in schema:
        schema = {**schema, "description": wanted.description}
    return {**said, "responseJsonSchema": google_schema(schema)}


def _tier(generation: Generation, row: Quirks) -> Json:
    tier = generation.service_tier
    if tier in (None, "auto"):
        return {}
    if tier not in TIERS or (row["service_tier"] == "no" and TIERS[tier] != "standard"):
        raise InvalidRequest(f"the provider has no tier {tier!r}", field="service_tier")
    return {"serviceTier": TIERS[tier]} if row["service_tier"] == "body" else {}


def _tools(generation: Generation) -> Json:
    """Functions stand together, where the first of them does."""
    offer = _offer(generation)
    functions = [_function(tool) for tool in offer.tools if not isinstance(tool, HostedTool)]
    said: list[Json] = []
    for tool in offer.tools:
        if isinstance(tool, HostedTool):
            said.append(tool.data)
        elif {"functionDeclarations": functions} not in said:
            said.append({"functionDeclarations": functions})
    choice = _choice(offer)
    return {
        **({"tools": said} if said else {}),
        **({"toolConfig": {"functionCallingConfig": choice}} if choice else {}),
    }


def _offer(generation: Generation) -> Offer:
    """Which functions must be called the wire can say; which may be, it is shown no others than those."""
    offer = offer_of(generation, NAME, names)
    choice = offer.choice
    if isinstance(choice, AllowedTools) and choice.mode == "required":
        allowed = offer.allowed(choice)
        if allowed and not any(isinstance(tool, HostedTool) for tool in allowed):
            return offer
    return narrowed(offer)


def _choice(offer: Offer) -> Json:
    match offer.choice:
        case NamedToolChoice(name=name):
            return {"mode": "ANY", "allowedFunctionNames": [_name(offer.named(name))]}
        case AllowedTools() as choice:
            return {"mode": "ANY", "allowedFunctionNames": [_name(tool) for tool in offer.allowed(choice)]}
        case "required":
            return {"mode": "ANY"}
        case str() as choice:
            return {"mode": choice.upper()}
        case _:
            return {}


def _name(tool: AnyTool) -> str:
    if isinstance(tool, HostedTool):
        raise InvalidRequest("the provider cannot be made to use a tool of its own", field="tool_choice")
    return names.of_tool(tool)


def _function(tool: Tool | CustomTool) -> Json:
    plain = as_function(tool)
    said: Json = {"name": names.of_tool(tool)}
    if plain.description:
        said["description"] = plain.description
    return {**said, "parametersJsonSchema": google_schema(plain.parameters)} if plain.parameters else said


# --- the conversation -------------------------------------------------------------------------------------------


class _Conversation:
    """Turns items into turns; it knows the calls by id, and the signatures by the place of their part."""

    def __init__(self, request: ModelRequest, row: Quirks) -> None:
        self._request = request
        self._row = row
        self._calls = {item.call_id: item for item in request.items if isinstance(item, FunctionCallItem)}
        self._signatures: dict[int, str] = {}

    def contents(self, items: Sequence[OutputItem]) -> list[Json]:
        """The turns, in order."""
        self._signatures = signed_parts(items, self._returned)
        turns: list[tuple[str, list[Json]]] = []
        for speaker, parts in (said for at, item in enumerate(items) for said in self._said(at, item)):
            if not turns or turns[-1][0] != speaker:
                turns.append((speaker, []))
            turns[-1][1].extend(parts)
        turns = _answered(turns)
        if turns and turns[-1][0] == "model":
            turns.append(("user", [{"text": CONTINUE}]))
        if turns and turns[0][0] != "user":  # the API wants the user to begin
            turns.insert(0, ("user", [{"text": BEGIN}]))
        return [{"role": "model" if who == "model" else "user", "parts": self._signed(parts)} for who, parts in turns]

    def _said(self, at: int, item: OutputItem) -> Iterator[tuple[str, list[Json]]]:
        """Who says it (`model`, `user`, `tool`), and in which parts; nothing for what is not said on this wire."""
        match item:
            case MessageItem():
                speaker = "model" if item.origin == "agent" else "user"
                parts = [said for part in parts_of(item) for said in _part(part)]
                if parts and item.opaque is not None and (signature := self._returned(item.opaque)) is not None:
                    parts[-1] = {**parts[-1], "thoughtSignature": signature}
                yield from [(speaker, parts)] if parts else []
            case ReasoningItem():
                yield from self._thought(item)
            case FunctionCallItem():
                yield "model", [{"functionCall": self._call(item), **self._signature(at)}]
            case FunctionCallOutputItem():
                yield from self._output(item)
            case ProviderItem(provider_type=kind, data=data) if kind in OWN_PARTS and isinstance(data, dict):
                yield "model", [{**data, **self._signature(at)}]
            case _:
                return

    def _returned(self, opaque: Opaque) -> str | None:
        """A signature, only where it is this very model's; one that is no base64 would cost the request."""
        data = returned(opaque, opaque.kind, self._request) if part_of(opaque.kind) else None
        return data if data and _BASE64.fullmatch(data) else None

    def _thought(self, item: ReasoningItem) -> Iterator[tuple[str, list[Json]]]:
        """Thoughts go back only with a signature of theirs; that of another part stands there."""
        if item.opaque is None or (signature := self._returned(item.opaque)) is None:
            return
        part = part_of(item.opaque.kind)
        if part == "thought":
            yield "model", [{"text": item.content, "thought": True, "thoughtSignature": signature}]
        elif part == "text":
            yield "model", [{"text": "", "thoughtSignature": signature}]

    def _signature(self, at: int) -> Json:
        return {"thoughtSignature": self._signatures[at]} if at in self._signatures else {}

    def _call(self, item: FunctionCallItem) -> Json:
        return {**self._id(item.call_id), "name": names.of(item.name, item.namespace), "args": arguments_of(item)}

    def _id(self, call_id: str) -> Json:
        return {"id": call_id} if self._row["call_ids"] else {}

    def _output(self, item: FunctionCallOutputItem) -> Iterator[tuple[str, list[Json]]]:
        """The response, with its pictures in it or behind it; one that has no call has no name to be said under."""
        call = self._calls.get(item.call_id)
        if call is None:
            return
        parts = parts_of(item)
        shown = [said for part in parts if not is_text(part) for said in _part(part)]
        response: Json = {
            **self._id(item.call_id),
            "name": names.of(call.name, call.namespace),
            "response": {"output" if item.success else "error": text_of(parts)},
        }
        if shown and self._row["response_parts"]:
            response["parts"] = shown
        yield "tool", [{"functionResponse": response}]
        if shown and not self._row["response_parts"]:
            yield "user", shown

    def _signed(self, parts: Sequence[Json]) -> list[Json]:
        """The first of a turn's calls must be signed where the model wants signatures."""
        first = next((at for at, part in enumerate(parts) if "functionCall" in part), None)
        if first is None or not self._row["signed_calls"] or "thoughtSignature" in parts[first]:
            return list(parts)
        return [{**part, "thoughtSignature": UNSIGNED} if at == first else part for at, part in enumerate(parts)]


def _answered(turns: Sequence[tuple[str, list[Json]]]) -> list[tuple[str, list[Json]]]:
    """All responses of a turn's calls in one turn; what the user is shown or says meanwhile comes behind them."""
    kept: list[tuple[str, list[Json]]] = []
    meanwhile: list[Json] = []
    for speaker, parts in turns:
        if speaker == "user":
            meanwhile.extend(parts)
        elif speaker == "tool" and kept and kept[-1][0] == "tool":
            kept[-1][1].extend(parts)
        elif speaker == "tool":
            kept.append((speaker, list(parts)))
        else:
            kept += [("user", meanwhile)] if meanwhile else []
            kept.append((speaker, parts))
            meanwhile = []
    return [*kept, ("user", meanwhile)] if meanwhile else kept


def _part(part: Part) -> list[Json]:
    match part:
        case TextPart(text=text) | RefusalPart(refusal=text):
            return [{"text": text}] if text.strip() else []
        case ImagePart():
            return [_file(part.url, part.file_id, "input.parts.url")]
        case FilePart():
            return [_file(part.data or part.url, part.file_id, "input.parts.data", part.filename)]


def _file(url: str | None, file_id: str | None, field: str, name: str | None = None) -> Json:
    """A file by its content, its address, or the address under which it was uploaded."""
    if url and url.startswith("data:"):
        kind, data = split_data_url(url, field)
        return {"inlineData": {"mimeType": kind, "data": data}}
    address = file_id or url
    if not address or (url and "://" not in url):
        raise InvalidRequest("a data URL, an address or a file_id is needed", field=field)
    ending = (name or address.partition("?")[0]).rpartition(".")[2].lower()
    kind_said = {"mimeType": _KINDS[ending]} if ending in _KINDS else {}
    return {"fileData": {**kind_said, "fileUri": address}}
