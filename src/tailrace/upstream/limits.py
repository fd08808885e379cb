"""What a provider's answers say of its limits, in their headers: how much there is, how much is left, until when.

- OpenAI's and all who copy them: `x-ratelimit-{limit,remaining,reset}-{requests,tokens,…}`, also without a kind; the
  reset as a span (`6m0s`), as seconds, or as a time since the epoch.
- Anthropic's: `anthropic-ratelimit-{requests,input-tokens,…}-{limit,remaining,reset}`, the reset as an RFC 3339
  date; of a subscription's windows (`unified-5h`) `utilization`, a fraction that is used, and the reset in seconds
  since the epoch. https://platform.claude.com/docs/en/api/rate-limits
- Codex's: `x-codex-{primary,secondary}-{used-percent,reset-at,reset-after-seconds}` (the reset in seconds).
- `retry-after`, in seconds.

Pure: a span is measured from `now`, in milliseconds since the epoch, as all times here are.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from tailrace.adapters.waits import span_of

_SHAPES = (
    re.compile(r"x-ratelimit-(?P<what>limit|remaining|used|reset)(?:-(?P<name>[\w-]+))?"),
    re.compile(r"anthropic-ratelimit-(?P<name>[\w-]+)-(?P<what>limit|remaining|reset|utilization)"),
    re.compile(r"x-codex-(?P<name>[\w-]+?)-(?P<what>used-percent|reset-at|reset-after-seconds)"),
)
_EPOCH_S = 1e9  # a number of seconds from which on it is a time and not a span
_EPOCH_MS = 1e11


class Limit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of a provider's limits; what was not said is absent. `used` of a `limit` of 100 may be a percentage."""

    name: str
    limit: float | None = None
    used: float | None = None
    remaining: float | None = None
    resets_at: int | None = None


def limits_of(headers: Mapping[str, str], now: int) -> list[Limit]:
    """The limits that an answer's headers tell of, by name; a wait that it asks for is one named `retry-after`."""
    said: dict[str, dict[str, str]] = {}
    for header, value in headers.items():
        found = next((match for shape in _SHAPES if (match := shape.fullmatch(header.lower()))), None)
        if found is not None:
            said.setdefault(found["name"] or "requests", {})[found["what"]] = value
        elif header.lower() == "retry-after":
            said["retry-after"] = {"reset": value}
    limits = (_limit(name, parts, now) for name, parts in sorted(said.items()))
    return [limit for limit in limits if limit != Limit(name=limit.name)]


def _limit(name: str, said: Mapping[str, str], now: int) -> Limit:
    limit, used, remaining = (_number(said.get(what)) for what in ("limit", "used", "remaining"))
    percent, fraction = _number(said.get("used-percent")), _number(said.get("utilization"))
    if percent is not None or fraction is not None:
        limit, used = 100.0, percent if percent is not None else 100.0 * (fraction or 0.0)
    if limit is not None and used is None and remaining is not None:
        used = max(limit - remaining, 0.0)
    elif limit is not None and used is not None and remaining is None:
        remaining = max(limit - used, 0.0)
    reset = next((said[what] for what in ("reset", "reset-at", "reset-after-seconds") if what in said), "")
    return Limit(name=name, limit=limit, used=used, remaining=remaining, resets_at=_time(reset, now))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _time(text: str, now: int) -> int | None:
    """A time since the epoch in seconds or milliseconds, a number of seconds from now, a span, or a date."""
    number = _number(text)
    if number is not None:
        if number >= _EPOCH_MS:
            return round(number)
        return round(number * 1000) if number >= _EPOCH_S else now + round(max(number, 0.0) * 1000)
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        span = span_of(text)
        return None if span is None else now + round(span * 1000)
