"""Input items in canonical words: messages of all roles, reasoning, calls, their outputs, and what providers made.

Ids: an item keeps the one it comes with; one that has none, or one that is taken, is named after its run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tailrace.dialects.responses.items import PROVIDER_ITEMS, Json
from tailrace.dialects.responses.sealed import unseal, unseal_items
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, InvalidRequest
from tailrace.schema.items import (
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    Opaque,
    OutputItem,
    Part,
    ProviderItem,
    ReasoningItem,
    RefusalPart,
    TextPart,
)

MOST_ID = 256  # characters
ROLES = {"user": "user", "assistant": "agent", "system": "system", "developer": "system"}


class Home(NamedTuple):
    """Where the request goes: continuation data that is not sealed by us is taken to be of this provider's model."""

    provider_id: str
    model_id: str


@dataclass(slots=True)
class Reading:
    """One input, being read. `number` names the run; `known` are the items that may be referred to by their ids."""

    number: str
    home: Home
    known: Mapping[str, OutputItem] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def items(self, given: str | Sequence[Any]) -> list[OutputItem]:
        """The canonical items. Raises InvalidRequest, naming the item and what is wrong with it."""
        if isinstance(given, str):
            return [MessageItem(id=self._name(None, "msg"), content=given, origin="user")]
        return [
            item for place, said in enumerate(given) for item in self._item(_object(said, f"input[{place}]"), place)
        ]

    def _item(self, said: Json, place: int) -> Iterator[OutputItem]:
        where = f"input[{place}]"
        kind = said.get("type", "message" if "role" in said else None)
        if kind == "item_reference":
            yield self._referred(said, where)
            return
        if kind == "additional_tools":
            return  # read with the tools
        if kind == "compaction":
            yield from self._compaction(said, where)
            return
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is not None:
            yield read(self, said, where)
        elif kind in PROVIDER_ITEMS:
            yield ProviderItem(id=self._name(said.get("id"), "item", where), provider_type=kind, data=said)
        else:
            raise InvalidRequest(f"there is no input item of type {kind!r}", field=f"{where}.type")

    def _referred(self, said: Json, where: str) -> OutputItem:
        wanted = text(said, "id", where)
        item = self.known.get(wanted)
        if item is None:
            raise InvalidRequest(f"no item {wanted!r} is known", field=f"{where}.id", code="item_not_found")
        self._used.add(item.id)
        return item

    def _compaction(self, said: Json, where: str) -> Iterator[OutputItem]:
        sealed = text(said, "encrypted_content", where)
        kept = unseal_items(sealed)
        if kept is None:
            yield ProviderItem(id=self._name(said.get("id"), "cmp", where), provider_type="compaction", data=said)
            return
        for item in kept:
            yield codec.convert({**codec.to_builtins(item), "id": self._name(item.id, "msg", where)}, OutputItem)  # type: ignore[arg-type]  # a union is a type to msgspec

    def _name(self, given: object, prefix: str, where: str = "input") -> str:
        """The item's id: the one it came with, where that is free."""
        if given is not None and not (isinstance(given, str) and len(given) <= MOST_ID):
            raise InvalidRequest(f"an id has at most {MOST_ID} characters", field=f"{where}.id")
        name = given if isinstance(given, str) and given and given not in self._used else None
        name = name or f"{prefix}_{self.number}_{len(self._used) + 1}"
        self._used.add(name)
        return name

    # --- one reader per type ---------------------------------------------------------------------------------------

    def _message(self, said: Json, where: str) -> OutputItem:
        role = said.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise InvalidRequest(f"a role is one of {', '.join(ROLES)}", field=f"{where}.role")
        parts = read_parts(said.get("content"), f"{where}.content")
        phase = said.get("phase")
        return MessageItem(
            id=self._name(said.get("id"), "msg", where),
            content=visible(parts),
            origin=ROLES[role],  # type: ignore[arg-type]  # the table's values are origins
            parts=None if is_plain(parts) else parts,
            phase=phase if isinstance(phase, str) else None,
        )

    def _reasoning(self, said: Json, where: str) -> OutputItem:
        summaries = _texts(said.get("summary"), f"{where}.summary")
        own = _texts(said.get("content"), f"{where}.content")
        given = said.get("encrypted_content")
        own_id, opaque = self._opaque(given, said.get("id")) if isinstance(given, str) and given else (None, None)
        name = self._name(said.get("id"), "rs", where)
        return ReasoningItem(
            id=name,
            content="\n\n".join(summaries or own),
            summary_parts=summaries or None,
            opaque=opaque,
            correlation_id=own_id if own_id != name else None,
        )

    def _opaque(self, given: str, item_id: object) -> tuple[str | None, Opaque]:
        kept = unseal(given)
        if kept is not None:
            return kept
        own = item_id if isinstance(item_id, str) else None
        return own, Opaque(
            provider_id=self.home.provider_id, model_id=self.home.model_id, kind="encrypted_content", data=given
        )

    def _call(self, said: Json, where: str) -> OutputItem:
        is_custom = said.get("type") == "custom_tool_call"
        arguments = said.get("input" if is_custom else "arguments", "")
        if not isinstance(arguments, str):
            raise InvalidRequest("has to be a text", field=f"{where}.{'input' if is_custom else 'arguments'}")
        namespace = said.get("namespace")
        return FunctionCallItem(
            id=self._name(said.get("id"), "ctc" if is_custom else "fc", where),
            name=text(said, "name", where),
            arguments=arguments,
            call_id=text(said, "call_id", where),
            kind="custom" if is_custom else None,
            namespace=namespace if isinstance(namespace, str) else None,
        )

    def _output(self, said: Json, where: str) -> OutputItem:
        parts = read_parts(said.get("output"), f"{where}.output")
        return FunctionCallOutputItem(
            id=self._name(said.get("id"), "fco", where),
            call_id=text(said, "call_id", where),
            output=visible(parts),
            success=said.get("status") != "incomplete",
            origin="user",
            parts=None if is_plain(parts) else parts,
        )


