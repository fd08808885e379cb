"""Runs whose events a test writes itself: what no provider at hand would say, as the page must be able to show it."""

from tailrace.fold.draft import start_of
from tailrace.runs.submit import queued
from tailrace.schema.events import ItemDone, Payload, ResponseDone, ResponseStart, StepDone, StepStart
from tailrace.schema.items import MessageItem, OutputItem
from tailrace.schema.request import Generation, RunRequest
from tailrace.schema.response import Usage
from tailrace.store.base import StoredRun, Thread
from tests.support.replaying import TRACE
from tests.support.server import Served

USAGE = Usage(prompt_tokens=12, completion_tokens=34, total_tokens=46, cached_tokens=8, cost_usd=0.0042)


def whole(*items: OutputItem) -> list[Payload]:
    """Items that begin and end at once."""
    return [payload for item in items for payload in (start_of(item), ItemDone(item_id=item.id, final_item=item))]


class Written:
    """A run in a thread of its own, asked by "show me"."""

    def __init__(self, served: Served, run_id: str) -> None:
        self._served = served
        self.run_id = run_id
        self.thread_id = f"thread_of_{run_id}"
        self._epoch = 0

    @property
    def address(self) -> str:
        """Where the page shows it."""
        return f"{self._served.url}/#/threads/{self.thread_id}"

    async def begin(self) -> "Written":
        """The run is there, and a step is open."""
        services = self._served.services
        asked = MessageItem(id="in_1", content="show me", origin="user")
        request = RunRequest(
            run_id=self.run_id, turn_id="turn_1", thread_id=self.thread_id, provider_id="p", model_id="m",
            input=[asked], generation=Generation(), opens_thread=True,
        )  # fmt: skip
        now = services.now()
        thread = Thread(thread_id=self.thread_id, created_at=now, updated_at=now, title=self.run_id)
        await services.store.create_run(StoredRun(request=request, digest="d", response=queued(request, now)), thread)
        self._epoch = await services.log.acquire(self.run_id)
        start = ResponseStart(
            response_id=self.run_id, turn_id="turn_1", thread_id=self.thread_id, model_id="m", provider_id="p",
            created_at=now,
        )  # fmt: skip
        await self.append(start, *whole(asked), StepStart(step=1, provider_id="p", model_id="m"))
        return self

    async def append(self, *payloads: Payload) -> None:
        """Say more."""
        await self._served.services.log.append(self.run_id, self._epoch, payloads, TRACE)

    async def end(self) -> None:
        """As meant."""
        await self.append(
            StepDone(step=1, provider_id="p", model_id="m", finish_reason="stop", usage=USAGE),
            ResponseDone(response_id=self.run_id, status="complete", finish_reason="stop", usage=USAGE),
        )
