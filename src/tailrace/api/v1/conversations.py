"""`/v1/conversations` (contract §5): a conversation is a thread, its items are those of the thread's runs, in order.

Items that a client puts in are a run of their own, which asks no model and has ended from the start.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, delete, get, post
from litestar.params import FromPath, FromQuery
from litestar.types import ASGIApp
from msgspec import Meta, Struct
from msgspec.structs import replace

from tailrace.api.services import Injected, Services
from tailrace.api.threads import delete_with_logs
from tailrace.api.v1.exchange import Json200, caller
from tailrace.api.v1.lists import Limit, Order, page
from tailrace.dialects.responses.body import Metadata
from tailrace.dialects.responses.input import Home, Reading
from tailrace.dialects.responses.items import Json, said_item
from tailrace.fold.reducer import fold
from tailrace.runs.drive import opening
from tailrace.schema import codec
from tailrace.schema.errors import NotFound
from tailrace.schema.events import ResponseDone, TraceContext
from tailrace.schema.items import OutputItem
from tailrace.schema.request import Generation, RunRequest
from tailrace.store.base import StoredRun, Thread

Given = Annotated[list[Any], Meta(min_length=1, max_length=20)]


class ConversationBody(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a conversation begins with."""

    items: Annotated[list[Any], Meta(max_length=20)] | None = None
    metadata: Metadata | None = None


class UpdateBody(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What can be changed of a conversation."""

    metadata: Metadata | None


class ItemsBody(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Items to add."""

    items: Given


@post("/v1/conversations", status_code=200)
async def create_conversation(request: Request[Any, Any, Any], services: Injected) -> ASGIApp:
    """Make a conversation."""
    body = codec.decode(await request.body() or b"{}", ConversationBody)
    now = services.now()
    thread = Thread(
        thread_id=services.new_id("conv"),
        created_at=now,
        updated_at=now,
        metadata=dict(body.metadata) if body.metadata else None,
    )
    run = _read(services, thread.thread_id, body.items) if body.items else None
    await services.store.create_thread(thread)
    if run is not None:
        await _put(services, run, request)
    return Json200(_said(thread))


@get("/v1/conversations/{conversation_id:str}")
async def get_conversation(conversation_id: FromPath[str], services: Injected) -> ASGIApp:
    """A conversation."""
    return Json200(_said(await services.store.get_thread(conversation_id)))


@post("/v1/conversations/{conversation_id:str}", status_code=200)
async def update_conversation(
    conversation_id: FromPath[str], request: Request[Any, Any, Any], services: Injected
) -> ASGIApp:
    """Change a conversation's metadata."""
    body = codec.decode(await request.body(), UpdateBody)
    changes = {"metadata": dict(body.metadata) if body.metadata else None}
    return Json200(_said(await services.store.update_thread(conversation_id, changes, services.now())))


@delete("/v1/conversations/{conversation_id:str}", status_code=200)
async def delete_conversation(conversation_id: FromPath[str], services: Injected) -> ASGIApp:
    """Delete a conversation with its responses; a live one is ended first."""
    await delete_with_logs(services, conversation_id)
    return Json200({"id": conversation_id, "object": "conversation.deleted", "deleted": True})


@get("/v1/conversations/{conversation_id:str}/items")
async def list_items(
    conversation_id: FromPath[str],
    services: Injected,
    limit: Limit = 20,
    after: FromQuery[str | None] = None,
    order: FromQuery[Order] = "desc",
) -> ASGIApp:
    """A conversation's items, newest first unless `order` is asc."""
    return Json200(page(await _items(services, conversation_id), limit=limit, after=after, order=order))


@post("/v1/conversations/{conversation_id:str}/items", status_code=200)
async def add_items(conversation_id: FromPath[str], request: Request[Any, Any, Any], services: Injected) -> ASGIApp:
    """Add items to a conversation."""
    body = codec.decode(await request.body(), ItemsBody)
    await services.store.get_thread(conversation_id)
    run = _read(services, conversation_id, body.items)
    await _put(services, run, request)
    return Json200(page(_said_items(run.input, run.run_id), limit=len(run.input), after=None, order="asc"))


@get("/v1/conversations/{conversation_id:str}/items/{item_id:str}")
async def get_item(conversation_id: FromPath[str], item_id: FromPath[str], services: Injected) -> ASGIApp:
    """One item of a conversation."""
    for item in await _items(services, conversation_id):
        if item["id"] == item_id:
            return Json200(item)
    raise NotFound(f"Conversation item with id '{item_id}' not found.", field="item_id")


def _said(thread: Thread) -> Json:
    return {
        "id": thread.thread_id,
        "object": "conversation",
        "created_at": thread.created_at // 1000,
        "metadata": thread.metadata or {},
    }


async def _items(services: Services, thread_id: str) -> list[Json]:
    runs = [await services.reader.current(run) for run in await services.store.thread_runs(thread_id)]
    return [item for run in runs for item in _said_items(run.output_items, run.id)]


def _said_items(items: Sequence[OutputItem], run_id: str) -> list[Json]:
    said = (said_item(item, run_id, sealed=True) for item in items)
    return [item for item in said if item is not None]


def _read(services: Services, thread_id: str, given: Sequence[Any]) -> RunRequest:
    run_id = services.new_id("items")
    return RunRequest(
        run_id=run_id,
        turn_id=services.new_id("turn"),
        thread_id=thread_id,
        provider_id="tailrace",
        model_id="",
        input=Reading(run_id.partition("_")[2], Home("", "")).items(given),
        generation=Generation(),
        protocol="responses",
    )


async def _put(services: Services, run: RunRequest, request: Request[Any, Any, Any]) -> None:
    """The run's log, whole and sealed, then the run: so that at no time there is a run that somebody would drive."""
    epoch = await services.log.acquire(run.run_id)
    done = ResponseDone(response_id=run.run_id, status="complete", finish_reason="stop")
    with services.tracing.span("items", caller(request.headers), server=True, run_id=run.run_id) as span:
        await _append(services, run, epoch, [*opening(run, services.now()), done], span)
    await services.settle(run.run_id)


async def _append(services: Services, run: RunRequest, epoch: int, events: list[Any], trace: TraceContext) -> None:
    batch = await services.log.append(run.run_id, epoch, events, trace)
    response = replace(fold([batch]), last_seq=0)  # nothing of it is archived yet: that is what `settle` does
    try:
        await services.store.create_run(StoredRun(request=run, digest="", response=response), None)
    except BaseException:
        await services.log.delete([run.run_id])
        raise
