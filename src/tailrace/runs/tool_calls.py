"""A step's tool calls, run: all at once, each with its beginning and its one end in the log.

The log is the claim (design rules 4 and 5): `item_start` of a call's output is durable before its tool begins. So an
output that was begun and not ended says, after a crash, that the call's outcome is unknown; a call without one had not
begun. Who is fenced off by a higher epoch cannot begin anything more.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tailrace.runs.agents import Agent
from tailrace.runs.endings import output_id
from tailrace.runs.tracing import Tracing
from tailrace.runs.writer import RunWriter
from tailrace.schema.events import ItemDelta, ItemDone, ItemStart, Payload, TraceContext
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem
from tailrace.tools.result import ToolResult
from tailrace.tools.running import BoundCall, bind


@dataclass(frozen=True, slots=True)
class ToolCaller:
    """Runs calls. `tracing`: one span for each."""

    tracing: Tracing

    async def call(
        self, agent: Agent, calls: Sequence[FunctionCallItem], writer: RunWriter, trace: TraceContext
    ) -> None:
        """Run these, all at once; returns when each has its output in the log. Raises LogError, NotReady: the tools
        are stopped then, as they are when the task is cancelled."""
        lock = asyncio.Lock()
        try:
            async with asyncio.TaskGroup() as group:
                for call in calls:
                    output = _Output(output_id(writer, call.call_id), call.call_id, writer, lock, trace, group)
                    approved = agent.rule(call).asked is not None  # what is asked about is run when it was
                    group.create_task(self._run(agent, bind(agent.toolset, call), output, approved=approved))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _run(self, agent: Agent, call: BoundCall, output: "_Output", *, approved: bool) -> None:
        with self.tracing.span("tool", output.trace, tool=call.tool.name, call_id=call.call_id) as output.trace:
            result = await agent.runner.run(
                call, run_id=output.writer.run_id, emit=output.emit, cancel=asyncio.Event(), begin=output.begin,
                approved=approved,
            )  # fmt: skip
            await output.end(result)


@dataclass(slots=True)
class _Output:
    """One call's output on its way into the log. Several grow at once, and the log takes one append after another."""

    item_id: str
    call_id: str
    writer: RunWriter
    lock: asyncio.Lock
    trace: TraceContext
    group: asyncio.TaskGroup
    grown: list[Payload] = field(default_factory=list)

    async def begin(self) -> None:
        """Claim the call."""
        start = ItemStart(
            item_id=self.item_id, item_type="function_call_output", origin="tool_harness", call_id=self.call_id
        )
        await self._append([start])

    def emit(self, text: str) -> None:
        """Grow; what comes while an append is under way goes together with the next."""
        self.grown.append(ItemDelta(item_id=self.item_id, delta_content=text))
        if len(self.grown) == 1:
            self.group.create_task(self._flush())

    async def end(self, result: ToolResult) -> None:
        """Answer the call."""
        item = FunctionCallOutputItem(
            id=self.item_id, call_id=self.call_id, output=result.text, success=result.success, origin="tool_harness",
            parts=result.parts,
        )  # fmt: skip
        await self._append([], ItemDone(item_id=self.item_id, final_item=item))

    async def _flush(self) -> None:
        await self._append([])

    async def _append(self, first: list[Payload], last: Payload | None = None) -> None:
        async with self.lock:
            payloads = [*first, *self.grown, *([last] if last is not None else [])]
            self.grown.clear()
            if payloads:
                await self.writer.append(payloads, self.trace)
