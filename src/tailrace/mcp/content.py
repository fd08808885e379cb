"""What a server answers, as a tool's result: text, images that models take, and a line for everything else."""

from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterable
from typing import assert_never

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from tailrace.schema import codec
from tailrace.schema.items import ImagePart, Part
from tailrace.tools.builtin.view_image import MOST_BYTES, kind_of
from tailrace.tools.result import ToolResult

Said = str | ImagePart


def result_of_call(result: CallToolResult, hide: Callable[[str], str]) -> ToolResult:
    """The result of a tool. Structured content speaks where no other does. `hide`: takes secrets out of texts."""
    said = [each for block in result.content for each in _block(block)]
    if not said and result.structured_content is not None:
        said = [codec.encode(result.structured_content).decode()]
    return _result(said, hide, is_error=bool(result.is_error))


def result_of_resource(
    contents: Iterable[TextResourceContents | BlobResourceContents], hide: Callable[[str], str]
) -> ToolResult:
    """The result of reading a resource."""
    return _result([_resource(each) for each in contents], hide)


def _result(said: list[Said], hide: Callable[[str], str], *, is_error: bool = False) -> ToolResult:
    texts = [hide(each) for each in said if isinstance(each, str)]
    images: list[Part] = [each for each in said if isinstance(each, ImagePart)]
    if images:
        texts.append(f"[{len(images)} image{'s' if len(images) > 1 else ''}]")
    return ToolResult(
        text="\n".join(texts) or "Done.", success=not is_error, parts=images or None,
        error="tool_failed" if is_error else None,
    )  # fmt: skip


def _block(block: ContentBlock) -> list[Said]:
    match block:
        case TextContent():
            return [block.text]
        case ImageContent():
            return [_image(block.data) or _left_out("an image", block.mime_type, block.data)]
        case AudioContent():
            return [_left_out("audio", block.mime_type, block.data)]
        case ResourceLink():
            about = " ".join(filter(None, (block.mime_type, block.description)))
            return [f"[resource {block.uri} ({block.name}){': ' if about else ''}{about}]"]
        case EmbeddedResource():
            return [f"[resource {block.resource.uri}]", _resource(block.resource)]
        case _:
            assert_never(block)


def _resource(resource: TextResourceContents | BlobResourceContents) -> Said:
    if isinstance(resource, TextResourceContents):
        return resource.text
    return _image(resource.blob) or _left_out(f"the content of {resource.uri}", resource.mime_type, resource.blob)


def _image(data: str) -> ImagePart | None:
    """An image that providers take, whatever the server calls it."""
    try:
        decoded = b64decode(data, validate=True)
    except (Error, ValueError):
        return None
    kind = kind_of(decoded)
    if kind is None or len(decoded) > MOST_BYTES:
        return None
    return ImagePart(url=f"data:{kind};base64,{data}")


def _left_out(what: str, mime_type: str | None, data: str) -> str:
    return (
        f"[{what} ({mime_type or 'of unknown type'}, {len(data) * 3 // 4} bytes) is left out: it cannot be shown here]"
    )
