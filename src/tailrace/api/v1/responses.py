"""`/v1/responses` (contract §5): create, retrieve, resume, cancel, delete, and what was put in.

OpenAI's form unless the request has the header `OpenResponses-Version`: then the names are those of the Open Responses
specification, where they differ (docs/protocol.md).
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from litestar import Request, delete, get, post
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.types import ASGIApp

from tailrace.api.services import Injected, Services
from tailrace.api.v1 import envelopes
from tailrace.api.v1.asking import Before, earlier_items, to_run
from tailrace.api.v1.exchange import CANCELLED, Asked, Json200, Streamed, caller, exchange, submit, vendor_frames
from tailrace.api.v1.lists import Limit, Order, page
from tailrace.dialects.base import FULL
from tailrace.dialects.responses.body import ResponseBody, read
from tailrace.dialects.responses.encode import RESPONSES, ResponsesEncoder
from tailrace.dialects.responses.items import said_item
from tailrace.dialects.responses.whole import to_object, whole
from tailrace.fold.estimate import input_tokens
from tailrace.runs.submit import queued
from tailrace.schema.errors import Conflict, NotFound
from tailrace.schema.request import RunRequest
from tailrace.store.base import StoredRun

VERSION_HEADER = "openresponses-version"
MAX_NUMBER = 2**53 - 1  # what a JSON reader can tell apart


@post("/v1/responses", status_code=200)
async def create_response(request: Request[Any, Any, Any], services: Injected) -> ASGIApp:
    """Answer an input, as OpenAI's Responses do: whole, streamed (`stream`), or later (`background`).

    The run is stored unless `store` is false, and goes on when its client goes away; it can be resumed under its id.
    """
    return await answer(services, await request.body(), request.headers)


async def answer(services: Services, sent: bytes, headers: Mapping[str, str]) -> ASGIApp:
    """The answer to this body under these headers, whose names are in lower case. Raises RequestError."""
    body = read(sent)
    run = await to_run(services, body, open_responses=VERSION_HEADER in headers)
    if body.background and not body.stream:
        begun = await services.store.get_run((await submit(services, run, caller(headers))).run_id)
        # However far it has come by now: a client that asked for it later polls, and some do not expect it to be done.
        return Json200(to_object(queued(begun.request, begun.response.created_at), begun.request))
    return await exchange(services, _asked(run, body), headers)


def _asked(run: RunRequest, body: ResponseBody) -> Asked:
    return Asked(request=run, dialect=RESPONSES, stream=bool(body.stream), whole=whole, envelope=envelopes.RESPONSES)


@get("/v1/responses/{response_id:str}")
async def get_response(
    response_id: FromPath[str],
    services: Injected,
    stream: FromQuery[bool] = False,
    starting_after: Annotated[int | None, QueryParameter(ge=0, le=MAX_NUMBER)] = None,
) -> ASGIApp:
    """A response as of now, or its events after `sequence_number` `starting_after`: of any run, whoever began it."""
    run = await stored(services, response_id)
    if not stream:
        return Json200(await _object(services, run))
    skip = 0 if starting_after is None else starting_after + 1
    return Streamed(services, response_id, partial(vendor_frames, services, response_id, RESPONSES, FULL, skip))


async def stored(services: Services, response_id: str) -> StoredRun:
    """The run. Raises NotFound, also for one that is not to be kept."""
    run = await services.store.get_run(response_id)
    if not run.request.store:
        raise NotFound(f"Response with id '{response_id}' not found.", field="response_id")
    return run


async def _object(services: Services, run: StoredRun) -> dict[str, Any]:
    """The response as of now. A snapshot does not say which of its items still grow, or what came of those that were
    cut: unless all went well, the log tells, for as long as it is kept."""
    encoder = None if run.response.status == "complete" else await _encoded(services, run)
    return encoder.current() if encoder is not None else to_object(run.response, run.request)


async def _encoded(services: Services, run: StoredRun) -> ResponsesEncoder | None:
    """The encoder, fed with all that is in the log now; None where there is nothing."""
    run_id, encoder, seq = run.request.run_id, ResponsesEncoder(FULL), 0
    head = await services.log.head(run_id)
    last = head.last_seq if head is not None else run.response.last_seq
    if not last or run.expired:
        return None
    async for batches in services.reader.pages(run_id, 0):
        for batch in batches:
            encoder.encode(batch)
            seq = batch.last_seq
        if seq >= last:
            break
        await asyncio.sleep(0)  # a long log: others must have their turn
    return encoder


@post("/v1/responses/{response_id:str}/cancel", status_code=200)
async def cancel_response(response_id: FromPath[str], request: Request[Any, Any, Any], services: Injected) -> ASGIApp:
    """End a response, in the background or not; nothing happens to one that has ended."""
    await stored(services, response_id)
    await _stop(services, response_id, request)
    return Json200(await _object(services, await services.store.get_run(response_id)))


async def _stop(services: Services, response_id: str, request: Request[Any, Any, Any]) -> None:
    with services.tracing.span("cancel", caller(request.headers), server=True, run_id=response_id) as span:
        await services.control.stop(response_id, CANCELLED, span)
    await services.settle(response_id)


@delete("/v1/responses/{response_id:str}", status_code=200)
async def delete_response(response_id: FromPath[str], request: Request[Any, Any, Any], services: Injected) -> ASGIApp:
    """Forget a response and its events; one that still goes on is ended first."""
    await stored(services, response_id)
    try:
        await services.store.delete_run(response_id)
    except Conflict:
        await _stop(services, response_id, request)
        await services.store.delete_run(response_id)
    await services.log.delete([response_id])
    await services.store.logs_deleted([response_id])
    return Json200({"id": response_id, "object": "response", "deleted": True})


@get("/v1/responses/{response_id:str}/input_items")
async def list_input_items(
    response_id: FromPath[str],
    services: Injected,
    limit: Limit = 20,
    after: FromQuery[str | None] = None,
    order: FromQuery[Order] = "desc",
) -> ASGIApp:
    """What was put in, newest first unless `order` is asc."""
    run = await stored(services, response_id)
    said = (said_item(item, response_id, sealed=True) for item in run.request.input)
    return Json200(page([item for item in said if item is not None], limit=limit, after=after, order=order))


@post("/v1/responses/input_tokens", status_code=200)
async def count_input_tokens(request: Request[Any, Any, Any], services: Injected) -> ASGIApp:
    """How many tokens the input is likely to be (`fold/estimate.py` has the rule)."""
    run = await to_run(services, read(await request.body()))
    before = Before(None if run.opens_thread else run.thread_id, run.previous_run_id)
    items = [*await earlier_items(services, before), *run.input]
    return Json200({"object": "response.input_tokens", "input_tokens": input_tokens(items, run.generation)})
