"""An MCP server without manners, in plain JSON-RPC over stdio (protocol of 2025-06-18): what it does wrong its tools'
names say.

`python -m tests.support.rough_server FOLDER [MODE]`: each call writes its tool's name into FOLDER/effects. Modes:
`mute` answers nothing, `quit` ends at once, `malformed` and `broken` have tools with schemas that are none.
"""

import os
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tailrace.schema import codec

FOLDER = Path(sys.argv[1])
MODE = sys.argv[2] if len(sys.argv) > 2 else ""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "pattern": "(x+x+)+y"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "kind": {"type": "string", "enum": ["a", "b"]},
    },
    "required": ["name"],
}


DRAFT = "http://json-schema.org/draft-07/schema#"
NESTED = {"type": "object", "properties": {"a": {"type": "object"}}}
BROKEN = {"type": "object", "properties": {"a": {"type": "string", "minLength": "many"}}}
PAGE = {"mode": "url", "message": "Sign in.", "url": "https://example.com/", "elicitationId": "e1"}


def send(**message: Any) -> None:
    sys.stdout.buffer.write(codec.encode({"jsonrpc": "2.0", **message}) + b"\n")
    sys.stdout.buffer.flush()


def read() -> dict[str, Any]:
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(0)
    return codec.decode(line, dict[str, Any])


def tool(name: str) -> dict[str, Any]:
    schema: Any = {"$schema": DRAFT, "type": "object", "properties": {"text": {"type": "string", "default": ""}}}
    if MODE == "malformed" and name != "say":
        schema = {"type": "object", "properties": {"text": {"type": "strange"}}}
    if MODE == "broken":
        schema = "a text"
    return {"name": name, "description": f"{name}.", "inputSchema": schema, "annotations": {"idempotentHint": True}}


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


def asked(params: dict[str, Any]) -> dict[str, Any]:
    """Ask the client, and wait for its answer."""
    send(id="q1", method="elicitation/create", params=params)
    while True:
        message = read()
        if message.get("id") == "q1":
            return text(codec.encode(message.get("result") or message["error"]).decode())
        if message.get("method") == "notifications/cancelled":
            (FOLDER / "cancelled").touch()


def pictures() -> dict[str, Any]:
    data = b64encode(PNG).decode()
    embedded = [
        {"uri": "file:///a.txt", "text": "the text of a"},
        {"uri": "file:///b.bin", "blob": "AAAA", "mimeType": "application/x-b"},
    ]
    content: list[dict[str, Any]] = [
        {"type": "image", "data": data, "mimeType": "image/x-lie"},
        {"type": "image", "data": "!!!", "mimeType": "image/png"},
        {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
        {"type": "resource_link", "uri": "file:///c", "name": "c", "description": "a file"},
        *({"type": "resource", "resource": each} for each in embedded),
    ]
    return {"content": content}


def die() -> None:
    sys.stderr.write("my last words\n")
    sys.stderr.flush()
    os._exit(3)


def die_once(words: str) -> dict[str, Any]:
    if not (FOLDER / "died").exists():
        (FOLDER / "died").touch()
        os._exit(3)
    return text(words)


def flood() -> None:
    for _ in range(18):
        sys.stdout.buffer.write(b"x" * (1 << 20))
    sys.stdout.buffer.flush()


def chatter(token: Any) -> dict[str, Any]:
    for number in range(2000):
        send(method="notifications/message", params={"level": "info", "data": f"{number}"})
    send(method="notifications/progress", params={"progressToken": token, "progress": 1, "message": "half way"})
    return text("done")


def junk() -> dict[str, Any]:
    sys.stdout.buffer.write(b"Welcome!\n{not json}\n\n")
    return text("done")


def grow() -> dict[str, Any]:
    NAMES.append("grown")
    send(method="notifications/tools/list_changed")
    return text("done")


def child() -> dict[str, Any]:
    return text(str(subprocess.Popen(["sleep", "1000"], start_new_session=True).pid))


def slow(words: str) -> dict[str, Any]:
    time.sleep(0.2)
    return text(words)


# What a tool does with its text and its progress token; None where it does not answer. The others say their text again.
ACTS: dict[str, Callable[[str, Any], dict[str, Any] | None]] = {
    "die": lambda _text, _token: die(),
    "die_once": lambda words, _token: die_once(words),
    "hang": lambda _text, _token: None,
    "flood": lambda _text, _token: flood(),
    "chatter": lambda _text, token: chatter(token),
    "junk": lambda _text, _token: junk(),
    "big": lambda _text, _token: text("line\n" * 100_000),
    "pictures": lambda _text, _token: pictures(),
    "ask": lambda _text, _token: asked({"message": "Who are you?", "requestedSchema": FORM}),
    "ask_nested": lambda _text, _token: asked({"message": "?", "requestedSchema": NESTED}),
    "ask_broken": lambda _text, _token: asked({"message": "?", "requestedSchema": BROKEN}),
    "ask_page": lambda _text, _token: asked(PAGE),
    "grow": lambda _text, _token: grow(),
    "env": lambda words, _token: text(os.environ.get(words, "none")),
    "child": lambda _text, _token: child(),
    "fail": lambda _text, _token: {**text("it cannot be done"), "isError": True},
    "slow": lambda words, _token: slow(words),
}
NAMES = ["say", "dotted.name", *ACTS]


def answer(message: dict[str, Any]) -> dict[str, Any] | None:
    params = message.get("params") or {}
    match message.get("method"):
        case "initialize":
            told = {"name": "rough", "version": "1"}
            return {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": told,
            }
        case "tools/list":
            return {"tools": [tool(name) for name in NAMES]}
        case "tools/call":
            with (FOLDER / "effects").open("a") as effects:
                effects.write(f"{params['name']}\n")
            token = params.get("_meta", {}).get("progressToken")
            words = (params.get("arguments") or {}).get("text", "done")
            act = ACTS.get(params["name"])
            return act(words, token) if act is not None else text(words)
    return None


def main() -> None:
    if MODE == "quit":
        sys.exit("no such option: --please")
    while True:
        message = read()
        if MODE == "mute" or "id" not in message or "method" not in message:
            continue
        if message["method"] not in {"initialize", "tools/list", "tools/call"}:
            send(id=message["id"], error={"code": -32601, "message": "Method not found"})
            continue
        result = answer(message)
        if result is not None:
            send(id=message["id"], result=result)


if __name__ == "__main__":
    main()
