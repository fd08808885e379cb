"""A step's tool calls, run: all at once, each with its beginning and its one end in the log.

The log is the claim (design rules 4 and 5): `item_start` of a call's output is durable before its tool begins. So an
output that was begun and not ended says, after a crash, that the call's outcome is unknown; a call without one had not
begun. Who is fenced off by a higher epoch cannot begin anything more.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tailrace.runs.agents import Agent
from tailrace.runs.answers import EXPIRED, Answers, resolved
from tailrace.runs.endings import output_id
from tailrace.runs.tracing import Tracing
from tailrace.runs.writer import RunWriter
from tailrace.schema.events import ApprovalRequested, ItemDelta, ItemDone, ItemStart, Payload, TraceContext
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem
from tailrace.schema.response import Question, Resolution
from tailrace.tools.result import ToolResult
from tailrace.tools.running import BoundCall, bind


@dataclass(frozen=True, slots=True)
class ToolCaller:
    """Runs calls. `tracing`: one span for each; `answers`: of people whom a call asks; `now`: milliseconds since the
    epoch."""

    tracing: Tracing
    answers: Answers
    now: Callable[[], int]

    async def call(
        self, agent: Agent, calls: Sequence[FunctionCallItem], writer: RunWriter, trace: TraceContext
    ) -> None:
        """Run these, all at once; returns when each has its output in the log. Raises LogError, NotReady: the tools
        are stopped then, as they are when the task is cancelled."""
        lock = asyncio.Lock()
        try:
            async with asyncio.TaskGroup() as group:
                for call in calls:
                    output = _Output(output_id(writer, call.call_id), call, writer, lock, trace, group)
                    approved = agent.rule(call).asked is not None  # what is asked about is run when it was
                    group.create_task(self._run(agent, bind(agent.toolset, call), output, approved=approved))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _run(self, agent: Agent, call: BoundCall, output: "_Output", *, approved: bool) -> None:
        with self.tracing.span("tool", output.trace, tool=call.tool.name, call_id=call.call_id) as output.trace:
            result = await agent.runner.run(
                call, run_id=output.writer.run_id, emit=output.emit, cancel=asyncio.Event(), begin=output.begin,
                ask=partial(self._ask, output, agent.approval_s) if agent.interactive else None,
                approved=approved,
            )  # fmt: skip
            await output.end(result)

    async def _ask(self, output: "_Output", patience_s: float, question: Question) -> Resolution:
        """Ask a person what a running call wants to know; whoever answers leaves that beside the log (`Answers`)."""
        approval_id = await output.ask(question, self.now() + int(patience_s * 1000))
        try:
            async with asyncio.timeout(patience_s):
                resolution = await self.answers.wait(output.writer.run_id, approval_id)
        except TimeoutError:
            resolution = EXPIRED
        await output.answered(approval_id, resolution)
        return resolution


@dataclass(slots=True)
class _Output:
    """One call's output on its way into the log. Several grow at once, and the log takes one append after another."""

    item_id: str
    call: FunctionCallItem
    writer: RunWriter
    lock: asyncio.Lock
    trace: TraceContext
    group: asyncio.TaskGroup
    grown: list[Payload] = field(default_factory=list)
    asking: set[str] = field(default_factory=set)

    async def begin(self) -> None:
        """Claim the call."""
        start = ItemStart(
            item_id=self.item_id, item_type="function_call_output", origin="tool_harness", call_id=self.call.call_id
        )
        await self._append([start])

    def emit(self, text: str) -> None:
        """Grow; what comes while an append is under way goes together with the next."""
        self.grown.append(ItemDelta(item_id=self.item_id, delta_content=text))
        if len(self.grown) == 1:
            flush = self._flush()
            try:
                self.group.create_task(flush)
            except RuntimeError:  # the calls are being ended: what a tool still says then is nobody's
                flush.close()

    async def ask(self, question: Question, expires_at: int) -> str:
        """Put a question; returns the id under which it is answered."""
        earlier = sum(each.item_id == self.call.id for each in self.writer.state.approvals.values())
        approval_id = f"approval_{self.call.id}_{earlier + 1}"
        self.asking.add(approval_id)
        asked = ApprovalRequested(
            approval_id=approval_id, item_id=self.call.id, tool=self.call.name, arguments=self.call.arguments,
            reason=question.message, expires_at=expires_at, question=question,
        )  # fmt: skip
        await self._append([asked])
        return approval_id

    async def answered(self, approval_id: str, resolution: Resolution) -> None:
        """The answer, before the tool hears of it."""
        self.asking.discard(approval_id)
        await self._append([resolved(approval_id, resolution)])

    async def end(self, result: ToolResult) -> None:
        """Answer the call; what it has asked and nobody has answered is asked no more."""
        item = FunctionCallOutputItem(
            id=self.item_id, call_id=self.call.call_id, output=result.text, success=result.success,
            origin="tool_harness", parts=result.parts,
        )  # fmt: skip
        await self._append(
            [resolved(each, EXPIRED) for each in self.asking], ItemDone(item_id=self.item_id, final_item=item)
        )

    async def _flush(self) -> None:
        await self._append([])

    async def _append(self, first: list[Payload], last: Payload | None = None) -> None:
        async with self.lock:
            payloads = [*first, *self.grown, *([last] if last is not None else [])]
            self.grown.clear()
            if payloads:
                await self.writer.append(payloads, self.trace)
