"""A node's way to Redis: one connection for commands, one for subscriptions; the scripts, by name (redis.lua).

In a cluster there is one for commands to each of its nodes (redis_route.py). What is published on one node is heard on
all of them, so that one is enough for subscriptions there, too.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha1
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from hiredis import ReplyError

from tailrace.log.redis_address import parse_url
from tailrace.log.redis_link import Argument, Link, pack
from tailrace.log.redis_route import Routes
from tailrace.schema.errors import NotReady, TailraceError

QUICK_S = 2.0  # what somebody waits for who can say "not ready"
PATIENT_S = 15.0  # what is in the middle of something waits longer, before it is given up


def _scripts() -> dict[str, str]:
    """The scripts in redis.lua: name -> source."""
    source = Path(__file__).with_name("redis.lua").read_text("utf-8")
    _, *named = re.split(r"^-- script: (\w+)\n", source, flags=re.MULTILINE)
    return dict(zip(named[::2], named[1::2], strict=True))


SCRIPTS = _scripts()
DIGESTS = {name: sha1(source.encode(), usedforsecurity=False).hexdigest() for name, source in SCRIPTS.items()}


class Subscriber(NamedTuple):
    """Who listens to a channel: `begun` is called on each connection when the subscription holds, before the first
    `message`."""

    begun: Callable[[], None]
    message: Callable[[bytes], None]


class Redis:
    """The two connections, made when first used and kept up until `close`. `node_id` is this process's, and new.

    `patient_s`: how long an append, or a reader in the middle of a run, waits for Redis to come back. `gather_ms`: how
    long commands wait for company, for less CPU at more latency. Raises SettingsError for a URL that is none.
    """

    def __init__(self, url: str, *, patient_s: float = PATIENT_S, gather_ms: float = 0) -> None:
        address = parse_url(url)
        loads = [pack("SCRIPT", "LOAD", source) for source in SCRIPTS.values()]
        self.node_id = uuid4().hex
        self.patient_s = patient_s
        self.commands = Routes(address, loads, gather_s=gather_ms / 1000, renewed=self._subscribe)
        self.events = Link(
            self.commands.address, begun=self._subscribe, pushed=self._pushed, elsewhere=self.commands.take
        )
        self._subscribers: dict[bytes, Subscriber] = {}

    # --- commands -----------------------------------------------------------------------------------------------------

    async def call(self, *command: Argument, wait_s: float = QUICK_S) -> Any:
        """What Redis answers to a command whose key, if it has one, comes first. Raises NotReady where it does not
        answer, or with an error."""
        return await self._asked(command[1] if len(command) > 1 else "", command, wait_s)

    async def _asked(self, key: Argument, command: Sequence[Argument], wait_s: float) -> Any:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        where = key if isinstance(key, bytes) else str(key).encode()
        self.commands.send(where, pack(*command), partial(_settle, reply), wait_s)
        return await reply

    async def script(self, name: str, keys: Sequence[Argument], *arguments: Argument, wait_s: float = QUICK_S) -> Any:
        """What a script answers. Raises NotReady."""
        return await self._asked(keys[0], ("EVALSHA", DIGESTS[name], len(keys), *keys, *arguments), wait_s)

    # --- subscriptions ------------------------------------------------------------------------------------------------

    def subscribe(self, channel: bytes, subscriber: Subscriber) -> None:
        """Listen to a channel, on this connection and all that follow it. One subscriber per channel."""
        self._subscribers[channel] = subscriber
        self.events.start()
        self.events.write(pack("SUBSCRIBE", channel))

    def unsubscribe(self, channel: bytes) -> None:
        """Listen no more."""
        if self._subscribers.pop(channel, None) is not None:
            self.events.write(pack("UNSUBSCRIBE", channel))

    def _subscribe(self) -> None:
        """To all: each subscriber is told that it holds, and looks for what it may have missed."""
        if self._subscribers:
            self.events.write(pack("SUBSCRIBE", *self._subscribers))

    def _pushed(self, push: list[Any]) -> None:
        """A message, or a confirmation (https://redis.io/docs/latest/develop/pubsub/)."""
        kind, channel, data = push
        subscriber = self._subscribers.get(channel)
        if subscriber is None:
            return
        if kind == b"message":
            subscriber.message(data)
        elif kind == b"subscribe":
            subscriber.begun()

    async def close(self) -> None:
        """Let go. What is under way is not waited for."""
        await self.events.close()
        await self.commands.close()


def _settle(future: "asyncio.Future[Any]", reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, ReplyError):
        future.set_exception(refused(reply))
    elif isinstance(reply, TailraceError):
        future.set_exception(reply)
    else:
        future.set_result(reply)


def refused(error: ReplyError) -> NotReady:
    """Redis can be reached, and will not: it is full, its disk is, or we are not allowed to."""
    return NotReady(f"Redis refuses: {error}")
