"""Whatever runs leave, on whatever wires: the next request is one that the next provider's own strictness takes.

Runs are made as in life, without the sockets: a request of a wire is checked by its scripted twin, answered by it, cut
or not, decoded and folded; tools answer or do not; the run ends, breaks off or is stopped; then the next run asks
another wire. A wire that is registered, and has its twin, is in it.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.wires import WIRES, body_of, check
from tailrace.fold.reducer import Reducer
from tailrace.runs.history import conversation
from tailrace.runs.writer import whole
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.events import (
    ItemCancelled,
    ItemDone,
    ItemError,
    ItemStart,
    Payload,
    ResponseDone,
    ResponseError,
    ResponseStart,
    StepDone,
    StepStart,
    TurnAborted,
)
from tailrace.schema.items import FilePart, FunctionCallItem, ImagePart, OutputItem, TextPart
from tailrace.schema.request import CustomTool, Generation, ModelRequest, Tool
from tailrace.schema.response import ErrorInfo, Response
from tailrace.testing.moves import Call, Fail, Finish, Move, Reasoning, Text
from tailrace.testing.upstream import WIRES as SCRIPTED_WIRES
from tailrace.testing.wires.base import Memory, Ticket, named_in, steps
from tailrace.testing.wires.plan import make_plan
from tailrace.upstream.registry import load_builtin
from tests.support.items import any_items, call, output, run, system, user

SCRIPTED = {wire.name: wire for wire in SCRIPTED_WIRES}
PROVIDERS = {f"at-{wire}": (wire, {}) for wire in WIRES} | {
    name: (provider.wire, provider.quirks) for name, provider in load_builtin().items()
}
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)  # to make one smaller takes longer than a test may
MODELS = ["model-1", "gpt-5-mini", "gpt-4.1", "claude-haiku-4-5", "claude-sonnet-5"]
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"], "anyOf": [{}]}
TOOLS = [
    Tool(name="look", parameters=SCHEMA, strict=True),
    Tool(name="read", namespace="files"),
    CustomTool(name="cut"),
]
FIXED = ("c1", "functions.look:0", "x" * 80, "ok-1")
PICTURE = "data:image/png;base64,iVBORw0K"


@dataclass
class Step:
    """A model call: what is answered, how much of it comes, and which of its calls' outputs (in which order)."""

    moves: list[Move]
    heard: float = 1.0
    outputs: list[int] = field(default_factory=list)
    parts: list[Any] | None = None


@dataclass
class Turn:
    """A run: on which provider and model, what its user says, its model calls, and how it ends."""

    provider: str
    model: str
    input: list[OutputItem]
    steps: list[Step]
    ending: str
    asked: Generation


