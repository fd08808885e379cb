"""What the store's tests put into it: threads, runs, logs and answers that are told apart by their ids."""

from collections.abc import Awaitable
from typing import Any

from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import TailraceError
from tailrace.schema.events import ItemDelta, Payload, ResponseDone, TraceContext
from tailrace.schema.items import FunctionCallOutputItem, MessageItem
from tailrace.schema.request import Generation, RunRequest
from tailrace.schema.response import ENDED, Response, Status
from tailrace.store.base import Projection, Store, StoredRun, Thread

NOW = 1_700_000_000_000


def a_thread(thread_id: str, at: int = 0, **fields: Any) -> Thread:
    """A thread made and last touched `at` milliseconds after NOW."""
    return Thread(thread_id=thread_id, created_at=NOW + at, updated_at=NOW + at, **fields)


def a_response(run_id: str, thread_id: str, status: Status = "queued", seq: int = 0, text: str = "") -> Response:
    """A run's answer as folded up to `seq`, which also stands for its time."""
    return Response(
        id=run_id,
        turn_id=f"turn of {run_id}",
        thread_id=thread_id,
        model_id="m",
        provider_id="p",
        created_at=NOW,
        updated_at=NOW + seq,
        completed_at=NOW + seq if status in ENDED else None,
        status=status,
        output_items=[MessageItem(id="item_1", content=text)] if text else [],
        steps=[],
        finish_reason="stop" if status in ENDED else None,
        last_seq=seq,
    )


def a_run(run_id: str, thread_id: str = "t", digest: str = "d", **fields: Any) -> StoredRun:
    """A queued run; `fields` of its request."""
    request = RunRequest(
        run_id=run_id,
        turn_id=f"turn of {run_id}",
        thread_id=thread_id,
        provider_id="p",
        model_id="m",
        input=[MessageItem(id="in_1", content="läuft 🙂", origin="user")],
        generation=Generation(instructions="be brief"),
        metadata={"a": [1, None, "x"]},
        **fields,
    )
    return StoredRun(request=request, digest=digest, response=a_response(run_id, thread_id))


def a_log(run_id: str, count: int = 3) -> list[Batch]:
    """A run's whole log of `count` events and the end, in batches of one and of two."""
    trace = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    batches = [
        Batch(run_id, seq, NOW + seq, trace, payloads=[ItemDelta(item_id="i", delta_content=f"žluť\n{seq}")])
        for seq in range(1, count + 1)
    ]
    end = ResponseDone(response_id=run_id, status="complete", finish_reason="stop")
    last: list[Payload] = [ItemDelta(item_id="i", delta_content="last"), end]
    return [*batches, Batch(run_id, count + 1, NOW + count + 1, TraceContext("00-1-1-00", "v=1"), payloads=last)]


def whole(batches: list[Batch] | None) -> list[bytes]:
    """Each event as a reader sees it, to compare to the byte."""
    return [codec.encode(event) for batch in batches or () for event in batch.events()]


async def refused(awaitable: Awaitable[Any], error: type[TailraceError]) -> Any:
    """The error of the kind that it must raise."""
    try:
        await awaitable
    except error as caught:
        return caught
    raise AssertionError(f"{error.__name__} was not raised")


async def end(store: Store, run_id: str, thread_id: str = "t", seq: int = 9, status: Status = "complete") -> None:
    """Project the run's end."""
    await store.project([Projection(response=a_response(run_id, thread_id, status, seq))])


def an_output(number: int, size: int) -> FunctionCallOutputItem:
    """What a tool put out: `size` characters, none like another's."""
    return FunctionCallOutputItem(id=f"out_{number}", call_id="c", output=f"{number}é" * (size // 2), success=True)


async def archive(store: Store, run_id: str, thread_id: str = "t", seq: int = 5) -> None:
    """Project the run's end with its log."""
    await store.project([Projection(response=a_response(run_id, thread_id, "complete", seq), archive=a_log(run_id))])


async def make_chain(store: Store, *run_ids: str, thread_id: str = "t") -> None:
    """Runs of which each goes on from the one before, live."""
    for previous, run_id in zip((None, *run_ids), run_ids, strict=False):
        await store.create_run(a_run(run_id, thread_id, previous_run_id=previous), None)


async def fill(store: Store, *run_ids: str, thread_id: str = "t") -> None:
    """A thread with these runs, made one after the other and all ended."""
    await store.create_thread(a_thread(thread_id))
    for run_id in run_ids:
        await store.create_run(a_run(run_id, thread_id), None)
        await end(store, run_id, thread_id)
