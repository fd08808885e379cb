"""What a wire is: how a request is said and how the answer is heard.

A decoder is fed bytes as they come off the network and answers with canonical payloads: items, `provider_event`,
`usage_update` and, last, `step_done`. It never raises on what a provider sends and never waits; it keeps no clock.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tailrace.schema.errors import ProviderError
from tailrace.schema.events import Payload
from tailrace.schema.request import Generation, ModelRequest

TransportName = Literal["http", "websocket"]
Quirks = dict[str, Any]  # who differs how: rows of a wire's quirks table, or a provider's in providers.toml


@dataclass(frozen=True, slots=True)
class Callee:
    """The tool that a wire's name means; `takes_text` where it stands for a free-text tool (adapters/tools.py)."""

    name: str
    namespace: str | None = None
    takes_text: bool = False


@dataclass(frozen=True, slots=True)
class DecodeContext:
    """Where the answer belongs: its run and step, and how to name items that the provider left unnamed.

    An item's id is the provider's where it sends one that is not in `taken_ids` (the run's ids so far); otherwise
    `id_prefix` and a count. `callees`: the tools whose names on the wire are not their own, or not their kind
    (`Wire.callees` of the same request). `quirks`: how the provider differs, as `Wire.build` is told.
    """

    provider_id: str
    model_id: str
    response_id: str = ""
    step: int = 1
    id_prefix: str = "item_"
    taken_ids: Container[str] = field(default_factory=frozenset)
    callees: Mapping[str, Callee] = field(default_factory=dict)
    quirks: Quirks = field(default_factory=dict)


class Decoder(Protocol):
    """One model call's answer, from bytes to payloads."""

    @property
    def done(self) -> bool:
        """Has the answer ended (well or badly)? What comes after it is not looked at."""

    @property
    def ending(self) -> bool:
        """Is the answer whole, but for counts that may follow? Who has waited for them long enough says `close`."""

    @property
    def error(self) -> ProviderError | None:
        """What went wrong, if anything did. Items still open then are the caller's to close."""

    def feed(self, data: bytes) -> list[Payload]:
        """Take what one network read brought, split anywhere."""

    def close(self) -> list[Payload]:
        """The bytes have ended. Without a terminal event before this, `error` is `stream_interrupted`."""

    def whole(self, body: bytes) -> list[Payload]:
        """Take a non-streaming answer, whole: the same payloads that its stream would give, with one delta each."""


def no_headers(request: ModelRequest, quirks: Quirks) -> Mapping[str, str]:
    """Of a wire that says it all in the body."""
    return {}


@dataclass(frozen=True, slots=True)
class Wire:
    """A provider's protocol.

    `build` raises InvalidRequest with the canonical field that the wire has no words for. `callees` says what the
    names of tools in the answer mean. `path` is what a model's name, and whether its answer is to be streamed, add to
    the provider's base URL; so does `models`, where a GET lists what there is. `headers` go with every request,
    `own_headers` are what this one says in them; `auth` names the scheme of upstream/auth.py by which the key does,
    where the provider names no other. `transports` are the ways that it can take (upstream/transport.py).
    """

    name: str
    decoder: Callable[[DecodeContext], Decoder]
    build: Callable[[ModelRequest, Quirks], dict[str, Any]]
    callees: Callable[[Generation], Mapping[str, Callee]]
    path: Callable[[str, bool], str]
    auth: str
    headers: Mapping[str, str] = field(default_factory=dict)
    models: str = "/models"
    own_headers: Callable[[ModelRequest, Quirks], Mapping[str, str]] = no_headers
    transports: tuple[TransportName, ...] = ("http",)


def fixed(path: str) -> Callable[[str, bool], str]:
    """The path of a wire that says the model, and whether to stream, in the body."""
    return lambda model_id, stream: path
