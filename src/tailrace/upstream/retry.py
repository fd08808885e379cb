"""When to try a model call again: a pure policy. Time and randomness come in as values.

Whether a call may be repeated at all (nothing visible was emitted yet) is the caller's to know.
"""

from collections.abc import Callable

from msgspec import Struct

from tailrace.schema.errors import ProviderError

_MAX_DOUBLINGS = 32  # far past any cap; keeps 2**n a finite float


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """At most `attempts` tries in all, the last begun within `total_s` seconds of the first.

    The n-th wait is drawn from 0 to `base_s` times 2^(n-1), at most `cap_s` (full jitter, so that callers which failed
    together do not come back together), on top of what the provider asked for. `restarts`: how many of the tries may
    begin anew what readers have seen the beginning of (runs/recovery.py).
    """

    attempts: int = 4
    base_s: float = 0.5
    cap_s: float = 20.0
    total_s: float = 60.0
    restarts: int = 0

    def delay(
        self,
        error: ProviderError,
        *,
        attempt: int,
        elapsed_s: float,
        random: Callable[[], float],
        elsewhere: bool = False,
    ) -> float | None:
        """Seconds to wait before the next try; None where there must be none.

        `attempt` counts the tries made (1 after the first failure), `elapsed_s` the time since the first began: the one
        budget that all tries of a call share. `random` draws from [0, 1). A try that goes `elsewhere` (with
        another key) need not wait.
        """
        asked = 0.0 if elsewhere else max(error.retry_after or 0.0, 0.0)
        left = self.total_s - elapsed_s - asked
        if not (error.retryable or elsewhere) or attempt >= self.attempts or left < 0:
            return None
        if elsewhere:
            return 0.0
        jitter = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS), left)
        return asked + jitter * random()
