"""`tailrace`: the command line (contract §6).

Exit codes: 0 done, 1 it failed (the reason on stderr in one line), 2 wrong usage. What is slow to import (the server,
the HTTP client, Markdown) is imported by the commands that use it, when they do.
"""

import sys
import traceback
from pathlib import Path

import typer

from tailrace import __version__
from tailrace.cli import doctor, files, lint, mcp, remote, serve, store
from tailrace.cli.terminal import complain
from tailrace.schema.errors import TailraceError

app = typer.Typer(
    name="tailrace",
    help="A streaming-first LLM harness: any provider's stream becomes one durable, resumable event log per run.",
    epilog='Start with `tailrace serve`, then, in another terminal, `tailrace run "hello"`.',
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command()(serve.serve)
app.command()(store.migrate)
app.command()(store.gc)
app.command()(remote.run)
app.command()(remote.tail)
app.command()(remote.cancel)
app.command()(remote.approve)
app.command()(remote.deny)
app.add_typer(remote.threads, name="threads")
app.add_typer(remote.runs, name="runs")
app.add_typer(mcp.app, name="mcp")
app.command()(files.decode)
app.command()(files.encode)
app.command()(lint.lint)
app.command()(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tailrace {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Say which version this is."
    ),
) -> None:
    """Options of `tailrace` itself."""
    del version


def main() -> None:
    """The entry point: whatever goes wrong becomes one line and exit code 1."""
    try:
        app()
    except TailraceError as error:
        complain(error.message)
    except OSError as error:
        complain(f"{error.filename or 'the output'}: {error.strerror or error}")
    except Exception as error:  # noqa: BLE001  # contract §6: one line, never a traceback; the line says where
        place = traceback.extract_tb(error.__traceback__)[-1]
        complain(f"internal error at {Path(place.filename).name}:{place.lineno}: {type(error).__name__}: {error}")
    sys.exit(1)
