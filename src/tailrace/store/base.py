"""The store's interface: threads, runs (request, snapshot) and archives. Every implementation passes
`tailrace.testing.store_conformance`.

Times are milliseconds since the epoch. A cursor is an opaque string; a wrong one raises InvalidRequest(field="cursor").
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from msgspec import Struct

from tailrace.schema.batch import Batch
from tailrace.schema.request import RunRequest
from tailrace.schema.response import Response, Status


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
    """

    request: RunRequest
    digest: str
    response: Response


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

        These ids stay in `doomed_logs` until `logs_deleted`. Raises NotFound; Conflict where a run is live.
        """

    async def doomed_logs(self) -> list[str]:
        """Logs of deleted threads that are not known to be gone."""

    async def logs_deleted(self, run_ids: Sequence[str]) -> None:
        """These are gone."""

    async def create_run(self, run: StoredRun, new_thread: Thread | None) -> StoredRun:
        """Store a queued run, with its thread where that is new, in one transaction; what is stored under its id.

        That is `run` itself, or the earlier one where the same id came with the same digest. Raises Conflict where the
        id came with another digest, or where the thread has a live run (details: run_id); NotFound for no such
        thread.
        """

    async def get_run(self, run_id: str) -> StoredRun:
        """Raises NotFound."""

    async def list_runs(
        self, *, thread_id: str | None, status: Status | None, limit: int, cursor: str | None
    ) -> tuple[list[Response], str | None]:
        """Newest first, and the cursor of the next page."""

    async def thread_runs(self, thread_id: str) -> list[Response]:
        """All runs of a thread in the order they were made. Raises NotFound."""

    async def live_run(self, thread_id: str) -> str | None:
        """The run of this thread that has not ended, if there is one."""

    async def live_runs(self) -> list[StoredRun]:
        """All runs that have not ended."""

    async def project(self, projections: Sequence[Projection]) -> None:
        """Write all of these in one transaction.

        One that is not newer (by `last_seq`) than what is stored, or whose run is gone, changes nothing. A run's end
        touches its thread's `updated_at`.
        """

    async def archived(self, run_id: str, after: int = 0) -> Iterator[Batch] | None:
        """The run's log behind `after` from the archive; None where there is none."""

    async def ping(self) -> None:
        """Raises NotReady where the store cannot be reached."""

    async def close(self) -> None:
        """Let go."""
