"""The upstream of the load: a bare server that streams in the wire of OpenAI's Responses API.

Words in the request choose the answer: `bench EVENTS INTERVAL_MS` paces EVENTS deltas (0: as fast as they go), and
`bench EVENTS INTERVAL_MS hold` keeps the stream open behind them. Each delta begins with `t` and the nanoseconds of the
monotonic clock, which all processes of a machine share, at the moment before it is written. It does as little as it
can, because it runs on the same cores as what is measured.
"""

import asyncio
import re
import sys
import time
from collections.abc import Iterator
from typing import cast

import uvloop

from tailrace.schema import codec

ASKED = re.compile(rb"bench (\d+) (\d+)( hold)?")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
PART = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
WHERE = {"item_id": "msg_bench", "output_index": 0, "content_index": 0}


def chunk(data: bytes) -> bytes:
    """Bytes as a chunk of a chunked body (RFC 9112 §7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def frame(kind: str, number: int, **fields: object) -> bytes:
    """One server-sent event of the wire."""
    data = codec.encode({"type": kind, "sequence_number": number, **fields})
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


# A delta, ready but for its number and its text: made by hand, because it is made so often.
DELTA = (
    b"event: response.output_text.delta\n"
    b'data: {"type":"response.output_text.delta","sequence_number":%d,"item_id":"msg_bench",'
    b'"output_index":0,"content_index":0,"delta":"%s","logprobs":[]}\n\n'
)


def response(status: str, text: str | None) -> dict[str, object]:
    """The Response object, as far as it has come."""
    done = text is not None
    return {
        "id": "resp_bench",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": "bench",
        "output": [message("completed", text)] if text is not None else [],
        "usage": {
            "input_tokens": 4,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 4,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 8,
        }
        if done
        else None,
    }


def message(status: str, text: str | None) -> dict[str, object]:
    """The one item of the answer."""
    content = [] if text is None else [{**PART, "text": text}]
    return {"id": "msg_bench", "type": "message", "role": "assistant", "status": status, "content": content}


def opening() -> bytes:
    """What comes before the first delta."""
    return b"".join(
        (
            frame("response.created", 0, response=response("in_progress", None)),
            frame("response.in_progress", 1, response=response("in_progress", None)),
            frame("response.output_item.added", 2, output_index=0, item=message("in_progress", None)),
            frame("response.content_part.added", 3, **WHERE, part=PART),
        )
    )


def closing(number: int, text: str) -> bytes:
    """What comes behind the last delta."""
    return b"".join(
        (
            frame("response.output_text.done", number, **WHERE, text=text, logprobs=[]),
            frame("response.content_part.done", number + 1, **WHERE, part={**PART, "text": text}),
            frame("response.output_item.done", number + 2, output_index=0, item=message("completed", text)),
            frame("response.completed", number + 3, response=response("completed", text)),
        )
    )


class Answer:
    """One answer, from its opening to its end, on one connection."""

    def __init__(self, transport: asyncio.Transport, events: int, interval: float, hold: bool) -> None:
        self._transport = transport
        self._events = events
        self._interval = interval
        self._hold = hold
        self._said: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        transport.write(HEAD + chunk(opening()))
        if interval:
            self._loop.call_later(interval, self._tick)
        else:
            self._burst(self._deltas())

    def _deltas(self) -> Iterator[bytes]:
        while len(self._said) < self._events:
            text = f"t{time.monotonic_ns()} "
            number = len(self._said) + 4
            self._said.append(text)
            yield chunk(DELTA % (number, text.encode()))

    def _tick(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(next(self._deltas()))
        if len(self._said) == self._events:
            self._finish()
        else:  # by the schedule, so that lateness does not add up
            self._loop.call_at(self._began + (len(self._said) + 1) * self._interval, self._tick)

    def _burst(self, deltas: Iterator[bytes]) -> None:
        """As fast as they go; other streams get their turn every few events."""
        for _, data in zip(range(16), deltas, strict=False):
            self._transport.write(data)
        if self._transport.is_closing():
            return
        if len(self._said) < self._events:
            self._loop.call_soon(self._burst, deltas)
        else:
            self._finish()

    def _finish(self) -> None:
        if not self._hold:
            text = "".join(self._said)
            self._transport.write(chunk(closing(self._events + 4, text)) + b"0\r\n\r\n")


class Server(asyncio.Protocol):
    """Answers the requests of one connection, one after another."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        length = LENGTH.search(self._buffer, 0, head + 2) if head >= 0 else None
        if length is None or len(self._buffer) < head + 4 + int(length[1]):
            return
        asked = ASKED.search(self._buffer, head)
        self._buffer = b""
        assert self._transport is not None
        if asked is None:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        else:
            Answer(self._transport, int(asked[1]), int(asked[2]) / 1000, asked[3] is not None)


async def main() -> None:
    """Serve on a free port, which is the first line of stdout."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
