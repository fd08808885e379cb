"""Environment variables in settings' texts: `{NAME}` stands for the variable, `{NAME:default}` for it or else the
default.
"""

import re
from collections.abc import Mapping, Sequence

_PLACE = re.compile(r"\{([A-Za-z_]\w*)(?::([^{}]*))?\}")


def fill(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """The text with what stands in the environment, and the variables that it lacks: their places stay as they are."""
    missing: list[str] = []

    def put(place: re.Match[str]) -> str:
        name, default = place[1], place[2]
        value = environ.get(name) or default
        if value is None:
            missing.append(name)
            return place[0]
        return value

    return _PLACE.sub(put, text), missing


def names_in(text: str) -> list[str]:
    """The variables that have a place in the text."""
    return [place[1] for place in _PLACE.finditer(text)]


def fill_first(texts: Sequence[str], environ: Mapping[str, str]) -> tuple[str, str]:
    """The first of `texts` that lacks nothing, filled, and "". Else the last one as far as it goes, and what would have
    to be set, in words ("A or B and C")."""
    lacks: list[str] = []
    filled = ""
    for text in texts:
        filled, missing = fill(text, environ)
        if not missing:
            return filled, ""
        lacks.append(" and ".join(dict.fromkeys(missing)))
    return filled, " or ".join(lacks)
