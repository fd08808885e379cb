"""What people answer to the questions of running calls, on its way to whoever runs the call.

That process is the only writer of the run's log, and stays it: the answer is left beside the log, among what is said to
the run (`Store.inputs`), and gets into the log from there before the tool hears of it (design rule 1).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from tailrace.fold.reducer import Reducer
from tailrace.schema import codec
from tailrace.schema.errors import Conflict, InvalidRequest, NotReady
from tailrace.schema.events import ApprovalResolved
from tailrace.schema.response import Approval, Resolution
from tailrace.store.base import Input, Store

logger = structlog.get_logger(__name__)

EXPIRED = Resolution(decision="expired", by="clock")
_LOST = "the worker that ran the call was lost"
_MARK = "@"  # no client may give a delivery id that begins so (api/bodies.py)
_LOOK_S = (0.05, 0.1, 0.2, 0.4)  # how long it is waited before each look, and as the last from then on


@dataclass(frozen=True, slots=True)
class Answers:
    """Takes them from one process to another."""

    store: Store

    async def give(self, run_id: str, approval_id: str, resolution: Resolution) -> None:
        """Leave an answer; the same again changes nothing. Raises Conflict where there is another."""
        said = Input(delivery_id=_MARK + approval_id, text=codec.encode(resolution).decode())
        try:
            await self.store.add_input(run_id, said)
        except Conflict as error:
            earlier = await self._given(run_id, approval_id)
            if earlier is None or (earlier.decision, earlier.content) != (resolution.decision, resolution.content):
                raise Conflict(f"approval {approval_id!r} is decided already", approval_id=approval_id) from error

    async def wait(self, run_id: str, approval_id: str) -> Resolution:
        """The answer, once there is one."""
        looks = 0
        while True:
            try:
                resolution = await self._given(run_id, approval_id)
            except NotReady as error:
                logger.warning("answers not looked for", run_id=run_id, error=error.message)
                resolution = None
            if resolution is not None:
                return resolution
            await asyncio.sleep(_LOOK_S[min(looks, len(_LOOK_S) - 1)])
            looks += 1

    async def _given(self, run_id: str, approval_id: str) -> Resolution | None:
        for said in await self.store.inputs(run_id):
            if said.delivery_id == _MARK + approval_id:
                return codec.decode(said.text, Resolution)
        return None


def is_answer(said: Input) -> bool:
    """Is it an answer to a question, and nothing for the model to hear?"""
    return said.delivery_id.startswith(_MARK)


def resolved(approval_id: str, resolution: Resolution) -> ApprovalResolved:
    """The event that says how it was decided."""
    return ApprovalResolved(
        approval_id=approval_id, decision=resolution.decision, by=resolution.by, reason=resolution.reason,
        content=resolution.content,
    )  # fmt: skip


def withdrawn(state: Reducer) -> Sequence[ApprovalResolved]:
    """What ends the questions of calls that nobody runs any more."""
    lost = Resolution(decision="expired", by="clock", reason=_LOST)
    return [resolved(approval.approval_id, lost) for approval in state.asking]


def check(approval: Approval, given: Resolution) -> None:
    """Raises InvalidRequest: the decision is none for this approval, or what was filled in is not what was asked."""
    question = approval.question
    if question is None:
        if given.decision == "cancelled" or given.content is not None:
            field = "decision" if given.decision == "cancelled" else "content"
            raise InvalidRequest("goes with a question alone; this is an approval", field=field)
        return
    if given.decision == "approved_for_run":
        raise InvalidRequest("a question is answered each time: approved, denied or cancelled", field="decision")
    form = question.schema if given.decision == "approved" else None
    if form is None:
        if given.content is not None:
            raise InvalidRequest("there is no form to fill in, or it was not approved", field="content")
        return
    _check_content(form, given.content if given.content is not None else {})


def _check_content(form: dict[str, object], content: dict[str, object]) -> None:
    try:
        from jsonschema import Draft202012Validator  # of the extra `mcp`: without it nobody asks
    except ImportError as error:
        raise NotReady("to check answers takes the extra `tailrace[mcp]`") from error
    validator = Draft202012Validator(form, format_checker=Draft202012Validator.FORMAT_CHECKER)
    for fault in validator.iter_errors(content):
        place = "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in fault.absolute_path)
        raise InvalidRequest(fault.message, field=f"content{place}")
