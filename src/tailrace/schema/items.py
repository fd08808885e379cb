"""Output items: what a run is made of (contract §1).

An item is the same value while it travels (its parts as events), in a Response and at rest. Optional fields are absent
from the JSON where they are `None`; `origin` is always written, because a reader that guesses it shows a user's words
as the agent's.
"""

from typing import Any, Literal

from msgspec import Struct, field

ItemType = Literal[
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "script_execution",
    "script_execution_output",
    "provider_item",
    "error",
    "cancelled",
]
Origin = Literal["user", "agent", "system", "tool_harness", "script_harness", "provider"]


def _agent() -> Literal["agent"]:
    return "agent"


def _system() -> Literal["system"]:
    return "system"


# --- content parts: only where plain text cannot say it ---------------------------------------------------------


class TextPart(Struct, tag_field="type", tag="text", omit_defaults=True, kw_only=True, frozen=True):
    """A run of visible text with what the provider attached to it."""

    text: str
    annotations: list[dict[str, Any]] | None = None
    logprobs: list[Any] | None = None


class RefusalPart(Struct, tag_field="type", tag="refusal", omit_defaults=True, kw_only=True, frozen=True):
    """The model's refusal; its text also stands in the message's `content`."""

    refusal: str


class ImagePart(Struct, tag_field="type", tag="image", omit_defaults=True, kw_only=True, frozen=True):
    """An image by `url` (https or data URL), or by a provider's `file_id`."""

    url: str | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


class FilePart(Struct, tag_field="type", tag="file", omit_defaults=True, kw_only=True, frozen=True):
    """A document by `url`, data URL in `data`, or a provider's `file_id`."""

    filename: str | None = None
    url: str | None = None
    data: str | None = None
    file_id: str | None = None


Part = TextPart | RefusalPart | ImagePart | FilePart


class Opaque(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """A provider's continuation data (signature, encrypted or redacted reasoning), kept byte for byte.

    Sent back only to the provider and model it came from (contract §1). `kind` is the wire's own word for it.
    """

    provider_id: str
    model_id: str
    kind: str
    data: str


class OperationRecord(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """One tool call that a script made; `duration_ms` in milliseconds."""

    tool: str
    arguments: Any
    success: bool
    duration_ms: int


class ScriptError(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """Why a script failed."""

    code: str
    message: str
    stack: str | None = None


# --- items ------------------------------------------------------------------------------------------------------


class MessageItem(Struct, tag_field="type", tag="message", omit_defaults=True, kw_only=True, frozen=True):
    """Visible text: `content` is all of it, joined; `parts` says what plain text cannot.

    `opaque` is there where the provider signs what it says and wants the signature back with it.
    """

    id: str
    content: str
    origin: Literal["user", "agent", "system"] = field(default_factory=_agent)
    parts: list[Part] | None = None
    phase: str | None = None
    opaque: Opaque | None = None
    correlation_id: str | None = None


class ReasoningItem(Struct, tag_field="type", tag="reasoning", omit_defaults=True, kw_only=True, frozen=True):
    """Readable reasoning (`content`, may be empty) and what the provider wants back unread (`opaque`)."""

    id: str
    content: str
    origin: Literal["agent", "system"] = field(default_factory=_agent)
    summary_parts: list[str] | None = None
    opaque: Opaque | None = None
    correlation_id: str | None = None


class FunctionCallItem(Struct, tag_field="type", tag="function_call", omit_defaults=True, kw_only=True, frozen=True):
    """A tool call; `arguments` is JSON text exactly as the model sent it (free text where `kind` is custom)."""

    id: str
    name: str
    arguments: str
    call_id: str
    origin: Literal["agent"] = field(default_factory=_agent)
    kind: Literal["function", "custom"] | None = None
    namespace: str | None = None
    opaque: Opaque | None = None
    correlation_id: str | None = None


class FunctionCallOutputItem(
    Struct, tag_field="type", tag="function_call_output", omit_defaults=True, kw_only=True, frozen=True
):
    """What a tool answered."""

    id: str
    call_id: str
    output: str
    success: bool
    origin: Literal["system", "tool_harness", "user"] = field(default_factory=_system)
    parts: list[Part] | None = None
    correlation_id: str | None = None


class ScriptExecutionItem(
    Struct, tag_field="type", tag="script_execution", omit_defaults=True, kw_only=True, frozen=True
):
    """A program the model wrote to call tools."""

    id: str
    code: str
    language: Literal["javascript", "python"]
    origin: Literal["agent"] = field(default_factory=_agent)
    correlation_id: str | None = None


class ScriptExecutionOutputItem(
    Struct, tag_field="type", tag="script_execution_output", omit_defaults=True, kw_only=True, frozen=True
):
    """What a script returned; `result` is JSON text."""

    id: str
    script_id: str
    result: str
    success: bool
    logs: list[str]
    operations: list[OperationRecord]
    origin: Literal["system", "script_harness"] = field(default_factory=_system)
    error: ScriptError | None = None
    correlation_id: str | None = None


class ProviderItem(Struct, tag_field="type", tag="provider_item", omit_defaults=True, kw_only=True, frozen=True):
    """An item the schema has no word for: the provider's JSON, whole (rule 3)."""

    id: str
    provider_type: str
    data: Any
    origin: Literal["agent"] = field(default_factory=_agent)
    text: str | None = None
    correlation_id: str | None = None


class ErrorItem(Struct, tag_field="type", tag="error", omit_defaults=True, kw_only=True, frozen=True):
    """An item that failed, where it stood, with as much of it as came."""

    id: str
    code: str
    message: str
    origin: Literal["agent", "system", "provider"] = field(default_factory=_system)
    details: dict[str, Any] | None = None
    partial: "OutputItem | None" = None
    correlation_id: str | None = None


class CancelledItem(Struct, tag_field="type", tag="cancelled", omit_defaults=True, kw_only=True, frozen=True):
    """An item that was called off, where it stood, with as much of it as came."""

    id: str
    origin: Literal["agent", "system", "user"] = field(default_factory=_system)
    reason: str | None = None
    partial: "OutputItem | None" = None
    correlation_id: str | None = None


OutputItem = (
    MessageItem
    | ReasoningItem
    | FunctionCallItem
    | FunctionCallOutputItem
    | ScriptExecutionItem
    | ScriptExecutionOutputItem
    | ProviderItem
    | ErrorItem
    | CancelledItem
)
