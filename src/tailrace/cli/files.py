"""Commands that work on files and standard input: decode, encode."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tailrace.adapters.replay import RUN_ID, decode_events
from tailrace.adapters.wires import WIRES
from tailrace.cli.remote import DialectName
from tailrace.dialects.base import View, sse
from tailrace.dialects.table import DIALECTS
from tailrace.fold.reducer import fold
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import InvalidRequest, ProviderError
from tailrace.schema.events import TERMINAL, TraceContext

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
        sys.stdout.buffer.write(sse(encoder.encode(batch)))
        if isinstance(event.payload, TERMINAL):
            sys.stdout.buffer.write(DIALECTS[dialect].closing)
        sys.stdout.flush()


def _lines(source: str) -> Iterator[bytes]:
    """Line by line as they come."""
    if source == "-":
        yield from sys.stdin.buffer
    else:
        yield from read_file(Path(source)).splitlines()
