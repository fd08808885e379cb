"""What must not be seen of a server: the values that the environment gave to its settings (design rule 9)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from tailrace.mcp.config import McpServer
from tailrace.upstream.placeholders import fill, names_in

HIDDEN = "[hidden]"
_SHORTEST = 6  # shorter ones are words of ordinary text


@dataclass(frozen=True, slots=True)
class Secrets:
    """Values that are replaced wherever a server's words go into a log, an event or an error."""

    values: tuple[str, ...] = ()

    def hide(self, text: str) -> str:
        """The text without them."""
        for value in self.values:
            text = text.replace(value, HIDDEN)
        return text


def filled(config: McpServer, environ: Mapping[str, str]) -> tuple[McpServer, Secrets, list[str]]:
    """The settings with what stands in the environment; what of it is hidden; the variables that are missing."""
    missing: list[str] = []

    def put(text: str) -> str:
        value, lacks = fill(text, environ)
        missing.extend(lacks)
        return value

    made = replace(
        config,
        command=put(config.command) if config.command is not None else None,
        args=[put(each) for each in config.args],
        env={name: put(value) for name, value in config.env.items()},
        url=put(config.url) if config.url is not None else None,
        headers={name: put(value) for name, value in config.headers.items()},
    )
    return made, Secrets(_values(config, environ)), list(dict.fromkeys(missing))


def _values(config: McpServer, environ: Mapping[str, str]) -> tuple[str, ...]:
    texts: Iterable[str] = (
        config.command or "", config.url or "", *config.args, *config.env.values(), *config.headers.values()
    )  # fmt: skip
    found = {environ.get(name, "") for text in texts for name in names_in(text)}
    return tuple(sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True))
