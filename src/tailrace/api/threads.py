"""`/api/v2/threads` (contract §4)."""

from typing import Annotated

from litestar import delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec.structs import asdict

from tailrace.api.bodies import Door, ThreadBody, ThreadPage, ThreadPatch, ThreadView
from tailrace.api.services import Injected, Services
from tailrace.schema.errors import Conflict
from tailrace.store.base import Thread

Limit = Annotated[int, QueryParameter(ge=1, le=200)]
MAX_LIVE = 100  # runs of a thread that are stopped so that it can be deleted


@post("/api/v2/threads", dto=Door[ThreadBody], return_dto=None)
async def create_thread(data: JSONBody[ThreadBody], services: Injected) -> Thread:
    """Make a thread."""
    now = services.now()
    thread = Thread(thread_id=services.new_id("thread"), created_at=now, updated_at=now, **asdict(data))
    await services.store.create_thread(thread)
    return thread


@get("/api/v2/threads")
async def list_threads(
    services: Injected, tag: FromQuery[str | None] = None, limit: Limit = 50, cursor: FromQuery[str | None] = None
) -> ThreadPage:
    """Threads, newest first."""
    threads, next_cursor = await services.store.list_threads(tag=tag, limit=limit, cursor=cursor)
    return ThreadPage(threads=threads, next_cursor=next_cursor)


@get("/api/v2/threads/{thread_id:str}")
async def get_thread(thread_id: FromPath[str], services: Injected) -> ThreadView:
    """A thread with what was said in it."""
    thread = await services.store.get_thread(thread_id)
    runs = [await services.reader.current(run) for run in await services.store.thread_runs(thread_id)]
    return ThreadView.of(thread, runs)


@patch("/api/v2/threads/{thread_id:str}", dto=Door[ThreadPatch], return_dto=None)
async def update_thread(thread_id: FromPath[str], data: JSONBody[ThreadPatch], services: Injected) -> Thread:
    """Change a thread's mutable fields."""
    return await services.store.update_thread(thread_id, data.changes(), services.now())


@delete("/api/v2/threads/{thread_id:str}")
async def delete_thread(thread_id: FromPath[str], services: Injected) -> None:
    """Delete a thread with its runs and their logs, all or nothing; live runs are cancelled first."""
    await delete_with_logs(services, thread_id)


async def delete_with_logs(services: Services, thread_id: str) -> None:
    """Delete a thread, and then what its runs left in the log. Raises NotFound."""
    run_ids = await _deleted(services, thread_id)
    await services.log.delete(run_ids)
    await services.store.logs_deleted(run_ids)


async def _deleted(services: Services, thread_id: str) -> list[str]:
    """Several runs may be live that go on from others; each refusal names one of them."""
    for _ in range(MAX_LIVE):
        try:
            return await services.store.delete_thread(thread_id)
        except Conflict as conflict:
            live = conflict.details["run_id"]
            await services.control.stop(live, "its thread is being deleted")
            await services.settle(live)
    return await services.store.delete_thread(thread_id)
