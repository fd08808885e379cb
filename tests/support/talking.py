"""A conversation with a provider over its real transport: real bytes, the real decoder, no run around it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.openai_responses import request as responses_request
from tailrace.adapters.openai_responses.decode import ResponsesDecoder
from tailrace.fold.reducer import Reducer
from tailrace.schema import codec
from tailrace.schema.events import Payload, ProviderEvent, ResponseStart, StepStart, UsageUpdate
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem, MessageItem, OutputItem
from tailrace.schema.request import Generation, ModelRequest, Tool
from tailrace.testing.moves import Raw
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.upstream.http import Call, Session, Timeouts, Upstream
from tailrace.upstream.socket_policy import SocketPolicy
from tailrace.upstream.transport import Reply
from tailrace.upstream.websocket import Sockets

SECRET = "sk-verysecret-0123456789"
LIMITS = Timeouts(connect_s=20, first_event_s=20, idle_s=20, total_s=60)
QUICK = {"retry_wait_s": 0.0, "connect_s": 20.0}
TOOLS = [Tool(name="look", parameters={"type": "object", "properties": {"q": {"type": "string"}}})]


def ways_of(up: ScriptedUpstream) -> list[str]:
    """Which way each request came."""
    return ["socket" if request.over_socket else "http" for request in up.requests]


async def soon(event: asyncio.Event) -> None:
    """Wait for it, within reason."""
    await asyncio.wait_for(event.wait(), 20)


def frame(kind: str, *, last: bool = False, **fields: Any) -> Raw:
    """A move: an event of this type, with these fields."""
    return Raw(codec.encode({"type": kind, **fields}).decode(), last)


@asynccontextmanager
async def ways_with(**policy: Any) -> AsyncIterator[Sockets]:
    """Sockets over HTTP with this policy; nothing of them is left alive behind it."""
    before = asyncio.all_tasks()
    async with Upstream() as http, Sockets(http, SocketPolicy(**{**QUICK, **policy})) as ways:
        yield ways
    await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if "tailrace/upstream" in str(task.get_coro())}
    assert not left, left


async def hear(decoder: ResponsesDecoder, reply: Reply, taken: list[bytes] | None = None) -> list[Payload]:
    """The answer's payloads, as `runs.model_call` takes them."""
    payloads: list[Payload] = []

    def take(data: bytes) -> bool:
        if taken is not None:
            taken.append(data)
        new = decoder.feed(data) if data else decoder.close()
        payloads.extend(new)
        if any(not isinstance(payload, ProviderEvent | UsageUpdate) for payload in new):
            reply.progress()
        return not decoder.done

    more = True
    while more and not decoder.done:
        more = await reply.feed(take)
    reply.is_complete = decoder.error is None
    return payloads


@dataclass
class Talk:
    """One conversation: `say`, `ask`, `answer`. `calls` may change what goes out."""

    up: ScriptedUpstream
    ways: Sockets
    thread: str = "thread-1"
    key: str = SECRET
    model: str = "m"
    generation: Generation = field(default_factory=lambda: Generation(tools=list(TOOLS)))
    items: list[OutputItem] = field(default_factory=list)
    step: int = 0
    timeouts: Timeouts = LIMITS

    def say(self, text: str) -> "Talk":
        """The user says something."""
        self.items.append(MessageItem(id=f"u{len(self.items)}", content=text, origin="user"))
        return self

    def answer(self, output: str = "done") -> "Talk":
        """Every call that waits is answered."""
        answered = {item.call_id for item in self.items if isinstance(item, FunctionCallOutputItem)}
        for item in list(self.items):
            if isinstance(item, FunctionCallItem) and item.call_id not in answered:
                said = FunctionCallOutputItem(id=f"o{item.id}", call_id=item.call_id, output=output, success=True)
                self.items.append(said)
        return self

    def call(self) -> Call:
        """What is asked for now."""
        request = ModelRequest(
            provider_id="p", model_id=self.model, items=self.items, generation=self.generation, thread_id=self.thread
        )
        return Call(
            url=f"{self.up.url}/responses",
            headers={"authorization": f"Bearer {self.key}", "traceparent": f"00-{self.step:032x}-{1:016x}-00"},
            body=codec.encode(responses_request.build(request, {})),
            stream=True,
            session=Session("p", self.model, self.thread),
        )

    async def ask(self, taken: list[bytes] | None = None, change: Callable[[Call], Call] = lambda call: call) -> str:
        """Ask, and keep what is answered: its text. Raises ProviderError."""
        self.step += 1
        decoder = ResponsesDecoder(DecodeContext("p", "m"))
        async with self.ways.open(change(self.call()), self.timeouts) as reply:
            payloads = await hear(decoder, reply, taken)
        if decoder.error is not None:
            raise decoder.error
        state = Reducer()
        start = ResponseStart(response_id="r", turn_id="t", thread_id="t", model_id="m", provider_id="p", created_at=0)
        for seq, payload in enumerate([start, StepStart(step=1, provider_id="p", model_id="m"), *payloads], 1):
            state.apply(seq, 0, payload)
        self.items.extend(state.items())
        return "".join(item.content for item in state.items() if isinstance(item, MessageItem))