class Thread:
    """Runs one after another."""

    def __init__(self) -> None:
        self.runs: list[Response] = []
        self._memories: dict[str, Memory] = {}
        self._answers = 0
        self._moves = 0

    def go_on(self, turn: Turn) -> None:
        """One run."""
        reducer = Reducer()
        start = ResponseStart(
            response_id="run", turn_id="turn", thread_id="thread", model_id=turn.model, provider_id=turn.provider,
            created_at=1,
        )  # fmt: skip
        events: list[Payload] = []

        def take(*payloads: Payload) -> None:
            for payload in payloads:
                events.append(payload)
                reducer.apply(len(events), 1, payload)

        take(start, *(event for item in turn.input for event in whole(item)))
        for number, step in enumerate(turn.steps, 1):
            take(StepStart(step=number, provider_id=turn.provider, model_id=turn.model))
            answer = self._answer(turn, reducer.response(), step, number)
            take(*answer, *(ItemCancelled(item_id=item_id, reason="lost") for item_id in _open(events + answer)))
            calls = [event.final_item for event in answer if isinstance(event, ItemDone)]
            calls = [item for item in calls if isinstance(item, FunctionCallItem)]
            for at in step.outputs if calls else ():
                made = output(calls[at % len(calls)].call_id, f"o{at}", success=bool(at % 2), parts=step.parts)
                take(*whole(codec.convert({**codec.to_builtins(made), "id": f"out_{len(events)}"}, OutputItem)))
        take(*_ending(turn.ending))
        self.runs.append(reducer.response())

    def _answer(self, turn: Turn, so_far: Response, step: Step, number: int) -> list[Payload]:
        wire, quirks = PROVIDERS[turn.provider]
        asked = request(turn, conversation(self.runs, so_far))
        memory = self._memories.setdefault(turn.provider, Memory())
        body = as_sent(wire, asked, quirks)
        note(f"{turn.provider} {turn.model}: {codec.encode(body).decode()}")
        assert SCRIPTED[wire].complaint(body, memory) is None
        self._answers += 1
        ticket = Ticket("any", self._answers)
        plan = make_plan([self._own(move) for move in step.moves], 10)
        renderer = SCRIPTED[wire].renderer(plan, ticket, body, memory)
        frames = [said for said in steps(plan, renderer) if isinstance(said, bytes)]
        data = b"".join(frames)
        for key in [key for key in memory.thinking if key[1] in FIXED]:
            del memory.thinking[key]  # the twin knows calls by their ids, and this one is used again and again
        decoder = WIRES[wire].decoder(
            DecodeContext(
                turn.provider, turn.model, step=number, id_prefix=f"item_{number}_",
                taken_ids={item.id for item in so_far.output_items}, callees=WIRES[wire].callees(asked.generation),
                quirks=quirks,
            )
        )  # fmt: skip
        payloads = [*decoder.feed(data[: int(len(data) * step.heard)]), *decoder.close()]
        if decoder.error is not None:
            end = StepDone(step=number, provider_id=turn.provider, model_id=turn.model, finish_reason="error")
            payloads = [each for each in payloads if not isinstance(each, StepDone)] + [end]
        return payloads

    def _own(self, move: Move) -> Move:
        """A thought or a call as no other: a twin's signature follows from what it signs, and what is said alike under
        one id would be the client's repetition."""
        self._moves += 1
        match move:
            case Reasoning(text, redacted=redacted):
                return Reasoning(f"{text}{self._moves}", redacted=redacted)
            case Call(name, call_id=call_id):
                key = "input" if name == "cut" else "at"
                return Call(name, codec.encode({key: f"{self._moves}\n{move.arguments}"}).decode(), call_id)
            case _:
                return move


def _open(events: list[Payload]) -> list[str]:
    ended = {event.item_id for event in events if isinstance(event, ItemDone | ItemError | ItemCancelled)}
    return [event.item_id for event in events if isinstance(event, ItemStart) and event.item_id not in ended]


def _ending(how: str) -> list[Payload]:
    if how == "aborted":
        return [TurnAborted(turn_id="turn", reason="stopped")]
    if how == "error":
        return [ResponseError(response_id="run", error=ErrorInfo(code="timeout", message="no"))]
    return [ResponseDone(response_id="run", status="complete", finish_reason="stop")]


def request(turn: Turn, items: list[OutputItem]) -> ModelRequest:
    return ModelRequest(provider_id=turn.provider, model_id=turn.model, items=items, generation=turn.asked)


def as_sent(wire: str, asked: ModelRequest, quirks: dict[str, Any]) -> Any:
    """The JSON that the twin reads: the body, and what the path says."""
    try:
        body = body_of(wire, asked, quirks)
    except InvalidRequest as error:
        assert error.field in {"reasoning_effort", "thinking_budget"}  # noqa: PT017  # the model does not reason
        body = body_of(wire, replace(asked, generation=Generation(tools=asked.generation.tools)), quirks)
    return {
        **named_in(SCRIPTED[wire].path, WIRES[wire].path(asked.model_id, True)),
        **codec.decode_any(codec.encode(body)),
    }


# --- what runs may be --------------------------------------------------------------------------------------------