_READERS: dict[str, Callable[[Reading, Json, str], OutputItem]] = {
    "message": Reading._message,
    "reasoning": Reading._reasoning,
    "function_call": Reading._call,
    "custom_tool_call": Reading._call,
    "function_call_output": Reading._output,
    "custom_tool_call_output": Reading._output,
}


def references(given: str | Sequence[Any] | None) -> list[str]:
    """The ids of the items that the input refers to."""
    if given is None or isinstance(given, str):
        return []
    said = (item for item in given if isinstance(item, dict) and item.get("type") == "item_reference")
    return [item["id"] for item in said if isinstance(item.get("id"), str)]


# --- parts ------------------------------------------------------------------------------------------------------


def read_parts(given: object, where: str) -> list[Part]:
    """Content, as a text or as a list of parts (a text in the list is a part of text). Raises InvalidRequest."""
    if isinstance(given, str):
        return [TextPart(text=given)]
    if not isinstance(given, list):
        raise InvalidRequest("has to be a text, or a list of parts", field=where)
    return [_part(part, f"{where}[{place}]") for place, part in enumerate(given)]


def _part(given: object, where: str) -> Part:
    if isinstance(given, str):
        return TextPart(text=given)
    said = _object(given, where)
    kind = said.get("type")
    match kind:
        case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text":
            return TextPart(text=text(said, "text", where, allow_empty=True))
        case "refusal":
            return RefusalPart(refusal=text(said, "refusal", where, allow_empty=True))
        case "input_image":
            return _image(said, where)
        case "input_file":
            return _file(said, where)
        case _:
            raise InvalidRequest(f"there is no content part of type {kind!r}", field=f"{where}.type")


def _image(said: Json, where: str) -> Part:
    url = said.get("image_url")
    if isinstance(url, dict):  # as Chat Completions nest it
        url = url.get("url")
    known = {"url": url, "file_id": said.get("file_id"), "detail": said.get("detail")}
    if not known["url"] and not known["file_id"]:
        raise InvalidRequest("an image needs an `image_url` or a `file_id`", field=f"{where}.image_url")
    return _converted(known, ImagePart, where)


def _file(said: Json, where: str) -> Part:
    known = {
        "filename": said.get("filename"),
        "url": said.get("file_url"),
        "data": said.get("file_data"),
        "file_id": said.get("file_id"),
    }
    if not known["url"] and not known["data"] and not known["file_id"]:
        raise InvalidRequest("a file needs `file_data`, a `file_url` or a `file_id`", field=f"{where}.file_data")
    return _converted(known, FilePart, where)


def _converted(known: Json, kind: type[Part], where: str) -> Part:
    try:
        return codec.convert({name: value for name, value in known.items() if value is not None} | _tag(kind), kind)
    except InvalidJson as error:
        raise InvalidRequest(error.message, field=f"{where}.{error.field}" if error.field else where) from error


def _tag(kind: type[Part]) -> Json:
    return {"type": kind.__struct_config__.tag}


def visible(parts: Sequence[Part]) -> str:
    """All visible text, joined."""
    return "".join(part.text if isinstance(part, TextPart) else part.refusal
                   for part in parts if isinstance(part, TextPart | RefusalPart))  # fmt: skip


def is_plain(parts: Sequence[Part]) -> bool:
    """Can plain text say it all?"""
    return len(parts) == 1 and isinstance(parts[0], TextPart)


def _texts(given: object, where: str) -> list[str]:
    if given is None:
        return []
    return [part.text for part in read_parts(given, where) if isinstance(part, TextPart) and part.text]


def text(said: Json, name: str, where: str, *, allow_empty: bool = False) -> str:
    """A field that has to be a text. Raises InvalidRequest."""
    value = said.get(name)
    if isinstance(value, str) and (value or allow_empty):
        return value
    raise InvalidRequest("has to be a text", field=f"{where}.{name}")


def _object(given: object, where: str) -> Json:
    if isinstance(given, dict):
        return given
    raise InvalidRequest("has to be an object", field=where)
