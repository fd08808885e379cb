"""Does a provider answer, with this key? One tiny request, and what came of it in a few words."""

from collections.abc import Mapping

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.wires import WIRES
from tailrace.schema.errors import ProviderError
from tailrace.schema.items import MessageItem
from tailrace.schema.request import Generation, ModelRequest
from tailrace.upstream.auth import Unsigned
from tailrace.upstream.http import Call, Timeouts, Upstream
from tailrace.upstream.prepare import prepare, signed
from tailrace.upstream.registry import Provider

TIMEOUTS = Timeouts(connect_s=5.0, first_event_s=30.0, idle_s=30.0, total_s=60.0)
_PROMPT = "Say ok."
_MOST_TOKENS = 16  # as few as OpenAI takes

# What an error means to whoever set the provider up; of the others, its code does.
_MEANS = {
    "authentication": "wrong key",
    "permission": "the key may not",
    "not_found": "no such model",
    "connection": "unreachable",
    "timeout": "unreachable",
}


async def ping(upstream: Upstream, provider: Provider, key: str | None, environ: Mapping[str, str]) -> tuple[bool, str]:
    """Whether it is well, and what came back. A key never stands in it.

    The provider's default model, or the first that it lists, is asked to say something; without one, the provider is
    asked for its models.
    """
    model = next(iter([*([provider.default_model] if provider.default_model else []), *provider.models]), None)
    try:
        if model is None:
            await _list_models(upstream, provider, key, environ)
            return True, "ok: it lists its models"
        await _ask(upstream, provider, model, key, environ)
    except ProviderError as error:
        return False, _without(key, f"{_MEANS.get(error.code, error.code)}: {error.message}")
    return True, f"ok: {model} answers"


async def _ask(upstream: Upstream, provider: Provider, model: str, key: str | None, environ: Mapping[str, str]) -> None:
    request = ModelRequest(
        provider_id=provider.provider_id,
        model_id=model,
        items=[MessageItem(id="ping", content=_PROMPT, origin="user")],
        generation=Generation(max_output_tokens=_MOST_TOKENS),
    )
    context = DecodeContext(provider_id=provider.provider_id, model_id=model, quirks=provider.quirks)
    decoder = WIRES[provider.wire].decoder(context)

    def take(data: bytes) -> bool:
        if data:
            decoder.feed(data)
        else:
            decoder.close()
        return not decoder.done

    call = await prepare(provider, request, key, environ)
    async with upstream.open(call, provider.patience.limits(TIMEOUTS)) as reply:
        while not decoder.done and await reply.feed(take):
            pass
    if decoder.error is not None:
        raise decoder.error


async def _list_models(upstream: Upstream, provider: Provider, key: str | None, environ: Mapping[str, str]) -> None:
    unsigned = Unsigned(provider.url(WIRES[provider.wire].models), b"", key, environ)
    call = Call(url=unsigned.url, headers=await signed(provider, unsigned), body=b"", stream=False, method="GET")
    try:
        async with upstream.open(call, provider.patience.limits(TIMEOUTS)):
            pass
    except ProviderError as error:
        if error.code != "not_found":
            raise
        raise ProviderError("invalid_request", "it lists no models; say its default_model in the settings") from error


def _without(key: str | None, text: str) -> str:
    return text.replace(key, "***") if key else text
