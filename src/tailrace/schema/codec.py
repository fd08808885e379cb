"""The only JSON door. Everything that becomes JSON or comes from it passes here.

Decoding raises `InvalidJson`, whose `field` is a path such as `outputs[0].call_id`.

Half of a surrogate pair is no character (Unicode §3.8), and yet clients and providers that cut text by UTF-16 units
write it, escaped. It must not cost a thread or a stream: it becomes U+FFFD, on the way in and on the way out.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha1
from threading import Lock
from typing import Any, TypeVar

import msgspec

from tailrace.schema.errors import InvalidJson
from tailrace.schema.events import PAYLOAD_TYPES, Event, Payload, ProviderEvent, TraceContext, type_of

T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_payload_decoder: msgspec.json.Decoder[Payload] = msgspec.json.Decoder(Payload)
_any_decoder = msgspec.json.Decoder()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_making = Lock()
_WHERE = re.compile(r" - at `(?P<path>[^`]*)`$")
_MISSING = re.compile(r"(?:missing required|contains unknown) field `(?P<name>[^`]*)`")
_BAD_JSON = (msgspec.MsgspecError, UnicodeError, RecursionError)
_NAMESPACE = b"tailrace.event/"

_encode = _encoder.encode
_decode_any = _any_decoder.decode
_encode_canonical = msgspec.json.Encoder(order="deterministic").encode
# An escaped surrogate, with its other half where that follows; an even number of backslashes before it is text.
_SURROGATE = re.compile(
    rb"(?<!\\)(?P<text>(?:\\\\)*)"
    rb"(?:(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def encode(value: object) -> bytes:
    """A value as JSON."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_well_formed(msgspec.to_builtins(value)))


def encode_canonical(value: object) -> bytes:
    """One JSON for one value: for digests."""
    try:
        return _encode_canonical(value)
    except UnicodeEncodeError:
        return _encode_canonical(_well_formed(msgspec.to_builtins(value)))


def encode_pretty(value: object) -> str:
    """JSON for people."""
    return msgspec.json.format(encode(value), indent=2).decode()


def decode(data: bytes | str, kind: type[T]) -> T:
    """JSON text as a value of `kind`. Raises InvalidJson."""
    decoder = _decoders.get(kind) or _new_decoder(kind)
    return _decoded(decoder, data)  # type: ignore[no-any-return]  # the decoder was made for `kind`


def _new_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """One at a time: msgspec lets other threads see what it knows of a type before it knows all of it, and a decoder
    that was made from that reads where nothing is."""
    with _making:
        decoder = _decoders.get(kind)
        if decoder is None:
            decoder = _decoders[kind] = msgspec.json.Decoder(kind)
        return decoder


def decode_any(data: bytes | str) -> Any:
    """JSON text as plain dicts, lists and scalars: for a provider's JSON. Raises InvalidJson."""
    try:
        return _decode_any(data)
    except _BAD_JSON:
        return _decoded(_any_decoder, data)


def _decoded(decoder: msgspec.json.Decoder[Any], data: bytes | str) -> Any:
    try:
        return decoder.decode(data)
    except _BAD_JSON as error:
        mended = _mended(data)
        if mended == data:
            raise _invalid(error) from error
    try:
        return decoder.decode(mended)
    except _BAD_JSON as error:
        raise _invalid(error) from error


def _mended(data: bytes | str) -> bytes:
    """The text without halves of surrogate pairs."""
    raw = _whole_text(data).encode() if isinstance(data, str) else data
    return _SURROGATE.sub(lambda found: found["text"] + (found["pair"] or rb"\ufffd"), raw)


def _well_formed(value: Any) -> Any:
    """The same without halves of surrogate pairs in any text; two halves side by side are put together."""
    if isinstance(value, str):
        return _whole_text(value)
    if isinstance(value, dict):
        return {_well_formed(key): _well_formed(each) for key, each in value.items()}
    return [_well_formed(each) for each in value] if isinstance(value, list) else value


