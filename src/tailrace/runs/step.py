"""What a run does next: state in, command out. Pure; `drive` carries it out.

A step's calls, in this order: those that cannot be run are answered; what must be waited for (approvals, outputs of the
client's own calls) is waited for, all of it at once; then the harness's calls are run, all at once. So nothing runs
while the run waits, and whoever sends an output or a decision can stop nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tailrace.fold.reducer import Reducer
from tailrace.schema.items import FunctionCallItem
from tailrace.schema.request import OnCalls
from tailrace.schema.response import ANSWERABLE, Approval, FinishReason

# How a step ends whose worker was lost, and one that failed and is tried again: only a run that goes on has such a last
# step.
LOST: FinishReason = "cancelled"
FAILED: FinishReason = "error"


@dataclass(frozen=True, slots=True)
class CallModel:
    """Call the model; `step` counts from 1."""

    step: int


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run these calls, all at once."""

    calls: tuple[FunctionCallItem, ...]


class Told(NamedTuple):
    """A call, and what is said of it."""

    call: FunctionCallItem
    text: str


@dataclass(frozen=True, slots=True)
class AskApproval:
    """Ask a person about these calls, each for its reason."""

    calls: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the client: for approvals, and for the outputs of its calls (`POST …/outputs`)."""


@dataclass(frozen=True, slots=True)
class Decline:
    """These calls will not be run: answer each with what its model is told, so that none dangles."""

    calls: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """End the run; `limit` names the one that was reached, where that is why."""

    reason: FinishReason
    limit: str | None = None


@dataclass(frozen=True, slots=True)
class Abandon:
    """End the run with an error: too many workers were lost over it."""

    takeovers: int


Command = CallModel | RunTools | AskApproval | Wait | Decline | Finish | Abandon


@dataclass(frozen=True, slots=True)
class Policy:
    """How far a run may go: model calls, tokens and USD in all, steps in a row with the same calls, and how often
    another worker may go on with it. `max_s`: seconds of work (who drives the run ends it then)."""

    max_steps: int
    max_takeovers: int
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    max_repeats: int | None = None
    max_s: float | None = None


class Ruling(NamedTuple):
    """What holds for a call of the harness's tools: why it cannot be run; may it be run again where a crash left its
    outcome unknown; why a person is asked first."""

    refusal: str | None = None
    idempotent: bool = False
    asked: str | None = None


Rules = Callable[[FunctionCallItem], Ruling]

NO_TOOLS = Ruling(refusal="not executed: the tools of this run's agent are no longer there")
_CUT_OFF = "not executed: the model's answer was cut off"
UNKNOWN = (
    "outcome unknown: the worker was lost while it ran this call. It was not run again, because its effect may have "
    "happened; look before you repeat it"
)
_REPEATED = "not executed: this very call was made {} times in a row; do something else"
_LIMITED = "not executed: the run has reached its limit of {}"


def decide(state: Reducer, policy: Policy, on_calls: OnCalls = "wait", rules: Rules = lambda _: NO_TOOLS) -> Command:
    """The next command for a run whose items are all closed and whose last step, if any, is done.

    A step whose worker was lost is followed by a new one, which goes on from the last completed item; whole calls in it
    are to be answered, as in any other (they may have been read already). So is one that failed: a failure that
    ends the run does so in the same append; and one that has a purpose of its own: the answer is still to come.
    """
    if not state.steps:
        return CallModel(1)
    last = state.steps[-1]
    reason = last.finish_reason or FAILED
    if state.unanswered:
        if reason in ANSWERABLE:
            return _answer(state, policy, on_calls, rules)
        return Decline(tuple(Told(call, _CUT_OFF) for call in state.unanswered))
    if reason == LOST:
        takeovers = sum(step.finish_reason == LOST for step in state.steps)
        if takeovers > policy.max_takeovers:
            return Abandon(takeovers)
    elif last.purpose is None and reason not in {"tool_calls", "pause", FAILED} and not state.heard:
        return Finish(reason)
    reached = _reached(state, policy)
    return Finish("limit", reached) if reached else CallModel(last.step + 1)


def _reached(state: Reducer, policy: Policy) -> str | None:
    """The limit that forbids another step."""
    used = state.used
    if len(state.steps) >= policy.max_steps:
        return "steps"
    if used is not None and policy.max_tokens is not None and used.total_tokens >= policy.max_tokens:
        return "tokens"
    if used is not None and policy.max_cost_usd is not None and (used.cost_usd or 0) >= policy.max_cost_usd:
        return "cost_usd"
    return "repeats" if policy.max_repeats is not None and state.repeats > policy.max_repeats else None


def _answer(state: Reducer, policy: Policy, on_calls: OnCalls, rules: Rules) -> Command:
    theirs = state.awaited
    if theirs and on_calls == "end":
        return Finish("tool_calls")
    ours = [(call, rules(call)) for call in state.unanswered if state.is_ours(call)]
    asked = {approval.item_id: approval for approval in state.approvals.values()}
    refused = [
        Told(call, text)
        for call, ruling in ours
        if (text := _refusal(state, policy, call, ruling, asked.get(call.id))) is not None
    ]
    if refused:
        return Decline(tuple(refused))
    questions = list(_questions(state, ours))
    if questions:
        return AskApproval(tuple(questions))
    if theirs or any(approval.resolution is None for approval in asked.values()):
        return Wait()
    return RunTools(tuple(call for call, _ in ours))


def _refusal(
    state: Reducer, policy: Policy, call: FunctionCallItem, ruling: Ruling, approval: Approval | None
) -> str | None:
    """Why a call of ours is not run: what its model is told."""
    if state.attempts(call):
        if not ruling.idempotent or state.attempts(call) > policy.max_takeovers:
            return UNKNOWN
        return ruling.refusal
    reached = _reached(state, policy)
    if reached:
        return _LIMITED.format(reached)
    if policy.max_repeats is not None and state.repeats >= policy.max_repeats:
        return _REPEATED.format(state.repeats)
    if ruling.refusal is not None or approval is None or approval.resolution is None:
        return ruling.refusal
    resolution = approval.resolution
    if resolution.decision == "denied":
        because = f": {resolution.reason}" if resolution.reason else ""
        return f"not executed: denied by {resolution.by}{because}"
    return "not executed: nobody approved it in time" if resolution.decision == "expired" else None


def _questions(state: Reducer, ours: list[tuple[FunctionCallItem, Ruling]]) -> Iterator[Told]:
    """The calls that a person must be asked about and has not been."""
    asked = {approval.item_id for approval in state.approvals.values()}
    covered = {
        (approval.tool, approval.reason)
        for approval in state.approvals.values()
        if approval.resolution is not None and approval.resolution.decision == "approved_for_run"
    }
    for call, ruling in ours:
        if ruling.asked is not None and call.id not in asked and (call.name, ruling.asked) not in covered:
            yield Told(call, ruling.asked)
