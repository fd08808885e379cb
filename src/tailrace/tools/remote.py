"""Tools that workers in any language run: they ask for calls over HTTP and bring the results (docs/work.md).

A call is offered until a worker has taken it (`poll`) and said that it begins (`ack`); until then another may have it.
From then on the worker keeps its lease by heartbeats. One that lapses is offered again where the tool is idempotent;
otherwise its outcome is unknown. Calls are kept in memory: what a crash of the server means for them stands in the log.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from msgspec import Struct

from tailrace.schema.errors import Conflict
from tailrace.tools.arguments import parse_object
from tailrace.tools.context import ToolContext
from tailrace.tools.definition import Limits, ToolDefinition
from tailrace.tools.errors import ToolFailed
from tailrace.tools.result import ToolResult

LEASE_S = 30.0
_OVER = "the call is over: its lease has lapsed, or its run has ended"


class Offer(Struct, frozen=True, kw_only=True):
    """A call as a worker gets it. `expires_at`: milliseconds since the epoch; `attempt` counts from 1."""

    lease_id: str
    run_id: str
    call_id: str
    tool: str
    arguments: dict[str, Any]
    attempt: int
    expires_at: int


@dataclass(eq=False, slots=True)
class _Call:
    """A call that waits for its result. `lease_id`: of the worker that has it."""

    tool: ToolDefinition
    arguments: dict[str, Any]
    context: ToolContext
    result: asyncio.Future[ToolResult]
    lease_id: str | None = None
    begun: bool = False
    attempts: int = 0
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class Broker:
    """Calls on their way to workers and back. A worker that says nothing for `lease_s` seconds has lost its call."""

    lease_s: float = LEASE_S
    _waiting: list[_Call] = field(default_factory=list)
    _leased: dict[str, _Call] = field(default_factory=dict)
    _ended: dict[str, ToolResult] = field(default_factory=dict)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, tool: ToolDefinition, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        """Have a worker run the call. Raises ToolFailed: its outcome is unknown."""
        call = _Call(tool, arguments, context, asyncio.get_running_loop().create_future())
        self._offer(call)
        try:
            return await call.result
        finally:
            self._drop(call)

    async def poll(self, tools: Sequence[str], wait_s: float) -> Offer | None:
        """A call of one of these tools, for the worker that asks; None where none comes within so many seconds."""
        deadline = time.monotonic() + wait_s
        while True:
            found = next((call for call in self._waiting if call.tool.name in tools), None)
            if found is not None:
                return self._lease(found)
            self._arrived.clear()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._arrived.wait()
            except TimeoutError:
                return None

    def ack(self, lease_id: str) -> None:
        """The worker begins. Raises Conflict: the lease has lapsed; it must not."""
        call = self._held(lease_id)
        call.begun = True
        self._renew(call)

    def heartbeat(self, lease_id: str, output: str = "") -> None:
        """The worker is at it, and has put this out meanwhile. Raises Conflict: it is to stop."""
        call = self._held(lease_id)
        if output:
            call.context.emit(output)
        self._renew(call)

    def result(self, lease_id: str, result: ToolResult) -> None:
        """The worker is done; the same result again changes nothing. Raises Conflict: nobody waits for it any more."""
        if self._ended.get(lease_id) == result:
            return
        call = self._held(lease_id)
        self._ended = {**dict(list(self._ended.items())[-1000:]), lease_id: result}
        call.result.set_result(result)
        self._drop(call)

    def _offer(self, call: _Call) -> None:
        self._waiting.append(call)
        self._arrived.set()

    def _lease(self, call: _Call) -> Offer:
        self._waiting.remove(call)
        call.lease_id, call.begun = uuid4().hex, False
        call.attempts += 1
        self._leased[call.lease_id] = call
        self._renew(call)
        return Offer(
            lease_id=call.lease_id, run_id=call.context.run_id, call_id=call.context.call_id, tool=call.tool.name,
            arguments=call.arguments, attempt=call.attempts,
            expires_at=time.time_ns() // 1_000_000 + int(self.lease_s * 1000),
        )  # fmt: skip

    def _held(self, lease_id: str) -> _Call:
        call = self._leased.get(lease_id)
        if call is None or call.result.done():
            raise Conflict(_OVER, lease_id=lease_id)
        return call

    def _renew(self, call: _Call) -> None:
        if call.timer is not None:
            call.timer.cancel()
        call.timer = asyncio.get_running_loop().call_later(self.lease_s, self._lapse, call)

    def _lapse(self, call: _Call) -> None:
        self._drop(call)
        if call.result.done():
            return
        if not call.begun or call.tool.idempotent:
            self._offer(call)
        else:
            call.result.set_exception(ToolFailed("outcome unknown: the worker that ran this call was lost"))

    def _drop(self, call: _Call) -> None:
        if call.timer is not None:
            call.timer.cancel()
        if call.lease_id is not None:
            self._leased.pop(call.lease_id, None)
        if call in self._waiting:
            self._waiting.remove(call)


def remote_tool(
    broker: Broker, name: str, description: str, parameters: Mapping[str, Any], limits: Limits, *, idempotent: bool
) -> ToolDefinition:
    """A tool whose calls go to workers. `parameters`: a JSON Schema of an object, which the workers check."""

    async def call(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return await broker.call(made, arguments, context)

    made = ToolDefinition(
        name=name, description=description, parameters=dict(parameters), parse=partial(parse_object, name), call=call,
        idempotent=idempotent, limits=limits,
    )  # fmt: skip
    return made
