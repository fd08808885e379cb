"""`GET /v1/models`: what can be asked for, in a shape that OpenAI's and Anthropic's SDKs both read."""

from typing import Any

from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp

from tailrace.api.services import Injected
from tailrace.api.v1.exchange import Json200
from tailrace.schema.errors import NotFound
from tailrace.upstream.registry import Registry

_NO_DATE = "1970-01-01T00:00:00Z"  # no provider says when its models were made


@get("/v1/models")
async def list_models(services: Injected) -> ASGIApp:
    """The models of all providers that list theirs, each provider's default, and the aliases."""
    models = [_said(name, owner) for name, owner in names(services.registry).items()]
    first, last = (models[0]["id"], models[-1]["id"]) if models else (None, None)
    return Json200({"object": "list", "data": models, "has_more": False, "first_id": first, "last_id": last})


@get("/v1/models/{model_id:path}")
async def get_model(model_id: FromPath[str], services: Injected) -> ASGIApp:
    """One model, by the name that a request would give it."""
    name = model_id.removeprefix("/")
    owner = names(services.registry).get(name)
    if owner is None:
        raise NotFound(f"The model '{name}' does not exist.", field="model", code="model_not_found")
    return Json200(_said(name, owner))


def names(registry: Registry) -> dict[str, str]:
    """What a request may call a model -> its provider. A provider that lists none may have others, too."""
    known: dict[str, str] = {}
    for provider_id, provider in registry.providers.items():
        listed = provider.models or ([provider.default_model] if provider.default_model else [])
        known |= {f"{provider_id}/{model}": provider_id for model in listed}
    known |= {alias: meant.partition("/")[0] for alias, meant in registry.aliases.items()}
    return known


def _said(name: str, owner: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": owner,
        "type": "model",
        "display_name": name,
        "created_at": _NO_DATE,
    }
