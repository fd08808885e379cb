"""What the settings say of MCP servers, and how it stands with them (docs/mcp.md)."""

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
# Its tools are called NAME__tool: so there is no `__` in it.
_NAME = re.compile(r"[A-Za-z0-9](?:_?[A-Za-z0-9-]){0,31}")


class McpServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server that is a child process (`command`, `args`, `env`), or one on the network (`url`, `headers`, `oauth`).

    In all of these, `{NAME}` stands for an environment variable and `{NAME:default}` for it or else the default.
    `allow`, `deny`, `idempotent`: patterns of the server's own names of its tools: those that are offered, those that
    are not, those that may be run again where a crash left their outcome unknown. `start_s`: for the server to start
    and to say what it has; `timeout_s`, `output_bytes`: of a call; `parallel`: calls of the server at a time. Raises
    ValueError: it is neither of the two kinds, or both.
    """

    command: str | None = None
    args: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    url: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    oauth: bool = False
    allow: list[str] = field(default_factory=lambda: ["*"])
    deny: list[str] = field(default_factory=list)
    idempotent: list[str] = field(default_factory=list)
    start_s: Positive = 30.0
    timeout_s: Positive = 60.0
    output_bytes: Count = 32 * 1024
    parallel: Count = 8

    def __post_init__(self) -> None:
        if (self.command is None) == (self.url is None):
            raise ValueError("give exactly one of `command` and `url`")
        theirs = {"args": self.args, "env": self.env} if self.url else {"headers": self.headers, "oauth": self.oauth}
        for name, value in theirs.items():
            if value:
                raise ValueError(f"`{name}` does not go with `{'url' if self.url else 'command'}`")


class McpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The servers, by name. Raises ValueError: a name is none that tools can begin with."""

    servers: dict[str, McpServer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.servers:
            if not _NAME.fullmatch(name):
                raise ValueError(f"servers: {name!r}: a name has letters, digits, - and single _, up to 32")


State = Literal["starting", "connected", "lost", "needs_login", "not_set_up"]


class Standing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How it stands with a server. `error`: why it is not connected; `left_out`: tools that are not offered, with
    the reason."""

    name: str
    transport: Literal["stdio", "http"]
    state: State
    tools: list[str]
    error: str | None = None
    left_out: dict[str, str] | None = None
