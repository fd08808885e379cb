"""The cost of a model call, put into its usage on the way to the log, so that every reader sees the same.

Wire-neutral: what a provider says of its service tier and of how long it caches, it says in events that the decoder
passes on whole (`response` and `usage`), before the step ends.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from tailrace.adapters.reading import count_in, dict_in, text_in
from tailrace.fold.cost import Price, cost_usd
from tailrace.schema.events import Payload, ProviderEvent, StepDone, UsageUpdate

_TELLING = frozenset({StepDone, UsageUpdate, ProviderEvent})  # the others, nearly all, go by untouched

# Vertex AI's words for the tier that it served: standard, where it had no place in the one that was asked for.
_TRAFFIC = {"ON_DEMAND": "default", "ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}


class Pricing:
    """Prices the payloads of one call. `tier` is the service tier that was asked for; the one that is served holds."""

    def __init__(self, price: Price, tier: str | None) -> None:
        self._price = price
        self._tier = tier
        self._written_1h = 0

    def priced(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads, with the cost where they tell of usage. A cost that the provider itself reports is left."""
        return [self._priced(payload) if type(payload) in _TELLING else payload for payload in payloads]

    def _priced(self, payload: Payload) -> Payload:
        if isinstance(payload, StepDone | UsageUpdate):
            usage = payload.usage
            if usage is None or usage.cost_usd is not None:
                return payload
            cost = cost_usd(usage, self._price, tier=self._tier, written_1h=self._written_1h)
            return replace(payload, usage=replace(usage, cost_usd=cost))
        if isinstance(payload, ProviderEvent) and payload.name in {"response", "usage"}:
            self._listen(payload.data)
        return payload

    def _listen(self, data: object) -> None:
        if isinstance(data, dict):
            self._tier = text_in(data, "service_tier") or _TRAFFIC.get(text_in(data, "trafficType")) or self._tier
            self._written_1h = (
                count_in(dict_in(data, "cache_creation"), "ephemeral_1h_input_tokens") or self._written_1h
            )  # fmt: skip
