"""How many input tokens a conversation is likely to cost, without asking its provider.

The rule: four characters of text to a token (names, arguments and schemas are text), 4 tokens around each item, 765 for
an image (what OpenAI counts for one of middling size), and a file by the size of its data, at four bytes to a token.
"""

from collections.abc import Iterable

from tailrace.schema import codec
from tailrace.schema.items import (
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    OutputItem,
    Part,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from tailrace.schema.request import Generation

CHARACTERS_PER_TOKEN = 4
PER_ITEM = 4
PER_IMAGE = 765


def input_tokens(items: Iterable[OutputItem], generation: Generation) -> int:
    """Tokens, about."""
    asked = _text(generation.instructions or "")
    if generation.tools:
        asked += _text(codec.encode(generation.tools).decode())
    return asked + size(items)


def size(items: Iterable[OutputItem]) -> int:
    """Of items alone."""
    return sum(PER_ITEM + _item(item) for item in items)


def _item(item: OutputItem) -> int:
    match item:
        case MessageItem():
            return _parts(item.parts) if item.parts else _text(item.content)
        case ReasoningItem():
            return _text(item.content)
        case FunctionCallItem():
            return _text(item.name) + _text(item.arguments)
        case FunctionCallOutputItem():
            return _parts(item.parts) if item.parts else _text(item.output)
        case _:
            return _text(codec.encode(item).decode())


def _parts(parts: Iterable[Part]) -> int:
    return sum(_part(part) for part in parts)


def _part(part: Part) -> int:
    match part:
        case TextPart():
            return _text(part.text)
        case RefusalPart():
            return _text(part.refusal)
        case ImagePart():
            return PER_IMAGE
        case FilePart():
            return _text(part.data or "")


def _text(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)
