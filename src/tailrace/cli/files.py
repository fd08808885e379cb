"""Commands that work on files and standard input: decode, encode, lint."""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tailrace.adapters.replay import RUN_ID, decode_events
from tailrace.adapters.wires import WIRES
from tailrace.cli.remote import DEFAULT_URL, DialectName
from tailrace.cli.terminal import one_line
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


def known_wire(name: str) -> str:
    """The wire's name. Raises BadParameter (exit code 2) where there is none such."""
    if name not in WIRES:
        raise typer.BadParameter(f"no wire {name!r}; there are {', '.join(WIRES)}")
    return name


def decode(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Provider bytes; `*.response.json`: not streamed.")
    ],
    wire: Annotated[str, typer.Option(help=f"One of {', '.join(WIRES)}.", callback=known_wire, metavar="WIRE")],
    events: Annotated[bool, typer.Option("--events", help="Print every event instead of the Response.")] = False,
    chunk: Annotated[int | None, typer.Option(help="Feed this many bytes at a time.", metavar="N", min=1)] = None,
) -> None:
    """Decode provider bytes: one JSON line per file, the Response.

    Ids and times are fixed, so the output is, too. Bytes that are an HTTP error body become `{"error": …}`.

    ```
    tailrace decode --wire anthropic-messages answer.sse
    tailrace decode --wire openai-responses answer.sse --events | tailrace lint
    ```
    """
    for file in _watched(files):
        for line in _decoded(file, wire, events=events, chunk=chunk):
            sys.stdout.buffer.write(line + b"\n")
    sys.stdout.flush()


def _watched(files: Sequence[Path]) -> Iterator[Path]:
    """The files, with a bar of progress on stderr where it is a terminal, and there are several."""
    if len(files) == 1 or not sys.stderr.isatty():
        yield from files
        return
    from rich.console import Console  # slow to import, and needed here only
    from rich.progress import track

    yield from track(files, "decoding", console=Console(stderr=True), transient=True)


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


def encode(dialect: DialectName, source: Source = "-") -> None:
    """Encode native events (JSON lines) as a dialect's frames, each as soon as it is due.

    ```
    tailrace tail run_0190 | tailrace encode --dialect upserts
    ```
    """
    encoder = DIALECTS[dialect].encoder(View())
    for number, line in enumerate(_lines(source), 1):
        if not line.strip():
            continue
        try:
            event = codec.decode_event(line)
        except InvalidRequest as error:
            at = f" at `{error.field}`" if error.field else ""
            raise InvalidRequest(f"line {number}: {error.message}{at}") from error
        batch = Batch(event.run_id, event.seq, event.timestamp, event.trace_context, payloads=[event.payload])
        for frame in encoder.encode(batch):
            sys.stdout.buffer.write(frame.sse())
        sys.stdout.flush()


def lint(
    source: Annotated[str, typer.Argument(metavar="[FILE|-|URL]", help="A stream: a file, `-`, or an address.")] = "-",
    dialect: Annotated[str, typer.Option(help="native.", metavar="DIALECT")] = "native",
) -> None:
    """Is this stream legal? One line per violation with the rule's name; exit code 1 if there is any.

    Takes server-sent events, or JSON lines.

    ```
    tailrace lint stream.sse
    tailrace tail run_0190 | tailrace lint
    tailrace lint http://127.0.0.1:4010/api/v2/stream/run_0190
    ```
    """
    if dialect != "native":
        raise typer.BadParameter(f"no linter for {dialect!r}; there is one for native", param_hint="--dialect")
    violations = list(_violations(_bytes_of(source)))
    for violation in violations:
        typer.echo(one_line(str(violation)))
    if violations:
        count = len(violations)
        raise TailraceError(f"the stream breaks the rules in {count} {'place' if count == 1 else 'places'}")


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


def _lines(source: str) -> Iterator[bytes]:
    """Line by line as they come."""
    if source == "-":
        yield from sys.stdin.buffer
    else:
        yield from read_file(Path(source)).splitlines()


def _bytes_of(source: str) -> bytes:
    if source.startswith(("http://", "https://")):
        from tailrace.cli.http import download  # the HTTP client is slow to import

        return asyncio.run(download(source, _key_for(source)))
    return sys.stdin.buffer.read() if source == "-" else read_file(Path(source))


def _key_for(url: str) -> str | None:
    """The key of our own server, for our own server only (design rule 9)."""
    own = os.environ.get("TAILRACE_URL", DEFAULT_URL).rstrip("/")
    return os.environ.get("TAILRACE_API_KEY") if url.startswith(f"{own}/") else None