def _whole_text(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def convert(value: object, kind: type[T]) -> T:
    """Plain dicts and lists as a value of `kind`. Raises InvalidJson."""
    if kind not in _decoders:
        _new_decoder(kind)  # the same knowledge, come by in the same way
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error


def to_builtins(value: object) -> Any:
    """A value as plain dicts, lists and scalars."""
    return msgspec.to_builtins(value)


def json_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a struct: an object, with the types that it refers to in `$defs`.

    Raises TypeError where JSON has no word for one of its types.
    """
    (reference,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    schema: dict[str, Any] = definitions.pop(reference["$ref"].rpartition("/")[2])
    schema.pop("title", None)
    return {**schema, "$defs": definitions} if definitions else schema


def decode_payload(data: bytes) -> Payload:
    """A stored payload, brought up to date where an older version wrote it. Raises InvalidJson.

    One of a type that only a newer version knows is a `provider_event` to this one: kept whole, changing nothing.
    """
    try:
        return _payload_decoder.decode(data)
    except msgspec.ValidationError as error:
        stored = decode_any(data)
        name = stored.get("type") if isinstance(stored, dict) else None
        if name in UPCASTS:
            return convert(UPCASTS[name](stored), Payload)  # type: ignore[arg-type]  # a union is a type to msgspec
        if isinstance(name, str) and name not in PAYLOAD_TYPES:
            return ProviderEvent(provider_id="tailrace", name=name, data=stored)
        raise _invalid(error) from error
    except msgspec.DecodeError as error:
        raise _invalid(error) from error


# Older payload shapes: type -> a function that makes today's dict of yesterday's. Version 1 has no elders, so that the
# table is empty; it is the one place to add to when a field changes its name or meaning.
UPCASTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def event_id(run_id: str, seq: int) -> str:
    """A UUID (RFC 9562 §5.8, version 8) derived from run and seq, so that a replay is the same to the byte."""
    return f"{_of_run(run_id)[0].decode()}-{seq:012x}"


@lru_cache(maxsize=4096)
def _of_run(run_id: str) -> tuple[bytes, bytes]:
    """What a run's events share: how their ids begin (74 bits of the run's digest), and the run's id as JSON."""
    digest = sha1(_NAMESPACE + run_id.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{variant}{digest[17:20]}".encode(), encode(run_id)


def envelope(run_id: str, seq: int, timestamp: int, trace: TraceContext, payload: Payload) -> Event:
    """A payload in its envelope (contract §3)."""
    return Event(
        event_id=event_id(run_id, seq),
        seq=seq,
        timestamp=timestamp,
        trace_context=trace,
        run_id=run_id,
        type=type_of(payload),
        payload=payload,
    )


def event_json(run_id: str, seq: int, timestamp: int, trace: TraceContext, kind: str, payload: bytes) -> bytes:
    """The JSON of `envelope`'s event, from a payload that is JSON already: nothing is decoded to be encoded again."""
    return event_template(run_id, trace, kind) % (seq, seq, timestamp, payload)


@lru_cache(maxsize=4096)
def event_template(run_id: str, trace: TraceContext, kind: str) -> bytes:
    """What the JSON of a run's events has in common: what differs is put in with % (seq, seq, timestamp, payload)."""
    prefix, run = _of_run(run_id)
    same = b',"trace_context":%b,"run_id":%b,"type":"%b","payload":' % (encode(trace), run, kind.encode())
    return b'{"event_id":"%b-%%012x","seq":%%d,"timestamp":%%d%b%%b}' % (prefix, same.replace(b"%", b"%%"))


def decode_event(data: bytes | str) -> Event:
    """An event from its JSON. Raises InvalidJson, also where `type` is not `payload.type`."""
    event = decode(data, Event)
    if event.type != type_of(event.payload):
        raise InvalidJson(f"`type` is {event.type!r}, but `payload.type` is {type_of(event.payload)!r}", field="type")
    return event


def _invalid(error: Exception) -> InvalidJson:
    message = str(error)
    where = _WHERE.search(message)
    path = where["path"].removeprefix("$").removeprefix(".") if where else ""
    missing = _MISSING.search(message)
    if missing:
        path = f"{path}.{missing['name']}" if path else missing["name"]
    return InvalidJson(_WHERE.sub("", message), field=path or None)
