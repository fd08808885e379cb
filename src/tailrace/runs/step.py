"""What a run does next: state in, command out. Pure; `drive` carries it out."""

from dataclasses import dataclass

from tailrace.fold.reducer import Reducer
from tailrace.schema.items import FunctionCallItem
from tailrace.schema.request import OnCalls
from tailrace.schema.response import ANSWERABLE, FinishReason

# How a step ends whose worker was lost, and one that failed and is tried again: only a run that goes on has such a last
# step.
LOST: FinishReason = "cancelled"
FAILED: FinishReason = "error"


@dataclass(frozen=True, slots=True)
class CallModel:
    """Call the model; `step` counts from 1."""

    step: int


@dataclass(frozen=True, slots=True)
class AwaitOutputs:
    """The client runs these calls: wait for `POST …/outputs`."""

    calls: tuple[FunctionCallItem, ...]


@dataclass(frozen=True, slots=True)
class Decline:
    """These calls will not be run: answer each, so that none dangles."""

    calls: tuple[FunctionCallItem, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """End the run."""

    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Abandon:
    """End the run with an error: too many workers were lost over it."""

    takeovers: int


Command = CallModel | AwaitOutputs | Decline | Finish | Abandon


@dataclass(frozen=True, slots=True)
class Policy:
    """How far a run may go: model calls in all, and how often another worker may go on with it."""

    max_steps: int
    max_takeovers: int


_CUT_OFF = "not executed: the model's answer was cut off"


def decide(state: Reducer, policy: Policy, on_calls: OnCalls = "wait") -> Command:
    """The next command for a run whose items are all closed and whose last step, if any, is done.

    A step whose worker was lost is followed by a new one, which goes on from the last completed item; whole calls in it
    are the client's to answer, as in any other (they may have been read already). So is one that failed: a failure that
    ends the run does so in the same append.
    """
    if not state.steps:
        return CallModel(1)
    last = state.steps[-1]
    calls = tuple(state.unanswered)
    reason = last.finish_reason or FAILED
    if calls:
        return _answer(calls, on_calls) if reason in ANSWERABLE else Decline(calls, _CUT_OFF)
    if reason == LOST:
        takeovers = sum(step.finish_reason == LOST for step in state.steps)
        if takeovers > policy.max_takeovers:
            return Abandon(takeovers)
    elif reason not in {"tool_calls", "pause", FAILED}:
        return Finish(reason)
    return CallModel(last.step + 1) if len(state.steps) < policy.max_steps else Finish("limit")


def _answer(calls: tuple[FunctionCallItem, ...], on_calls: OnCalls) -> Command:
    return AwaitOutputs(calls) if on_calls == "wait" else Finish("tool_calls")
