"""Commands that work on files and standard input: decode, encode, lint."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from rich.console import Console
from rich.progress import track

from tailrace.adapters.replay import RUN_ID, decode_events
from tailrace.adapters.wires import WIRES
from tailrace.client.client import unreachable
from tailrace.dialects.base import View
from tailrace.dialects.native.lint import Linter, Violation
from tailrace.dialects.table import DIALECTS
from tailrace.fold.reducer import fold
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import InvalidRequest, ProviderError, TailraceError
from tailrace.schema.events import TraceContext
from tailrace.wire.sse import SseEvent, SseParser

NO_TRACE = TraceContext(f"00-{'0' * 31}1-{'0' * 15}1-00")
Source = Annotated[str, typer.Argument(metavar="[FILE|-]", help="A file, or `-` for standard input.")]


def _names(table: dict[str, object]) -> str:
    return ", ".join(table)


def decode(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Provider bytes; `*.response.json`: not streamed.")
    ],
    wire: Annotated[str, typer.Option(help=f"One of {_names(dict(WIRES))}.")],
    events: Annotated[bool, typer.Option("--events", help="Print every event instead of the Response.")] = False,
    chunk: Annotated[int | None, typer.Option(help="Feed this many bytes at a time.", metavar="N", min=1)] = None,
) -> None:
    """Decode provider bytes: one JSON line per file, the Response. Ids and times are fixed, so the output is, too."""
    if wire not in WIRES:
        raise typer.BadParameter(f"no wire {wire!r}; there are {_names(dict(WIRES))}", param_hint="--wire")
    shown = sys.stderr.isatty() and len(files) > 1
    for file in track(files, "decoding", console=Console(stderr=True), disable=not shown):
        for line in _decoded(file, wire, events=events, chunk=chunk):
            sys.stdout.buffer.write(line + b"\n")
    sys.stdout.flush()


def _decoded(file: Path, wire: str, *, events: bool, chunk: int | None) -> Iterator[bytes]:
    try:
        whole = file.name.endswith(".response.json")
        payloads = decode_events(WIRES[wire].decoder, read_file(file), whole=whole, chunk=chunk)
    except ProviderError as error:
        yield codec.encode({"error": {"code": error.code, "message": error.message}})
        return
    batch = Batch(RUN_ID, 1, 0, NO_TRACE, payloads=payloads)
    if events:
        yield from (codec.encode(event) for event in batch.events())
    else:
        yield codec.encode(fold([batch]))


def read_file(file: Path) -> bytes:
    """The file's bytes. Raises InvalidRequest."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file}: {error.strerror}") from error


def encode(
    dialect: Annotated[str, typer.Option(help=f"One of {_names(dict(DIALECTS))}.")], source: Source = "-"
) -> None:
    """Encode native events (JSON lines) as a dialect's frames."""
    if dialect not in DIALECTS:
        raise typer.BadParameter(f"no dialect {dialect!r}; there are {_names(dict(DIALECTS))}", param_hint="--dialect")
    encoder = DIALECTS[dialect].encoder(View())
    for number, line in enumerate(_bytes_of(source).splitlines(), 1):
        if line.strip():
            try:
                event = codec.decode_event(line)
            except InvalidRequest as error:
                raise InvalidRequest(f"line {number}: {error.message} at `{error.field}`") from error
            batch = Batch(event.run_id, event.seq, event.timestamp, event.trace_context, payloads=[event.payload])
            for frame in encoder.encode(batch):
                sys.stdout.buffer.write(frame.sse())
    sys.stdout.flush()


def lint(
    source: Annotated[str, typer.Argument(metavar="[FILE|-|URL]", help="A stream: a file, `-`, or an address.")] = "-",
    dialect: Annotated[str, typer.Option(help="native.")] = "native",
) -> None:
    """Is this stream legal? One line per violation with the rule's name; exit code 1 if there is any.

    Takes server-sent events, or JSON lines.
    """
    if dialect != "native":
        raise typer.BadParameter(f"no linter for {dialect!r}; there is one for native", param_hint="--dialect")
    data = asyncio.run(_download(source)) if source.startswith(("http://", "https://")) else _bytes_of(source)
    violations = list(_violations(data))
    for violation in violations:
        typer.echo(violation)
    if violations:
        raise typer.Exit(1)


def _violations(data: bytes) -> Iterator[Violation]:
    linter = Linter()
    if data.lstrip().startswith(b"{"):
        frames = [SseEvent(data=line) for line in data.splitlines() if line.strip()]
        named = False
    else:
        parser = SseParser()
        frames = [*parser.feed(data), *parser.close()]
        named = True
    for frame in frames:
        yield from linter.frame(frame.data, frame.event if named else None, frame.id if named else None)
    yield from linter.end()


def _bytes_of(source: str) -> bytes:
    return sys.stdin.buffer.read() if source == "-" else read_file(Path(source))


async def _download(url: str) -> bytes:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            if reply.status >= 400:
                raise TailraceError(f"{url} answered {reply.status}")
            return await reply.read()
    except (aiohttp.ClientError, OSError) as error:
        raise unreachable(url, error) from error
