"""How many tokens a request will cost, about: the rule of `/v1/messages/count_tokens`.

Four bytes of UTF-8 are a token, in all that is text: system prompt, messages, tool calls and results, and the tools'
definitions as JSON; four tokens more for each message and each tool, for what stands between them. A picture is 1,600
tokens, the most that the vendor says one costs; a PDF is a token for each 32 bytes. It is an estimate for every model:
nobody's own count is asked for, because the answer must come at once and also without a key.

Costs of pictures: https://platform.claude.com/docs/en/build-with-claude/vision
"""

from typing import Any

from tailrace.dialects.messages.body import Json, Prompt
from tailrace.schema import codec

BYTES_PER_TOKEN = 4
FRAME = 4
PICTURE = 1600
FILE_BYTES_PER_TOKEN = 32
_BASE64 = 3 / 4

# Fields of a block that are for machines, and cost nothing.
_SILENT = frozenset({"type", "cache_control", "signature", "id", "tool_use_id", "is_error", "citations", "caller"})


def tokens_of(body: Prompt) -> int:
    """The estimate."""
    tools = body.tools or []
    count = _said(body.system if isinstance(body.system, str) else codec.to_builtins(body.system or []))
    count += sum(FRAME + _said(message.content) for message in body.messages)
    count += sum(FRAME + _text(codec.encode(_spoken(tool))) for tool in tools)
    return count


def _text(data: bytes) -> int:
    return -(-len(data) // BYTES_PER_TOKEN)


def _spoken(block: Json) -> Json:
    return {name: value for name, value in block.items() if name not in _SILENT}


def _said(content: Any) -> int:
    """Of a text, a block, or several."""
    match content:
        case str():
            return _text(content.encode())
        case list():
            return sum(map(_said, content))
        case {"type": "image"}:
            return PICTURE
        case {"type": "document", "source": {"type": "base64", "data": str(data)}}:
            return int(len(data) * _BASE64) // FILE_BYTES_PER_TOKEN
        case {"type": "tool_use" | "server_tool_use" | "mcp_tool_use"}:
            return _text(codec.encode(_spoken(content)))
        case dict():
            return sum(map(_said, _spoken(content).values()))
        case _:
            return 0
