"""What goes on with each provider in this process: calls under way, keys that rest, what it last said of its limits.

Thin state around upstream/keys.py and upstream/limits.py. Keys are looked up when a call goes out, and kept nowhere
(design rule 9).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import structlog
from msgspec import Struct

from tailrace.schema.errors import ProviderError
from tailrace.upstream import keys
from tailrace.upstream.keys import Rest
from tailrace.upstream.limits import Limit, limits_of
from tailrace.upstream.prepare import scheme_of
from tailrace.upstream.registry import Provider, keys_of
from tailrace.upstream.watchdog import timed_out

logger = structlog.get_logger()

_REFUSED = frozenset({401, 403})


class Report(Struct, frozen=True, kw_only=True):
    """A provider as of now: its keys (named by their position, from 1) and how many calls are under way.

    `resting`: the keys that are passed over. `limits`: as last told, at `limits_at` (milliseconds since the epoch).
    """

    keys: int
    resting: dict[int, Rest]
    in_flight: int
    limits: list[Limit]
    limits_at: int | None


@dataclass(slots=True)
class _Line:
    """One provider's. `places`: those of its calls that may be under way; None where there is no limit."""

    places: asyncio.Semaphore | None
    in_flight: int = 0
    rests: dict[int, Rest] = field(default_factory=dict)
    limits: list[Limit] = field(default_factory=list)
    limits_at: int | None = None


class Traffic:
    """All providers'. `environ` holds their keys; `now` gives milliseconds since the epoch."""

    def __init__(self, environ: Mapping[str, str], now: Callable[[], int]) -> None:
        self._environ = environ
        self._now = now
        self._lines: dict[str, _Line] = {}

    def turn(self, provider: Provider, thread: str) -> "Turn":
        """What a call for this thread does between its attempts."""
        held = keys_of(provider, self._environ)
        forget = partial(scheme_of(provider).forget, self._environ)
        return Turn(self._line(provider), provider, thread, held, forget, self._now)

    def report(self, provider: Provider) -> Report:
        """How things stand."""
        line, now = self._line(provider), self._now()
        resting = {position + 1: rest for position, rest in sorted(line.rests.items()) if rest.until > now}
        return Report(
            keys=len(keys_of(provider, self._environ)), resting=resting, in_flight=line.in_flight,
            limits=line.limits, limits_at=line.limits_at,
        )  # fmt: skip

    def _line(self, provider: Provider) -> _Line:
        line = self._lines.get(provider.provider_id)
        if line is None:
            most = provider.max_in_flight
            line = self._lines[provider.provider_id] = _Line(asyncio.Semaphore(most) if most else None)
        return line


class Turn:
    """One call's: `key` around each attempt, `heard` for what its answer's headers say, then `elsewhere`; `next_key`
    for what is made ready before."""

    def __init__(
        self,
        line: _Line,
        provider: Provider,
        thread: str,
        held: list[str],
        forget: Callable[[], bool],
        now: Callable[[], int],
    ) -> None:
        self._line = line
        self._provider_id = provider.provider_id
        self._thread = thread
        self._keys = held
        self._forget = forget
        self._now = now
        self._tried: set[int] = set()
        self._renewed = 0  # how often credentials that were found were refused, and others may be found now

    def __repr__(self) -> str:
        """Without the keys."""
        return f"Turn({self._provider_id!r}, keys={len(self._keys)})"

    @asynccontextmanager
    async def key(self, patience_s: float) -> AsyncIterator[str | None]:
        """The key for an attempt (None where there is none), and a place among the provider's calls meanwhile.

        Raises ProviderError (`timeout`) where no place becomes free in time. How the attempt ends decides whether the
        key rests.
        """
        places = self._line.places
        if places is not None:
            await _take(places, patience_s)
        self._line.in_flight += 1
        position = self._choice() if self._keys else None
        try:
            if position is None:
                yield None
                return
            self._tried.add(position)
            yield self._keys[position]
            self._line.rests.pop(position, None)
        except ProviderError as error:
            self._failed(position, error)
            raise
        finally:
            self._line.in_flight -= 1
            if places is not None:
                places.release()

    def next_key(self) -> str | None:
        """What `key` would give now; nothing is taken by asking."""
        return self._keys[self._choice()] if self._keys else None

    def heard(self, headers: Mapping[str, str]) -> None:
        """The headers of an answer, of whatever status."""
        now = self._now()
        limits = limits_of(headers, now)
        if limits:
            self._line.limits, self._line.limits_at = limits, now

    def elsewhere(self, error: ProviderError) -> bool:
        """Is it worth another attempt at once, with another key? Or, once, with credentials that are found anew?"""
        if not self._keys:
            return error.code == "authentication" and self._renewed == 1
        return keys.another(len(self._keys), self._line.rests, self._tried, error, self._now())

    def _choice(self) -> int:
        return keys.choose(len(self._keys), self._line.rests, self._tried, self._thread, self._now())

    def _failed(self, position: int | None, error: ProviderError) -> None:
        """The key in this place has failed, or, with None, the credentials that were found."""
        if position is None:
            if error.status in _REFUSED and self._forget():
                self._renewed += 1
            return
        rest = keys.rest_of(error, self._now(), random.random)
        if rest is None:
            return
        self._line.rests[position] = rest
        if len(self._keys) < 2:  # then it is only told of, and used all the same
            return
        logger.warning(
            "key rests", provider=self._provider_id, key=position + 1, reason=rest.reason, until=rest.until
        )  # fmt: skip


async def _take(places: asyncio.Semaphore, patience_s: float) -> None:
    """Wait for one of these places. Raises ProviderError (timeout)."""
    try:
        async with asyncio.timeout(patience_s):
            await places.acquire()
    except TimeoutError:
        raise timed_out("in_flight", patience_s) from None
