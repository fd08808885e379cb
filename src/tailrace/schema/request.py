"""The canonical requests: what a client asks of a run, and what a run asks of a model."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from tailrace.schema.items import OutputItem

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
WhenBusy = Literal["reject", "interrupt", "enqueue"]
OnDisconnect = Literal["continue", "cancel"]
OnCalls = Literal["wait", "end"]
Protocol = Literal["native", "responses", "chat", "messages"]

ESCALATION = "with_escalated_permissions"  # the argument by which a tool's call asks for leave to do more than it may


class Tool(
    Struct,
    tag_field="type",
    tag="function",
    omit_defaults=True,
    kw_only=True,
    frozen=True,
    forbid_unknown_fields=True,
):
    """A function tool; `parameters` is a JSON Schema of an object. `namespace`: the group its name is unique in."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    namespace: str | None = None


class CustomTool(Struct, tag_field="type", tag="custom", omit_defaults=True, kw_only=True, frozen=True):
    """A tool that takes free text; `format` may hold a grammar, in OpenAI's words."""

    name: str
    description: str | None = None
    format: dict[str, Any] | None = None


class HostedTool(Struct, tag_field="type", tag="hosted", omit_defaults=True, kw_only=True, frozen=True):
    """A tool that the provider itself runs: `data` defines it in the words of `wire`, the only one that has them."""

    wire: str
    data: dict[str, Any]


AnyTool = Tool | CustomTool | HostedTool


class NamedToolChoice(
    Struct,
    tag_field="type",
    tag="function",
    omit_defaults=True,
    kw_only=True,
    frozen=True,
    forbid_unknown_fields=True,
):
    """The model must call this one tool."""

    name: str


class AllowedTools(Struct, tag_field="type", tag="allowed_tools", omit_defaults=True, kw_only=True, frozen=True):
    """The model may (auto) or must (required) call one of these, and none of the other tools it is shown."""

    names: list[str]
    mode: Literal["auto", "required"] = "auto"


ToolChoice = Literal["auto", "none", "required"] | NamedToolChoice
AnyToolChoice = Literal["auto", "none", "required"] | NamedToolChoice | AllowedTools


class OutputFormat(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """The answer is to be JSON: any object, or one that fits `schema` (a JSON Schema)."""

    type: Literal["json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class Generation(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """How a model is asked to answer: the same for each step of a run.

    An adapter says each field that is set in its wire's words, or refuses it: InvalidRequest with its name. `extra`
    holds fields of one wire for which there is no common word (`wire` → fields); they go only where it is spoken.
    """

    instructions: str | None = None
    tools: list[AnyTool] | None = None
    tool_choice: AnyToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    reasoning_effort: ReasoningEffort | None = None
    reasoning_summary: Literal["auto", "concise", "detailed"] | None = None
    thinking_budget: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    top_logprobs: int | None = None
    output_format: OutputFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    user: str | None = None
    extra: dict[str, dict[str, Any]] | None = None


class RunRequest(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """A run as asked for, checked and resolved: what the store keeps beside the log.

    `input` may be a whole conversation, where the client keeps it. With `previous_run_id` it goes on from that run and
    all that led to it; otherwise from those of its thread's runs that lead to `after_run_id`, or, without one, to the
    newest (runs/branches.py), unless it `opens_thread`: then there are none. `protocol` is
    the one it was asked in, and `asked` what that protocol repeats of its request. `on_calls`: at calls of the client's
    tools the run waits for their outputs, or ends. One that is not to be kept (`store`) is forgotten after its end.
    """

    run_id: str
    turn_id: str
    thread_id: str
    provider_id: str
    model_id: str
    input: list[OutputItem]
    generation: Generation
    agent_id: str | None = None
    metadata: dict[str, Any] | None = None
    on_disconnect: OnDisconnect = "continue"
    on_calls: OnCalls = "wait"
    opens_thread: bool = False
    previous_run_id: str | None = None
    after_run_id: str | UnsetType | None = UNSET
    protocol: Protocol = "native"
    asked: dict[str, Any] | None = None
    store: bool = True


class ModelRequest(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """One model call: what an adapter's `build` turns into a provider's JSON.

    `items` is the whole conversation in order, this run's items included; each call has its output (runs/history.py).
    `thread_id` tells one conversation from another, for providers that keep something of each.
    """

    provider_id: str
    model_id: str
    items: list[OutputItem]
    generation: Generation
    stream: bool = True
    thread_id: str = ""
