"""`/api/v2/work`: how workers in any language get tool calls and bring their results (docs/work.md)."""

from typing import Annotated, Any

from litestar import post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from tailrace.api.bodies import Body, Door, Text
from tailrace.api.services import Injected, Services
from tailrace.schema.errors import NotFound
from tailrace.tools.remote import Broker, Offer
from tailrace.tools.result import ToolResult

LONGEST_S = 60.0


class PollBody(Body, frozen=True, kw_only=True):
    """Which tools the worker has, and for how many seconds it waits for a call."""

    tools: Annotated[list[Text], Meta(min_length=1)]
    wait_s: Annotated[float, Meta(ge=0, le=LONGEST_S)] = 20.0


class LeaseBody(Body, frozen=True, kw_only=True):
    """The call that the worker has; `output`: what it has put out since the last time."""

    lease_id: Text
    output: str = ""


class ResultBody(Body, frozen=True, kw_only=True):
    """What came of a call."""

    lease_id: Text
    output: str
    success: bool = True


class Polled(Struct, kw_only=True, frozen=True):
    """A call; null where there was none."""

    call: Offer | None


class Kept(Struct, kw_only=True, frozen=True):
    """The lease holds for so many seconds from now."""

    lease_s: float


def _broker(services: Services) -> Broker:
    if services.broker is None:
        raise NotFound("no tool is declared for workers here (`tools.remote`)")
    return services.broker


@post("/api/v2/work/poll", dto=Door[PollBody], return_dto=None, status_code=200)
async def poll(data: JSONBody[PollBody], services: Injected) -> Polled:
    """Take a call of one of these tools; waits for one."""
    return Polled(call=await _broker(services).poll(data.tools, data.wait_s))


@post("/api/v2/work/ack", dto=Door[LeaseBody], return_dto=None, status_code=200)
async def ack(data: JSONBody[LeaseBody], services: Injected) -> Kept:
    """Say that the call begins; before that, it must not."""
    _broker(services).ack(data.lease_id)
    return Kept(lease_s=_broker(services).lease_s)


@post("/api/v2/work/heartbeat", dto=Door[LeaseBody], return_dto=None, status_code=200)
async def heartbeat(data: JSONBody[LeaseBody], services: Injected) -> Kept:
    """Keep the call, and stream what it has put out; 409 says that it is to stop."""
    _broker(services).heartbeat(data.lease_id, data.output)
    return Kept(lease_s=_broker(services).lease_s)


@post("/api/v2/work/result", dto=Door[ResultBody], return_dto=None, status_code=200)
async def result(data: JSONBody[ResultBody], services: Injected) -> dict[str, Any]:
    """Bring the result; the same again changes nothing."""
    _broker(services).result(data.lease_id, ToolResult(text=data.output, success=data.success))
    return {}
