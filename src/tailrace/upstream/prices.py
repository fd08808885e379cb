"""What the providers' models cost, as listed in prices.toml."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from msgspec import Struct, field
from msgspec.structs import replace

from tailrace.fold.cost import Price, Rate
from tailrace.schema import codec

_DATE = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")


class _Listed(Struct, kw_only=True, forbid_unknown_fields=True):
    """A provider's table."""

    tiers: dict[str, Rate] = field(default_factory=dict)
    models: dict[str, Price] = field(default_factory=dict)


@cache
def listed_prices() -> dict[str, dict[str, Price]]:
    """Provider → model → price."""
    table = tomllib.loads(files("tailrace.upstream").joinpath("prices.toml").read_text(encoding="utf-8"))
    del table["date"]
    return {
        name: {model: replace(price, tiers={**listed.tiers, **price.tiers}) for model, price in listed.models.items()}
        for name, listed in codec.convert(table, dict[str, _Listed]).items()
    }


def price_of(prices: Mapping[str, Price], model_id: str) -> Price | None:
    """A model's price, by its name or by its name without the date at its end."""
    return prices.get(model_id) or prices.get(without_date(model_id))


def without_date(model_id: str) -> str:
    """A model's name without the date at its end."""
    return _DATE.sub("", model_id)
