"""The bodies that `/api/v2` takes and gives (contract §4). Unknown fields are refused, lest a typo pass silently."""

from collections.abc import Collection
from hashlib import sha256
from typing import Annotated, Any, Generic, Literal, TypeVar

from litestar._openapi.schema_generation import SchemaCreator
from litestar.dto import MsgspecDTO
from litestar.openapi.spec import Reference
from litestar.openapi.spec import Schema as OpenAPISchema
from litestar.typing import FieldDefinition
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict

from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import OutputItem, Part, TextPart
from tailrace.schema.request import Generation, OnDisconnect, ReasoningEffort, Tool, ToolChoice, WhenBusy
from tailrace.schema.response import Response
from tailrace.store.base import Thread

T = TypeVar("T", bound=Struct)

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:\-]{0,127}$", description="letters, digits, _ . : -")]
Text = Annotated[str, Meta(min_length=1)]
Positive = Annotated[int, Meta(gt=0)]
Metadata = dict[str, Any]
Tags = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=64)]


class Door(MsgspecDTO[T], Generic[T]):
    """Bodies come in through the one JSON door, which names the field at fault."""

    def decode_bytes(self, value: bytes) -> T:
        """The body as a value of the route's type. Raises InvalidJson."""
        return codec.decode(value, self.model_type)

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: SchemaCreator
    ) -> OpenAPISchema | Reference:
        """The body's schema is its type's, not a transfer model's."""
        return schema_creator.for_field_definition(FieldDefinition.from_annotation(cls.model_type))


