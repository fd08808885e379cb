"""What a server's tool is called here: `server__tool`, in the characters and the length that every provider takes.

MCP lets names have dots and slashes, and any length; providers take `[A-Za-z0-9_-]`, up to 64. Pure.
"""

import re
from hashlib import sha256

SEPARATOR = "__"
MOST = 64
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_DIGEST = 8


def prefix(server: str) -> str:
    """How the names of all its tools begin."""
    return server + SEPARATOR


def offered_name(server: str, tool: str) -> str:
    """The tool's name for models. One that is too long ends with a digest of the whole, so that two stay two."""
    name = prefix(server) + _OTHER.sub("_", tool)
    if len(name) <= MOST:
        return name
    return f"{name[: MOST - _DIGEST - 1]}_{sha256(tool.encode()).hexdigest()[:_DIGEST]}"
