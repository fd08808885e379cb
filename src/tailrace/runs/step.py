"""What a run does next: state in, command out. Pure; `drive` carries it out."""

from dataclasses import dataclass

from tailrace.fold.reducer import Reducer
from tailrace.schema.items import FunctionCallItem
from tailrace.schema.response import FinishReason


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


Command = CallModel | AwaitOutputs | Decline | Finish

_CUT_OFF = "not executed: the model's answer was cut off"


def decide(state: Reducer, max_steps: int) -> Command:
    """The next command for a run whose items are all closed and whose last step, if any, is done."""
    if not state.steps:
        return CallModel(1)
    last = state.steps[-1]
    calls = tuple(state.unanswered)
    reason: FinishReason = last.finish_reason or "error"
    goes_on = reason in {"tool_calls", "pause"}
    if calls:
        return AwaitOutputs(calls) if reason == "tool_calls" else Decline(calls, _CUT_OFF)
    if not goes_on:
        return Finish(reason)
    return CallModel(last.step + 1) if len(state.steps) < max_steps else Finish("limit")