class Body(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every body shares."""


class InputMessage(Body, frozen=True, kw_only=True):
    """A message of a run's input: `content`, or `parts` where there is more than text."""

    type: Literal["message"] = "message"
    origin: Literal["user", "system", "agent"] = "user"
    content: str | None = None
    parts: list[Part] | None = None

    def text(self) -> str:
        """All visible text, joined."""
        if self.content is not None:
            return self.content
        return "".join(part.text for part in self.parts or () if isinstance(part, TextPart))


class SubmitBody(Body, frozen=True, kw_only=True):
    """What to do: exactly one of `prompt` and `input`; everything else has a default."""

    prompt: Text | None = None
    input: Annotated[list[InputMessage], Meta(min_length=1)] | None = None
    thread_id: Id | None = None
    after_run_id: Id | UnsetType | None = UNSET
    model_id: Text | None = None
    provider_id: Text | None = None
    agent_id: Text | None = None
    run_id: Id | None = None
    turn_id: Id | None = None
    instructions: str | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    reasoning_effort: ReasoningEffort | None = None
    thinking_budget: Positive | None = None
    max_output_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    metadata: Metadata | None = None
    on_disconnect: OnDisconnect = "continue"
    when_busy: WhenBusy = "reject"

    def messages(self) -> list[InputMessage]:
        """The input as messages. Raises InvalidRequest."""
        if (self.prompt is None) == (self.input is None):
            raise InvalidRequest("give exactly one of `prompt` and `input`", field="prompt")
        if self.prompt is not None:
            return [InputMessage(content=self.prompt)]
        for index, message in enumerate(self.input or ()):
            if not message.text() and not message.parts:
                raise InvalidRequest("a message needs `content` or `parts`", field=f"input[{index}].content")
        return list(self.input or ())

    def generation(self, instructions: str | None, agents_tools: Collection[str] = ()) -> Generation:
        """How the model is asked; `instructions` where the body has none, beside the tools that its agent has. Raises
        InvalidRequest."""
        names = [tool.name for tool in self.tools or ()]
        for index, name in enumerate(names):
            if not name or name in names[:index]:
                raise InvalidRequest("tool names must be given and differ", field=f"tools[{index}].name")
        choice = self.tool_choice
        if choice is not None and not isinstance(choice, str) and choice.name not in {*names, *agents_tools}:
            raise InvalidRequest(f"no tool {choice.name!r} is offered", field="tool_choice.name")
        return Generation(
            instructions=self.instructions if self.instructions is not None else instructions,
            tools=list(self.tools) if self.tools is not None else None,
            tool_choice=choice,
            reasoning_effort=self.reasoning_effort,
            thinking_budget=self.thinking_budget,
            max_output_tokens=self.max_output_tokens,
            temperature=self.temperature,
        )

    def digest(self) -> str:
        """What makes two submits with one `run_id` the same."""
        return sha256(codec.encode_canonical(self)).hexdigest()


class Submitted(Struct, kw_only=True, frozen=True):
    """The run there is now."""

    run_id: str
    turn_id: str
    thread_id: str
    stream_url: str


class Output(Body, frozen=True, kw_only=True):
    """One tool's result."""

    call_id: Text
    output: str
    success: bool = True


class OutputsBody(Body, frozen=True, kw_only=True):
    """Results of tools that the client runs."""

    outputs: Annotated[list[Output], Meta(min_length=1)]


class InputBody(Body, frozen=True, kw_only=True):
    """Something to say to a run while it works; the same `delivery_id` again is the same thing said."""

    text: Text
    delivery_id: Id | None = None


class Delivery(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Where something said to a run is: `seq` of the event by which its model heard it."""

    run_id: str
    delivery_id: str
    status: Literal["waiting", "delivered", "undelivered"]
    seq: int | None = None


class DecisionBody(Body, frozen=True, kw_only=True):
    """A decision about a tool call, who takes it, and what they say of it: the model is told where it was denied.

    Where a running call asks a question: `content` fills in its form, and `cancelled` leaves it without an answer.
    """

    decision: Literal["approved", "approved_for_run", "denied", "cancelled"]
    content: dict[str, Any] | None = None
    reason: Text | None = None
    by: Annotated[str, Meta(min_length=1, max_length=128)] = "user"


class ThreadBody(Body, frozen=True, kw_only=True):
    """A new thread; everything is optional."""

    model_id: str | None = None
    provider_id: str | None = None
    agent_id: str | None = None
    title: str | None = None
    summary: str | None = None
    tags: Tags | None = None
    metadata: Metadata | None = None


class ThreadPatch(Body, frozen=True, kw_only=True):
    """Changes to a thread: a field that is absent stays, one that is null is cleared."""

    model_id: str | UnsetType | None = UNSET
    provider_id: str | UnsetType | None = UNSET
    agent_id: str | UnsetType | None = UNSET
    title: str | UnsetType | None = UNSET
    summary: str | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET

    def changes(self) -> dict[str, Any]:
        """The fields given. Raises InvalidRequest where there is none."""
        given = {name: value for name, value in asdict(self).items() if value is not UNSET}
        if not given:
            raise InvalidRequest(f"nothing to change: give at least one of {', '.join(asdict(self))}")
        return given


class ThreadPage(Struct, kw_only=True, frozen=True):
    """Threads, newest first, and the cursor of the next page."""

    threads: list[Thread]
    next_cursor: str | None


class ThreadView(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A thread with what was said in it: the items of all its runs, in order, and the runs."""

    thread_id: str
    created_at: int
    updated_at: int
    history: list[OutputItem]
    runs: list[Response]
    model_id: str | None = None
    provider_id: str | None = None
    agent_id: str | None = None
    title: str | None = None
    summary: str | None = None
    tags: list[str] | None = None
    metadata: Metadata | None = None

    @classmethod
    def of(cls, thread: Thread, runs: list[Response]) -> "ThreadView":
        """`runs` in the order they were made."""
        history = [item for run in runs for item in run.output_items]
        return cls(**asdict(thread), history=history, runs=runs)


class RunPage(Struct, kw_only=True, frozen=True):
    """Runs, newest first, and the cursor of the next page."""

    runs: list[Response]
    next_cursor: str | None


class RunAccepted(Struct, kw_only=True, frozen=True):
    """It is being done."""

    run_id: str
