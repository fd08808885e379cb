"""What a tool answers."""

from msgspec import Struct

from tailrace.schema.items import Part


class ToolResult(Struct, frozen=True, kw_only=True):
    """`text` for the model; `parts` where text cannot say it (images). `error`: the code, where it was no success.

    `text` is whole as a tool returns it; how much of it the model sees is its limits' affair (tools/preview.py).
    """

    text: str
    success: bool = True
    parts: list[Part] | None = None
    error: str | None = None
