"""What answers' headers say of limits: each vendor's form, and whatever else comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.upstream.limits import Limit, limits_of

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"X-RateLimit-Limit-Requests": "500", "x-ratelimit-remaining-requests": "499",
             "x-ratelimit-reset-requests": "6m0s", "x-ratelimit-limit-tokens": "30000",
             "x-ratelimit-remaining-tokens": "29000", "x-ratelimit-reset-tokens": "17ms"},
            [Limit(name="requests", limit=500, used=1, remaining=499, resets_at=NOW + 360_000),
             Limit(name="tokens", limit=30000, used=1000, remaining=29000, resets_at=NOW + 17)],
        ),
        (
            {"x-ratelimit-limit-requests-day": "14400", "x-ratelimit-reset-requests-day": "33011.5"},
            [Limit(name="requests-day", limit=14400, resets_at=NOW + 33_011_500)],
        ),
        (
            {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000060000"},
            [Limit(name="requests", limit=20, used=20, remaining=0, resets_at=NOW + 60_000)],
        ),
        (
            {"anthropic-ratelimit-input-tokens-limit": "50000", "anthropic-ratelimit-input-tokens-remaining": "49000",
             "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:01:00Z"},
            [Limit(name="input-tokens", limit=50000, used=1000, remaining=49000, resets_at=NOW + 60_000)],
        ),
        (
            {"anthropic-ratelimit-unified-5h-utilization": "0.25", "anthropic-ratelimit-unified-5h-reset": "1800003600",
             "anthropic-ratelimit-unified-status": "allowed"},
            [Limit(name="unified-5h", limit=100, used=25, remaining=75, resets_at=NOW + 3_600_000)],
        ),
        (
            {"x-codex-primary-used-percent": "37.5", "x-codex-primary-window-minutes": "300",
             "x-codex-primary-reset-at": "1800000300", "x-codex-secondary-reset-after-seconds": "60"},
            [Limit(name="primary", limit=100, used=37.5, remaining=62.5, resets_at=NOW + 300_000),
             Limit(name="secondary", resets_at=NOW + 60_000)],
        ),
        ({"retry-after": "2"}, [Limit(name="retry-after", resets_at=NOW + 2000)]),
        ({"x-ratelimit-limit-requests": "many", "retry-after": "soon", "content-type": "text/html"}, []),
    ],
)  # fmt: skip
def test_each_vendor_s_headers(headers, expected):
    """One limit for each kind, with what was said of it; what cannot be read is not there."""
    assert limits_of(headers, NOW) == expected


names = st.sampled_from(
    ["x-ratelimit-limit", "x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset", "x-codex-a-used-percent",
     "anthropic-ratelimit-a-utilization", "retry-after", "x-ratelimit-remaining-requests"]
)  # fmt: skip


@given(st.dictionaries(names, st.text(max_size=12) | st.floats().map(str) | st.integers().map(str)))
def test_no_header_is_too_strange(headers):
    """Whatever it says: no exception, and no limit that says nothing."""
    assert all(limit != Limit(name=limit.name) for limit in limits_of(headers, NOW))
