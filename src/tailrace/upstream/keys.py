"""Which of a provider's keys a call goes out with, and how long one rests that was refused: a pure policy.

Keys are named by their position among the provider's (0, 1, …), and never known here. Time and randomness come in as
values; what is remembered is in upstream/traffic.py.
"""

import re
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from typing import Literal

from msgspec import Struct

from tailrace.schema.errors import Fault, ProviderError

Reason = Literal["rate_limit", "quota", "concurrency", "authentication", "capacity", "server_error"]

# Seconds that a key rests, where the provider does not say when to come back.
REST_S: dict[Reason, float] = {
    "quota": 1800.0,
    "authentication": 1800.0,
    "capacity": 45.0,
    "rate_limit": 30.0,
    "server_error": 20.0,
    "concurrency": 5.0,
}
CAPACITY_JITTER_S = 30.0  # more, at random: what was too much for a provider should not all come back at once
QUOTA_AFTER_S = 300.0  # who is to come back that late has used up more than a rate

_OF_CODE: dict[str, Reason] = {
    "rate_limited": "rate_limit",
    "quota_exceeded": "quota",
    "authentication": "authentication",
    "overloaded": "capacity",
    "server_error": "server_error",
}
# Errors that another key may be spared. (What is refused to one key, a model say, does not make it rest.)
_OF_THE_KEY = Fault.RATE_LIMIT | Fault.QUOTA | Fault.AUTH
_CONCURRENT = re.compile(
    r"concurren|parallel requests|simultaneous"
    # LiteLLM's proxy; its older words for this, followed by other limits, are those of any limit.
    r"|limit type: max_parallel_requests|max parallel request limit reached(?! hit limit)",
    re.IGNORECASE,
)


class Rest(Struct, frozen=True):
    """A key is passed over until then (milliseconds since the epoch), and why."""

    until: int
    reason: Reason


def rest_of(error: ProviderError, now: int, random: Callable[[], float]) -> Rest | None:
    """The rest of a key with which a call failed so at `now`; None where it is not the key that failed.

    `random` draws from [0, 1).
    """
    reason = _OF_CODE.get(error.code)
    if reason is None:
        return None
    asked = error.retry_after
    if reason == "rate_limit" and asked is not None and asked >= QUOTA_AFTER_S:
        reason = "quota"
    elif reason == "rate_limit" and _CONCURRENT.search(error.message):
        reason = "concurrency"
    usual = REST_S[reason] + (CAPACITY_JITTER_S * random() if reason == "capacity" else 0.0)
    seconds = usual if asked is None else max(asked, usual) if reason == "quota" else asked
    return Rest(now + round(seconds * 1000), reason)


def choose(count: int, rests: Mapping[int, Rest], tried: Collection[int], thread: str, now: int) -> int:
    """The position of the key to use, of `count`: one that does not rest, and that this call has not `tried`.

    Among those it is the same for all calls of a `thread`, for the sake of the provider's cache, on every node; threads
    are spread evenly. Where all rest, the one whose rest ends first is tried all the same: a rest is a guess.
    """

    def rank(position: int) -> tuple[int, bool, bytes]:
        return _left(rests, position, now), position in tried, sha256(f"{thread}/{position}".encode()).digest()

    return min(range(count), key=rank)


def another(count: int, rests: Mapping[int, Rest], tried: Collection[int], error: ProviderError, now: int) -> bool:
    """May another key be spared this error, and is there one: that does not rest, and was not tried?"""
    return bool(error.faults & _OF_THE_KEY) and any(
        position not in tried and not _left(rests, position, now) for position in range(count)
    )


def _left(rests: Mapping[int, Rest], position: int, now: int) -> int:
    rest = rests.get(position)
    return max(rest.until - now, 0) if rest else 0
