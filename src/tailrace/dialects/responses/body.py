"""The body of `POST /v1/responses` as it comes in (OpenAI API reference, create a response; Open Responses).

Unknown parameters are refused, lest a typo pass silently. What this harness has no use for and what changes nothing in
the answer is taken and passed over (`stream_options`, `client_metadata`).
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest

Json = dict[str, Any]
Id = Annotated[str, Meta(min_length=1, max_length=256)]
Text = Annotated[str, Meta(min_length=1)]
Positive = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]


class ReasoningBody(Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to reason. `generate_summary` is the older name of `summary`."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: str | None = None
    mode: str | None = None


class FormatBody(Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What form the text is to have."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")] | None = None
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None


class TextBody(Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the text is to be like."""

    format: FormatBody | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ConversationBody(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The conversation that the response belongs to."""

    id: Id


class ResponseBody(Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is asked for. Everything may be null, which is the same as left out."""

    model: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    input: str | list[Any] | None = None
    instructions: str | None = None
    previous_response_id: Id | None = None
    conversation: Id | ConversationBody | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    include: list[str] | None = None
    tools: list[Json] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: Positive | None = None
    max_tool_calls: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    reasoning: ReasoningBody | None = None
    text: TextBody | None = None
    truncation: Literal["auto", "disabled"] | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: Json | None = None
    prompt: Json | None = None
    context_management: list[Json] | None = None
    moderation: Json | None = None
    stream_options: Json | None = None
    client_metadata: Json | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation's id, in whichever form it came."""
        return self.conversation.id if isinstance(self.conversation, ConversationBody) else self.conversation

    @property
    def stores(self) -> bool:
        """Is the response to be kept?"""
        return self.store is not False


def read(data: bytes) -> ResponseBody:
    """The body from its JSON, checked by itself. Raises InvalidRequest, naming the parameter."""
    body = codec.decode(data, ResponseBody)
    check(body)
    return body


def check(body: ResponseBody) -> None:
    """What goes together. Raises InvalidRequest."""
    if body.input is None and body.prompt is None and body.previous_response_id is None and body.conversation is None:
        raise InvalidRequest(
            "give `input`: a text, or a list of items", field="input", code="missing_required_parameter"
        )
    if body.previous_response_id is not None and body.conversation is not None:
        raise InvalidRequest("give one of `previous_response_id` and `conversation`", field="previous_response_id")
    if body.background and not body.stores:
        raise InvalidRequest("a response in the background has to be stored", field="background")
    if body.text is not None and body.text.format is not None:
        wanted = body.text.format
        if wanted.type == "json_schema" and (wanted.schema is None or wanted.name is None):
            raise InvalidRequest("a json_schema needs its `name` and `schema`", field="text.format")