words = st.sampled_from(["so", "it is blue ", " \n", "\U0001f600" * 5, "a <b> \\ud800"])
call_ids = st.sampled_from(["", "", *FIXED])
arguments = st.sampled_from(["", "the sky"])
moves = st.lists(
    st.one_of(
        st.builds(Text, words),
        st.builds(Reasoning, words, redacted=st.booleans()),
        st.builds(Call, st.sampled_from(["look", "files__read", "cut", "no_such"]), arguments, call_ids),
    ),
    max_size=5,
)
endings = st.sampled_from([[], [], [], [Finish("length")], [Finish("refusal")], [Fail()]])
tool_parts = st.sampled_from(
    [
        None,
        None,
        [TextPart(text="seen"), ImagePart(url=PICTURE)],
        [ImagePart(url="https://host/a.png")],
        [FilePart(data="data:application/pdf;base64,JVBE", filename="a.pdf")],
    ]
)
model_calls = st.builds(
    Step,
    st.builds(lambda made, ending: [*made, *ending], moves, endings),
    st.one_of(st.just(1.0), st.floats(0, 1)),
    st.lists(st.integers(0, 5), max_size=5),
    tool_parts,
)
leftovers = st.sampled_from(
    [
        user("hello"),
        user(" "),
        user("see", parts=[TextPart(text="see"), ImagePart(url=PICTURE)]),
        user("", parts=[ImagePart(file_id="file_1")]),
        user("", parts=[FilePart(url="https://host/a.pdf")]),
        system("be brief"),
        output("c1", "late"),
        output("functions.look:0", "late", success=False),
        output("gone", "stale", parts=[ImagePart(url=PICTURE)]),
        call("c1", '{"at": "again'),
        call("new", "[1]", kind="custom"),
    ]
)
inputs = st.builds(
    lambda items: [
        codec.convert({**codec.to_builtins(item), "id": f"in_{at}"}, OutputItem) for at, item in enumerate(items)
    ],
    st.builds(lambda items: [*items, user("go on")], st.lists(leftovers, max_size=3)),
)
generations = st.sampled_from(
    [
        Generation(tools=list(TOOLS)),
        Generation(tools=list(TOOLS), reasoning_effort="high", instructions="be kind"),
        Generation(),
    ]
)


def turns(provider):
    return st.builds(
        Turn, provider, st.sampled_from(MODELS), inputs, st.lists(model_calls, min_size=1, max_size=2),
        st.sampled_from(["complete", "complete", "aborted", "error"]), generations,
    )  # fmt: skip


def at(wire):
    return st.sampled_from(sorted(name for name, (own, _) in PROVIDERS.items() if own == wire))


def sayable(turn):
    """The run with what its own wire cannot say left out: it would have been refused before it began."""
    wire, quirks = PROVIDERS[turn.provider]
    kept = []
    for item in turn.input:
        try:
            check(wire, turn.model, quirks, Generation(), [item])
        except InvalidRequest:
            continue
        kept.append(item)
    turn.input = kept
    return turn


# --- the laws ----------------------------------------------------------------------------------------------------


def test_every_wire_has_its_twin():
    """So that it is in what follows."""
    assert set(WIRES) <= set(SCRIPTED)


@pytest.mark.slow
@pytest.mark.parametrize("second", sorted(WIRES))
@pytest.mark.parametrize("first", sorted(WIRES))
@settings(max_examples=15, deadline=None, phases=UNSHRUNK)
@given(data=st.data())
def test_what_runs_leave_is_taken_by_every_other_wire(first, second, data):
    """Runs of one wire, then one of another, then of either: each request is one that its vendor would take."""
    one, other, last = (
        data.draw(turns(at(first))),
        data.draw(turns(at(second))),
        data.draw(turns(at(first) | at(second))),
    )
    thread = Thread()
    for turn in (one, other, last):
        thread.go_on(sayable(turn))


@pytest.mark.slow
@pytest.mark.parametrize("wire", sorted(WIRES))
@settings(max_examples=60, deadline=None, phases=UNSHRUNK)
@given(runs=st.lists(any_items, min_size=1, max_size=3), data=st.data())
def test_whatever_runs_are_said_to_have_left_is_taken(wire, runs, data):
    """Items as no wire would leave them, too: the request is taken, or there is nothing to say in it."""
    *earlier, current = [run(*items) for items in runs]
    turn = data.draw(turns(at(wire)))
    items = [*conversation(earlier, current), user("go on")]
    body = as_sent(wire, request(turn, items), PROVIDERS[turn.provider][1])
    note(codec.encode(body).decode())
    assert SCRIPTED[wire].complaint(body, Memory()) is None
