"""Liveness, readiness, metrics, and the API described."""

from typing import Any, Literal

from litestar import MediaType, Request, Response, get
from msgspec import Struct

from tailrace.api.metrics import exposition
from tailrace.api.services import Injected
from tailrace.schema import codec
from tailrace.settings import Role


class Readiness(Struct, frozen=True):
    """What `/readyz` says."""

    status: Literal["ready"]
    roles: list[Role]
    dead: dict[str, list[str]]


OPEN_PATHS = frozenset({"/healthz", "/readyz"})


@get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@get("/readyz")
async def readyz(services: Injected) -> Readiness:
    """The log and the store can be reached; 503 where not. What this process does, and the runs that no worker could
    cope with, by kind of work."""
    await services.log.ping()
    await services.store.ping()
    return Readiness(status="ready", roles=services.settings.server.roles, dead=await services.dead())


@get("/metrics", media_type=MediaType.TEXT)
async def metrics(services: Injected) -> Response[bytes]:
    """Prometheus metrics."""
    text = exposition(await services.gauges())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@get("/openapi.json", include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The API as OpenAPI 3.1."""
    return Response(codec.encode(request.app.openapi_schema.to_schema()), media_type="application/json")
