"""What a model call costs: its token counts times a price. The price is passed in; nothing here knows any."""

from typing import Annotated

from msgspec import Meta, Struct, field

from tailrace.schema.response import Usage

_PER = 1_000_000

Rate = Annotated[float, Meta(ge=0)]


class Long(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of prompts `above` so many tokens, all input costs `input` times as much, and the output `output` times."""

    above: Annotated[int, Meta(ge=1)]
    input: Rate
    output: Rate


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's price in USD per million tokens.

    `cached`: input that is read from the provider's cache; `write`: that is written to it, for five minutes;
    `write_1h`: for an hour. What is not said costs what the input costs, an hour's writing what other writing does.
    `tiers`: service tier → factor.
    """

    input: Rate
    output: Rate
    cached: Rate | None = None
    write: Rate | None = None
    write_1h: Rate | None = None
    long: Long | None = None
    tiers: dict[str, Rate] = field(default_factory=dict)


def cost_usd(usage: Usage, price: Price, *, tier: str | None = None, written_1h: int = 0) -> float:
    """The cost of a call in USD.

    `tier` is the one it was served in; `written_1h` is how many of the tokens that were written to the cache are kept
    for an hour.
    """
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    hour = min(written_1h, written)
    write = price.input if price.write is None else price.write
    prompt = (
        max(usage.prompt_tokens - cached - written, 0) * price.input
        + cached * (price.input if price.cached is None else price.cached)
        + (written - hour) * write
        + hour * (write if price.write_1h is None else price.write_1h)
    )
    completion = usage.completion_tokens * price.output
    if price.long is not None and usage.prompt_tokens > price.long.above:
        prompt, completion = prompt * price.long.input, completion * price.long.output
    return round((prompt + completion) / _PER * price.tiers.get(tier or "", 1.0), 12)
