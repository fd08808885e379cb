"""Going on from the response before (`previous_response_id`): only what is new is sent, where that is safe.

It is where the new request is the old one with more behind it: every option is equal, and its input begins with the old
input followed by what the response put out, by strict comparison of their JSON. `client_metadata` may differ. Ids and
states of items are not compared: they are the provider's own, and not all of them are said again (request.py).

What is remembered of a request is two digests and a count, however long the conversation is.

A response can be gone on from with `store: false` too: the connection that gave it remembers it
(https://platform.openai.com/docs/guides/websocket-mode).
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from msgspec import Raw, Struct

from tailrace.adapters.reading import Json, dicts_in, text_in
from tailrace.schema import codec

_NOT_COMPARED = frozenset({"input", "client_metadata"})
_OWN = frozenset({"id", "status"})  # an item's, at its provider
_SAID: dict[str, tuple[str, ...]] = {
    "function_call": ("call_id", "name", "namespace", "caller"),
    "custom_tool_call": ("call_id", "name", "namespace", "caller", "input"),
    "message": ("role", "phase"),
}


class Request(Struct, frozen=True, kw_only=True):
    """A request's body: its options and its input, each item as the JSON that it is."""

    options: dict[str, Raw]
    items: list[Raw]

    @property
    def names_previous(self) -> bool:
        """Does the caller itself say what to go on from? Then it is left as it is."""
        return "previous_response_id" in self.options

    @property
    def continues_turn(self) -> bool:
        """Does nothing but tools' outputs stand behind the model's last word? Otherwise a new turn begins."""
        heads = (codec.decode(bytes(raw), _Head) for raw in reversed(self.items))
        for outputs, head in enumerate(heads):
            if not str(head.type).endswith("_output"):
                return outputs > 0 and head.is_models
        return False


class _Head(Struct, frozen=True):
    type: Any = ""
    role: Any = None

    @property
    def is_models(self) -> bool:
        return self.role == "assistant" or self.type == "reasoning" or str(self.type).endswith("_call")


class Baseline(Struct, frozen=True, kw_only=True):
    """What a response can be gone on from: digests of its request's options and input, and of each item it put out."""

    response_id: str
    options: bytes
    count: int
    prefix: bytes
    output: tuple[bytes, ...]


def read_request(body: bytes) -> Request:
    """A request's body, cut into its parts. Raises InvalidJson for what request.py did not make."""
    options = codec.decode(body, dict[str, Raw])
    given = options.pop("input", None)
    return Request(options=options, items=codec.decode(bytes(given), list[Raw]) if given is not None else [])


def create(request: Request, previous: str | None = None, items: Sequence[Raw] | None = None) -> bytes:
    """The frame that asks for a response: with all of its input, or on from `previous` with `items` alone."""
    frame: dict[str, Any] = {"type": "response.create", **request.options}
    if previous is not None:
        frame["previous_response_id"] = previous
    return codec.encode({**frame, "input": request.items if items is None else list(items)})


def delta(baseline: Baseline, request: Request) -> list[Raw] | None:
    """The items that are new since `baseline`; None where the request does not go on from it."""
    start = baseline.count
    end = start + len(baseline.output)
    items = request.items
    if end >= len(items) or request.names_previous or baseline.options != _options(request.options):
        return None
    if baseline.prefix != _digest(items[:start]):
        return None
    said = tuple(_said_digest(codec.decode_any(bytes(item))) for item in items[start:end])
    return items[end:] if said == baseline.output else None


def baseline_of(request: Request, response_id: str, output: tuple[bytes, ...]) -> Baseline:
    """What `request`, answered with items of these digests, can be gone on from."""
    return Baseline(
        response_id=response_id,
        options=_options(request.options),
        count=len(request.items),
        prefix=_digest(request.items),
        output=output,
    )


class Output:
    """The items of an answer, as its frames bring them."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: list[tuple[int, bytes]] = []

    def add(self, index: int | None, item: Json) -> None:
        """An item is done. Its place is its index, else the order in which it came."""
        self._items.append((len(self._items) if index is None else index, _said_digest(item)))

    def digests(self, response: Json) -> tuple[bytes, ...] | None:
        """Those of all of them, in order; None where the final response has others (some have none at all)."""
        items = tuple(digest for _, digest in sorted(self._items))
        said = tuple(_said_digest(item) for item in dicts_in(response, "output"))
        return items if items == said or not said else (None if items else said)


def _options(options: Mapping[str, Raw]) -> bytes:
    digest = sha256()
    for name in sorted(options.keys() - _NOT_COMPARED):
        digest.update(codec.encode(name) + b":" + bytes(options[name]) + b",")
    return digest.digest()


def _digest(items: Sequence[Raw]) -> bytes:
    digest = sha256()
    for item in items:
        digest.update(item)
        digest.update(b",")
    return digest.digest()


def _said_digest(item: Json) -> bytes:
    return sha256(codec.encode_canonical(_said(item))).digest()


def _said(item: Json) -> Json:
    """An item as it is compared: what is left of an output item when it is said again as input."""
    kind = text_in(item, "type")
    if kind == "reasoning" and text_in(item, "encrypted_content"):
        return {"type": kind, "encrypted_content": item["encrypted_content"]}  # all of it is in there
    if kind not in _SAID:
        return {name: value for name, value in item.items() if name not in _OWN}
    said = {name: item[name] for name in _SAID[kind] if item.get(name) is not None}
    if kind == "function_call":
        said["arguments"] = item.get("arguments") or "{}"
    elif kind == "message":
        said["content"] = [_part(part) for part in dicts_in(item, "content")]
    return {"type": kind, **said}


def _part(part: Json) -> Json:
    """Annotations and logprobs are not said again."""
    return {name: part[name] for name in ("type", "text", "refusal") if name in part}
