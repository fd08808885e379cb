"""Environment variables in settings' texts: `{NAME}` stands for the variable, `{NAME:default}` for it or else the
default.
"""

import re
from collections.abc import Mapping

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

    return _PLACE.sub(put, text), list(dict.fromkeys(missing))
