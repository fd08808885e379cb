"""From a model request to the call that asks a provider: address, headers and body, with the key in its header."""

from collections.abc import Mapping

from tailrace.adapters.wires import WIRES, body_of
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest, ProviderError
from tailrace.schema.request import ModelRequest
from tailrace.upstream.auth import SCHEMES, Scheme, Unsigned
from tailrace.upstream.http import Call, Session
from tailrace.upstream.registry import Provider


async def prepare(provider: Provider, request: ModelRequest, key: str | None, environ: Mapping[str, str]) -> Call:
    """The call, signed with `key` or with what stands in `environ`. Raises ProviderError.

    The body is built for the model's own name, by which its quirks are known, and says what the provider calls it.
    Where a provider's streams go over WebSocket, the call names its session.
    """
    wire = WIRES[provider.wire]
    try:
        body = body_of(provider.wire, request, provider.quirks)
    except InvalidRequest as error:
        raise ProviderError("invalid_request", error.message, details=error.details) from error
    said = provider.model_names.get(request.model_id, request.model_id)
    if "model" in body:
        body["model"] = said
    url = provider.url(wire.path(said, request.stream))
    unsigned = Unsigned(url, codec.encode(body), key, environ)
    headers = {**wire.own_headers(request, provider.quirks), **await signed(provider, unsigned)}
    session = _session(provider, request) if provider.transport == "websocket" and request.stream else None
    return Call(url=url, headers=headers, body=unsigned.body, stream=request.stream, session=session)


async def signed(provider: Provider, call: Unsigned) -> dict[str, str]:
    """The headers of a call: the wire's, those that say who is calling, the provider's."""
    wire = WIRES[provider.wire]
    return {**wire.headers, **await scheme_of(provider).headers(call), **provider.headers}


def scheme_of(provider: Provider) -> Scheme:
    """How calls to the provider show who is calling."""
    return SCHEMES[provider.auth or WIRES[provider.wire].auth]


def _session(provider: Provider, request: ModelRequest) -> Session:
    """A client that keeps its conversation itself asks in a new thread each time, but may say what they have in
    common."""
    conversation = request.generation.prompt_cache_key or request.thread_id
    return Session(provider.provider_id, request.model_id, conversation)
