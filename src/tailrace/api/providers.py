"""`GET /api/v2/providers`: who can be called, and how it stands with them, as this process knows it."""

from litestar import get
from msgspec import Struct

from tailrace.api.services import Injected
from tailrace.schema.errors import InvalidRequest
from tailrace.upstream.keys import Reason
from tailrace.upstream.limits import Limit
from tailrace.upstream.registry import Provider, Registry
from tailrace.upstream.traffic import Report


class RestingKey(Struct, frozen=True):
    """A key that is passed over; `key` is its position among the provider's, from 1."""

    key: int
    until: int
    reason: Reason


class Keys(Struct, frozen=True):
    """How many keys there are, and which of them rest."""

    count: int
    resting: list[RestingKey]


class ProviderInfo(Struct, frozen=True, kw_only=True):
    """A provider without its secrets. Times are milliseconds since the epoch.

    `models` are those it lists (any name goes through where there are none); the one that `is_default` is meant where
    neither provider nor model is named. `limits` are as its last answer told them, at `limits_at`.
    """

    provider_id: str
    wire: str
    models: list[str]
    default_model: str | None
    is_default: bool
    keys: Keys
    in_flight: int
    max_in_flight: int | None
    limits: list[Limit]
    limits_at: int | None


class ProviderList(Struct, frozen=True):
    """The providers that are configured."""

    providers: list[ProviderInfo]


@get("/api/v2/providers")
async def list_providers(services: Injected) -> ProviderList:
    """The providers that can be called: their models, keys at rest, calls under way, and rate limits.

    Calls, keys and limits are those of this process: where runners are processes of their own, each knows its own.
    """
    known, traffic = services.registry, services.traffic
    default = _default(known)
    return ProviderList([_info(provider, traffic.report(provider), default) for provider in known.providers.values()])


def _default(known: Registry) -> Provider | None:
    try:
        return known.resolve(None, None)[0]
    except InvalidRequest:
        return None


def _info(provider: Provider, report: Report, default: Provider | None) -> ProviderInfo:
    resting = [RestingKey(key, rest.until, rest.reason) for key, rest in report.resting.items()]
    return ProviderInfo(
        provider_id=provider.provider_id,
        wire=provider.wire,
        models=provider.models,
        default_model=provider.default_model,
        is_default=provider is default,
        keys=Keys(report.keys, resting),
        in_flight=report.in_flight,
        max_in_flight=provider.max_in_flight,
        limits=report.limits,
        limits_at=report.limits_at,
    )
