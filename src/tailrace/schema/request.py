"""The canonical requests: what a client asks of a run, and what a run asks of a model."""

from typing import Any, Literal

from msgspec import Struct

from tailrace.schema.items import FunctionCallOutputItem, MessageItem, OutputItem

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
WhenBusy = Literal["reject", "interrupt"]
OnDisconnect = Literal["continue", "cancel"]


class Tool(Struct, omit_defaults=True, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A function tool; `parameters` is a JSON Schema of an object."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    type: Literal["function"] = "function"


class NamedToolChoice(Struct, omit_defaults=True, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The model must call this one tool."""

    name: str
    type: Literal["function"] = "function"


ToolChoice = Literal["auto", "none", "required"] | NamedToolChoice


class Generation(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """How a model is asked to answer: the same for each step of a run."""

    instructions: str | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    reasoning_effort: ReasoningEffort | None = None
    thinking_budget: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None


class RunRequest(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """A run as asked for, checked and resolved: what the store keeps beside the log."""

    run_id: str
    turn_id: str
    thread_id: str
    provider_id: str
    model_id: str
    input: list[MessageItem | FunctionCallOutputItem]
    generation: Generation
    agent_id: str | None = None
    metadata: dict[str, Any] | None = None
    on_disconnect: OnDisconnect = "continue"


class ModelRequest(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """One model call: what an adapter's `build` turns into a provider's JSON.

    `items` is the whole conversation in order, this run's items included; each call has its output (runs/history.py).
    """

    provider_id: str
    model_id: str
    items: list[OutputItem]
    generation: Generation
    stream: bool = True
