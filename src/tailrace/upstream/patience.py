"""What a provider needs more time for than others: floors under the limits that the settings set for all."""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from tailrace.upstream.retry import RetryPolicy
from tailrace.upstream.watchdog import Timeouts

Seconds = Annotated[float, Meta(ge=0)]


class Patience(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At least so long, in seconds: `first_event_s` for the headers and the first event, `idle_s` between events,
    `retry_s` as the bound of the first wait before another try. The limit of the whole answer stands."""

    first_event_s: Seconds = 0.0
    idle_s: Seconds = 0.0
    retry_s: Seconds = 0.0

    def limits(self, usual: Timeouts) -> Timeouts:
        """The limits of a call to this provider."""
        return replace(
            usual,
            response_s=max(usual.response_s, self.first_event_s),
            first_event_s=max(usual.first_event_s, self.first_event_s),
            idle_s=max(usual.idle_s, self.idle_s),
        )

    def retries(self, usual: RetryPolicy) -> RetryPolicy:
        """When to try a call to this provider again."""
        return replace(usual, base_s=max(usual.base_s, self.retry_s))
