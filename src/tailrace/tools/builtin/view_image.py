"""`view_image`: an image of the workspace, for the model to see."""

from base64 import b64encode

from tailrace.schema.items import ImagePart
from tailrace.tools.context import ToolContext
from tailrace.tools.definition import tool
from tailrace.tools.errors import ToolFailed
from tailrace.tools.result import ToolResult

MOST_BYTES = 5 * 1024 * 1024  # what providers take of one image

# How a file begins -> what it is. Providers take these; a name's ending proves nothing.
_KINDS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


@tool(aliases=("viewImage",), idempotent=True)
def view_image(context: ToolContext, path: str) -> ToolResult:
    """Look at an image of the workspace: PNG, JPEG, GIF or WebP, up to 5 MiB.

    Args:
        path: The file, relative to the workspace.

    Examples:
        {"path": "docs/diagram.png"}
    """
    data = context.workspace.read(path, MOST_BYTES)
    kind = kind_of(data)
    if kind is None:
        raise ToolFailed(f"{path}: is no PNG, JPEG, GIF or WebP image")
    image = ImagePart(url=f"data:{kind};base64,{b64encode(data).decode()}")
    return ToolResult(text=f"{path} ({kind}, {len(data)} bytes)", parts=[image])


def kind_of(data: bytes) -> str | None:
    """What image it is, by how it begins; None where it is none that providers take."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _KINDS if data.startswith(start)), None)
