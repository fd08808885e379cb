"""When a provider wants to be asked again, in seconds, in all the spellings there are: headers, fields and sentences.

Pure: a point in time is measured against the answer's own `Date` header, and says nothing without one.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from tailrace.adapters.reading import Json, dicts_in, text_in

_WAIT = re.compile(
    r"(?:try(?:ing)? again|retry|retrying|resets?|wait)(?: in| after| for)?:? ([\d.]+ ?[a-z][\w. ]*)", re.IGNORECASE
)
_MOMENT = re.compile(
    r"(?:try(?:ing)? again|retry|resets?|available)(?: again)?(?: at| after)?:? "
    r"(\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?)",
    re.IGNORECASE,
)
# "after 20 seconds", "after 1 minute 30 seconds", as Chinese hosts say it.
_CHINESE_WAIT = re.compile(r"((?:\d+(?:\.\d+)?\s*(?:毫秒|秒|分|小时|天)钟?\s*)+)(?:之?后|以后)")
_CHINESE_UNITS = {"毫秒": "ms", "秒": "s", "分": "m", "小时": "h", "天": "d"}
_SPAN = re.compile(r"(\d+(?:\.\d+)?) ?(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}  # by first letter; milliseconds stand apart
_OVERLOADED = frozenset({429, 503, 529})
_FIRST_EPOCH = 1e9  # what is greater is no span but a time since the epoch
_FIRST_EPOCH_MS = 1e11


def header_waits(headers: Mapping[str, str], status: int) -> list[float]:
    """What the headers (their names in lower case) say."""
    now = seconds_of(headers.get("date"))
    waits = [
        _scaled(headers.get("retry-after-ms"), 0.001),
        _scaled(headers.get("retry-after"), 1.0),
        _until(seconds_of(headers.get("retry-after")), now),
    ]
    if status in _OVERLOADED:  # on other answers these only say how the budget stands
        waits.append(_scaled(headers.get("x-ratelimit-reset-after"), 1.0))
        waits.append(_scaled(headers.get("x-ratelimit-reset-ms"), 0.001))
        waits.append(_span_or_moment(headers.get("x-ratelimit-reset"), now))
    return [wait for wait in waits if wait is not None]


def body_wait(error: Json, message: str, now: float | None) -> float | None:
    """What an error object says, or its message; `now` in seconds since the epoch, if known."""
    for key in ("retry_after", "resets_in_seconds"):
        wait = _scaled(error.get(key), 1.0)
        if wait is not None:
            return wait
    for key in ("resets_at", "reset_at"):
        wait = _span_or_moment(error.get(key), now)
        if wait is not None:
            return wait
    delays = [text_in(detail, "retryDelay") for detail in dicts_in(error, "details")]
    for span in [*delays, *_sentences(message)]:
        wait = span_of(span)
        if wait is not None:
            return wait
    moment = _MOMENT.search(message)
    return _until(seconds_of(moment[1]), now) if moment else None


def seconds_of(date: object) -> float | None:
    """A date (RFC 9110 §5.6.7, or ISO 8601) in seconds since the epoch; one without a zone is in UTC."""
    text = date if isinstance(date, str) else ""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (TypeError, ValueError, OverflowError):
            continue
    return None


def _sentences(message: str) -> list[str]:
    said = [found[1] for found in (_WAIT.search(message),) if found]
    chinese = _CHINESE_WAIT.search(message)
    if chinese:
        span = chinese[1]
        for unit, ours in _CHINESE_UNITS.items():
            span = span.replace(unit, ours)
        said.append(span.replace("钟", ""))
    return said


def _scaled(value: object, factor: float) -> float | None:
    try:
        number = float(value) * factor  # type: ignore[arg-type]  # what is no number is caught
    except (TypeError, ValueError):
        return None
    return max(number, 0.0) if math.isfinite(number) else None


def _until(moment: float | None, now: float | None) -> float | None:
    return None if moment is None or now is None else max(moment - now, 0.0)


def _span_or_moment(value: object, now: float | None) -> float | None:
    """Seconds to go; or a time since the epoch in seconds or milliseconds; or a date."""
    number = _scaled(value, 1.0)
    if number is None:
        return _until(seconds_of(value), now)
    if number < _FIRST_EPOCH:
        return number
    return _until(number / 1000 if number > _FIRST_EPOCH_MS else number, now)


def span_of(text: str) -> float | None:
    """A span of time such as `1m3.2s`, `20 seconds` or `150ms`."""
    found: list[Any] = _SPAN.findall(text.lower())
    return sum(float(number) * _unit(unit) for number, unit in found) if found else None


def _unit(name: str) -> float:
    return 0.001 if name.startswith(("ms", "milli")) else _SECONDS[name[0]]
