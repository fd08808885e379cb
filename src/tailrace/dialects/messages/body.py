"""The body of a request to `/v1/messages`, as its vendor defines it (https://platform.claude.com/docs/en/api/messages).

The vendor refuses what it does not know, and so do these types. A message's blocks stay as they came until they are
read one by one (conversation.py): the vendor's own server blocks are kept whole, whatever is in them.
"""

import re
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson

T = TypeVar("T")
Json = dict[str, Any]

_BRACKET = re.compile(r"\[(\d+|\.\.\.)\]")


class _Strict(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What every part of the body shares."""


class _Block(Struct, tag_field="type", kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A content block, tagged by `type`; `cache_control` marks where a cached prefix ends."""

    cache_control: Json | None = None


class _Source(Struct, tag_field="type", kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Where an image or a document is, tagged by `type`."""


class Base64(_Source, tag="base64", kw_only=True, frozen=True):
    """In the request itself."""

    media_type: str
    data: str


class Url(_Source, tag="url", kw_only=True, frozen=True):
    """On the web."""

    url: str


class File(_Source, tag="file", kw_only=True, frozen=True):
    """Among the provider's files."""

    file_id: str


class PlainText(_Source, tag="text", kw_only=True, frozen=True):
    """A document that is plain text."""

    data: str
    media_type: Literal["text/plain"] = "text/plain"


class Text(_Block, tag="text", kw_only=True, frozen=True):
    """Visible text."""

    text: str
    citations: list[Json] | None = None


class Image(_Block, tag="image", kw_only=True, frozen=True):
    """A picture."""

    source: Base64 | Url | File


class Content(_Source, tag="content", kw_only=True, frozen=True):
    """A document that is made of text and pictures."""

    content: str | list[Text | Image]


class Document(_Block, tag="document", kw_only=True, frozen=True):
    """A PDF or a text."""

    source: Base64 | Url | File | PlainText | Content
    title: str | None = None
    context: str | None = None
    citations: Json | None = None


class Thinking(_Block, tag="thinking", kw_only=True, frozen=True):
    """What the model thought; the signature must come back as it was sent."""

    thinking: str
    signature: str = ""


class RedactedThinking(_Block, tag="redacted_thinking", kw_only=True, frozen=True):
    """What the model thought, unreadable."""

    data: str


class ToolUse(_Block, tag="tool_use", kw_only=True, frozen=True):
    """A call of a tool of the client's."""

    id: str
    name: str
    input: Json
    caller: Json | None = None


class ToolResult(_Block, tag="tool_result", kw_only=True, frozen=True):
    """What a tool answered."""

    tool_use_id: str
    content: str | list[Text | Image | Document] | None = None
    is_error: bool | None = None


class Message(_Strict, kw_only=True, frozen=True):
    """One message; `content` as it came."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Json]


class ToolChoice(_Strict, kw_only=True, frozen=True):
    """Whether, and which, tools are to be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingConfig(_Strict, kw_only=True, frozen=True):
    """How the model is to think."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = None
    display: str | None = None


class JsonFormat(_Strict, kw_only=True, frozen=True):
    """The answer is to be JSON that fits a schema."""

    type: Literal["json_schema"]
    schema: Json


class OutputConfig(Struct, kw_only=True, frozen=True):
    """How much effort to make, and in which form to answer. Anything else in it is only for the vendor."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None


class Metadata(_Strict, kw_only=True, frozen=True):
    """Who the request is for."""

    user_id: str | None = None


class Thread(_Strict, kw_only=True, frozen=True):
    """Whether the conversation is kept here: begun by this request, or gone on with from an earlier message."""

    type: Literal["create", "continue"]
    previous_message_id: str | None = None


class Prompt(_Strict, kw_only=True, frozen=True):
    """What costs input tokens: the body of `/v1/messages/count_tokens`."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    system: str | list[Text] | None = None
    tools: list[Json] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: Json | None = None
    output_format: JsonFormat | None = None  # where a beta had it before `output_config`
    cache_control: Json | None = None
    mcp_servers: list[Json] | None = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None
    # Taken and left alone: the first only saves tokens, the second only reports, and `betas` is a header elsewhere.
    context_management: Json | None = None
    diagnostics: Json | None = None
    betas: list[str] | None = None


class Body(Prompt, kw_only=True, frozen=True):
    """The body of `/v1/messages`."""

    max_tokens: Annotated[int, Meta(ge=1)]
    stream: bool = False
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: str | Json | None = None
    inference_geo: str | None = None
    compaction: Json | None = None
    fallbacks: Any = None
    fallback_credit_token: Any = None
    billing_policy: Any = None
    thread: Thread | None = None


def read(data: bytes, kind: type[T]) -> T:
    """The body as a Body or a Prompt. Raises InvalidJson, its field a path in the vendor's form: `messages.0.role`."""
    try:
        return codec.decode(data, kind)
    except InvalidJson as error:
        raise _in_their_words(error, "") from error


def convert(value: Any, kind: type[T], place: str) -> T:
    """A part of the body, which stands at `place`. Raises InvalidJson."""
    try:
        return codec.convert(value, kind)
    except InvalidJson as error:
        raise _in_their_words(error, place) from error


def _in_their_words(error: InvalidJson, place: str) -> InvalidJson:
    path = _BRACKET.sub(r".\1", error.field or "")
    message = error.message
    if "missing required field" in message:
        message = "Field required"
    elif "contains unknown field" in message:
        message = "Extra inputs are not permitted"
    return InvalidJson(message, field=".".join(part for part in (place, path) if part) or None)
