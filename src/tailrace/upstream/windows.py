"""How much the providers' models take in, as listed in windows.toml."""

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

from tailrace.schema import codec
from tailrace.upstream.prices import without_date


@cache
def listed_windows() -> dict[str, dict[str, int]]:
    """Provider → model, or a pattern of its name → tokens."""
    table = tomllib.loads(files("tailrace.upstream").joinpath("windows.toml").read_text(encoding="utf-8"))
    del table["date"]
    return codec.convert(table, dict[str, dict[str, int]])


def window_of(windows: Mapping[str, int], model_id: str) -> int | None:
    """A model's window in tokens, by its name or by its name without the date at its end; None where it is unknown."""
    names = (model_id, without_date(model_id))
    return next((tokens for known, tokens in windows.items() if any(fnmatchcase(name, known) for name in names)), None)
