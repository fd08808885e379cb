"""The store's interface: threads, runs (request, snapshot) and archives. Every implementation passes
`tailrace.testing.store_conformance`.

Times are milliseconds since the epoch. A cursor is an opaque string; a wrong one raises InvalidRequest(field="cursor").
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

from msgspec import Struct

from tailrace.schema.batch import Batch
from tailrace.schema.request import RunRequest
from tailrace.schema.response import Response, Status

CHAIN_LIMIT = 10_000  # runs; more than any model's context holds


class Thread(Struct, omit_defaults=True, kw_only=True, frozen=True):
    """A conversation."""

    thread_id: str
    created_at: int
    updated_at: int
    model_id: str | None = None
    provider_id: str | None = None
    agent_id: str | None = None
    title: str | None = None
    summary: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None


class StoredRun(Struct, kw_only=True, frozen=True):
    """A run at rest: what was asked (`request`, the digest of the body it came as) and what is known of its answer.

    `response` is the fold of the log up to `response.last_seq`; before the first projection it is the queued one.
    `expired`: it has ended, and its log is no longer in the archive (told by `get_run` only).
    """

    request: RunRequest
    digest: str
    response: Response
    expired: bool = False


class Input(Struct, kw_only=True, frozen=True):
    """What is said to a run while it works, and the id of the item that its model hears it by."""

    delivery_id: str
    text: str

    @property
    def item_id(self) -> str:
        """No other item of the run has one like it."""
        return f"said_{self.delivery_id}"


class Projection(Struct, kw_only=True, frozen=True):
    """What the projector writes of a run. `archive` holds the whole log, given once, when the run is sealed."""

    response: Response
    archive: Sequence[Batch] | None = None


class Store(Protocol):
    """Threads and runs at rest."""

    async def create_thread(self, thread: Thread) -> None:
        """Raises Conflict where the id is taken."""

    async def get_thread(self, thread_id: str) -> Thread:
        """Raises NotFound."""

    async def list_threads(self, *, tag: str | None, limit: int, cursor: str | None) -> tuple[list[Thread], str | None]:
        """Newest first (by `updated_at`, then id), and the cursor of the next page."""

    async def update_thread(self, thread_id: str, changes: dict[str, Any], updated_at: int) -> Thread:
        """Set the given fields. Raises NotFound."""

    async def delete_thread(self, thread_id: str) -> list[str]:
        """Delete it with its runs, snapshots and archives in one transaction; the ids of the runs whose logs must go.

        These ids stay in `doomed_logs` until `logs_deleted`. Raises NotFound; Conflict where a run is live (details:
        run_id), whether it holds the thread or goes on from another run.
        """

    async def delete_run(self, run_id: str) -> None:
        """Delete a run with its snapshot and archive in one transaction; its log is doomed as `delete_thread` says.

        Its thread stays, and so do the runs that go on from it. Raises NotFound; Conflict where it is live (details:
        run_id).
        """

    async def doomed_logs(self) -> list[str]:
        """Logs of deleted threads and runs that are not known to be gone."""

    async def logs_deleted(self, run_ids: Sequence[str]) -> None:
        """These are gone."""

    async def create_run(self, run: StoredRun, new_thread: Thread | None) -> StoredRun:
        """Store a queued run, with its thread where that is new, in one transaction; what is stored under its id.

        That is `run` itself, or the earlier one where the same id came with the same digest. Raises Conflict where the
        id came with another digest, or where the thread has a live run (details: run_id); NotFound for no such
        thread.

        A run that names a `previous_run_id` belongs to the thread that it names, as any run does: it is listed there,
        and goes with it. But it goes on from that run, not from the thread, so that it neither holds the thread nor
        waits for who holds it: any number may be live beside each other. Whether the previous run is there is not
        looked at; `chain` tells.
        """

    async def enqueue_run(self, run: StoredRun) -> StoredRun:
        """Store a run that waits for its turn behind the one that holds its thread; what is stored under its id, and
        errors, as `create_run` has them. It is not live before `next_run` gives it."""

    async def next_run(self, thread_id: str) -> StoredRun | None:
        """The run whose turn it is, live from now on; None where the thread is held, or nothing waits."""

    async def waiting_threads(self, among: Collection[str] | None = None) -> list[str]:
        """The threads in which a run waits for its turn: all, or those among the given ones.

        Who asks when a thread's live run is stored as ended misses none: a run that is enqueued later finds it free.
        """

    async def add_input(self, run_id: str, said: Input) -> None:
        """Keep what is said to a run; the same again changes nothing. Raises Conflict for another text."""

    async def inputs(self, run_id: str) -> list[Input]:
        """All that was said to a run, in order."""

    async def keep_output(self, run_id: str, call_id: str, data: bytes) -> None:
        """Keep a tool's whole output; a second one of a call changes nothing."""

    async def kept_output(self, run_id: str, call_id: str) -> bytes:
        """Raises NotFound."""

    async def get_run(self, run_id: str) -> StoredRun:
        """Raises NotFound."""

    async def list_runs(
        self, *, thread_id: str | None, status: Status | None, limit: int, cursor: str | None
    ) -> tuple[list[Response], str | None]:
        """Newest first, and the cursor of the next page. Runs not to be kept (`request.store`) are left out."""

    async def thread_runs(self, thread_id: str) -> list[Response]:
        """The runs of a thread in the order they were made, but those not to be kept. Raises NotFound."""

    async def chain(self, run_id: str) -> list[Response]:
        """This run and all that led to it (`request.previous_run_id`), oldest first, whatever their threads.

        Raises NotFound where one of them is not there, TooLarge for more than CHAIN_LIMIT.
        """

    async def live_run(self, thread_id: str) -> str | None:
        """The live run that holds this thread, if there is one: not one that goes on from a run it names."""

    async def live_runs(self) -> list[StoredRun]:
        """All runs that have not ended, but those that wait for their turn."""

    async def project(self, projections: Sequence[Projection]) -> None:
        """Write all of these, each whole in one transaction, many of them together.

        One that is not newer (by `last_seq`) than what is stored, or whose run is gone, changes nothing. A run's end
        touches its thread's `updated_at`.
        """

    async def archived(self, run_id: str, after: int = 0) -> Iterator[Batch] | None:
        """The run's log behind `after` from the archive; None where there is none."""

    async def unkept(self, ended_before_ms: int, limit: int = 100) -> list[str]:
        """Runs that were not to be kept (`RunRequest.store`) and ended before this time, the oldest first."""

    async def apply_retention(self, older_than_ms: int, limit: int = 500) -> int:
        """Drop archives of runs that ended before this time, the oldest first; how many were dropped.

        At most `limit` in one transaction: 0 says that there are none left. Snapshots stay.
        """

    async def ping(self) -> None:
        """Raises NotReady where the store cannot be reached."""

    async def close(self) -> None:
        """Let go."""
