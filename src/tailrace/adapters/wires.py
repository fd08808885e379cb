"""The wires that Tailrace speaks to providers: for each, how a request is said and how the answer is heard."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from tailrace.adapters.answer_quirks import ANSWERS
from tailrace.adapters.anthropic_messages import quirks as anthropic_quirks
from tailrace.adapters.anthropic_messages import request as anthropic_request
from tailrace.adapters.anthropic_messages.decode import MessagesDecoder
from tailrace.adapters.base import Quirks, Wire, fixed
from tailrace.adapters.bedrock_converse import quirks as bedrock_quirks
from tailrace.adapters.bedrock_converse import request as bedrock_request
from tailrace.adapters.bedrock_converse.decode import ConverseDecoder
from tailrace.adapters.canonical import MISSING, is_text, parts_of, with_parts
from tailrace.adapters.google_gemini import quirks as gemini_quirks
from tailrace.adapters.google_gemini import request as gemini_request
from tailrace.adapters.google_gemini.decode import GeminiDecoder
from tailrace.adapters.ollama import quirks as ollama_quirks
from tailrace.adapters.ollama import request as ollama_request
from tailrace.adapters.ollama.decode import OllamaDecoder
from tailrace.adapters.openai_chat_completions import quirks as chat_quirks
from tailrace.adapters.openai_chat_completions import request as chat_request
from tailrace.adapters.openai_chat_completions.decode import ChatDecoder
from tailrace.adapters.openai_responses import quirks as responses_quirks
from tailrace.adapters.openai_responses import request as responses_request
from tailrace.adapters.openai_responses.decode import ResponsesDecoder
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import FunctionCallOutputItem, MessageItem, OutputItem, Part
from tailrace.schema.request import Generation, ModelRequest

WIRES: dict[str, Wire] = {
    wire.name: wire
    for wire in (
        Wire(
            name=responses_request.NAME,
            decoder=ResponsesDecoder,
            build=responses_request.build,
            callees=responses_request.callees,
            path=fixed(responses_request.PATH),
            auth="bearer",
            own_headers=responses_request.own_headers,
            transports=("http", "websocket"),
        ),
        Wire(
            name=anthropic_request.NAME,
            decoder=MessagesDecoder,
            build=anthropic_request.build,
            callees=anthropic_request.callees,
            path=fixed(anthropic_request.PATH),
            auth="x-api-key",
            headers=anthropic_request.HEADERS,
            models="/v1/models",
            own_headers=anthropic_request.own_headers,
        ),
        Wire(
            name=chat_request.NAME,
            decoder=ChatDecoder,
            build=chat_request.build,
            callees=chat_request.callees,
            path=fixed(chat_request.PATH),
            auth="bearer",
            own_headers=chat_request.own_headers,
        ),
        Wire(
            name=gemini_request.NAME,
            decoder=GeminiDecoder,
            build=gemini_request.build,
            callees=gemini_request.callees,
            path=gemini_request.path,
            auth="x-goog-api-key",
            own_headers=gemini_request.own_headers,
        ),
        Wire(
            name=bedrock_request.NAME,
            decoder=ConverseDecoder,
            build=bedrock_request.build,
            callees=bedrock_request.callees,
            path=bedrock_request.path,
            auth="aws",
        ),
        Wire(
            name=ollama_request.NAME,
            decoder=OllamaDecoder,
            build=ollama_request.build,
            callees=ollama_request.callees,
            path=fixed(ollama_request.PATH),
            auth="bearer",
            models="/v1/models",
        ),
    )
}

PARTS = "input.parts"  # how the field is called of a part that a wire has no words for

# What each wire's quirks are where a provider's table says nothing.
_QUIRKS: dict[str, Quirks] = {
    "openai-responses": responses_quirks.DEFAULTS,
    "anthropic-messages": anthropic_quirks.DEFAULTS,
    "openai-chat-completions": chat_quirks.DEFAULTS,
    "google-gemini": gemini_quirks.DEFAULTS,
    "bedrock-converse": bedrock_quirks.DEFAULTS,
    "ollama": ollama_quirks.DEFAULTS,
}

# The quirks that a provider's table may set, with what holds where it does not.
QUIRKS: dict[str, Quirks] = {wire: {**ANSWERS, **own} for wire, own in _QUIRKS.items()}


def check(wire: str, model_id: str, quirks: Quirks, generation: Generation, items: Sequence[OutputItem] = ()) -> None:
    """Can this be asked of the model at all? Before any effect; `items` are the run's own input.

    Raises InvalidRequest with the field that the wire, this host of it, or the model has no words for.
    """
    request = ModelRequest(provider_id="", model_id=model_id, items=list(items), generation=generation)
    WIRES[wire].build(request, quirks)


def body_of(wire: str, request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    """The body of a request whose own input was found fit (`check`).

    A picture or a file that came otherwise (with an earlier run on another wire, or from a tool), and that this wire
    has no words for, is said to be missing: it cannot keep a thread from going on. Raises InvalidRequest for the rest.
    """
    try:
        return WIRES[wire].build(request, quirks)
    except InvalidRequest as error:
        if not (error.field or "").startswith(PARTS):
            raise
    items = [_sayable(item, wire, quirks, request.model_id) for item in request.items]
    return WIRES[wire].build(replace(request, items=items), quirks)


def _sayable(item: OutputItem, wire: str, quirks: Quirks, model_id: str) -> OutputItem:
    if not isinstance(item, MessageItem | FunctionCallOutputItem) or not item.parts:
        return item
    parts = [part if is_text(part) or _can_say(part, wire, quirks, model_id) else MISSING for part in parts_of(item)]
    return with_parts(item, parts)


def _can_say(part: Part, wire: str, quirks: Quirks, model_id: str) -> bool:
    try:
        check(wire, model_id, quirks, Generation(), [MessageItem(id="", content="", origin="user", parts=[part])])
    except InvalidRequest:
        return False
    return True
