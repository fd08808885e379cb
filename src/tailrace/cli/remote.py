"""Commands that talk to a server over its public API: run, tail, cancel, threads, runs."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tailrace.cli.render import RunView
from tailrace.client.client import Client
from tailrace.schema import codec

DEFAULT_URL = "http://127.0.0.1:4010"

Url = Annotated[str, typer.Option(help="The server.", envvar="TAILRACE_URL")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
threads = typer.Typer(help="List, show and delete threads.", no_args_is_help=True)
runs = typer.Typer(help="List and show runs.", no_args_is_help=True)


def _client(url: str) -> Client:
    return Client(url, os.environ.get("TAILRACE_API_KEY"))


def _do(job: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(job)


def run(
    prompt: Annotated[str, typer.Argument(help="What to say; `-` reads it from standard input.")],
    thread: Annotated[str | None, typer.Option(help="Go on in this thread.", metavar="ID")] = None,
    model: Annotated[str | None, typer.Option(help="`provider/model`, an alias, or a model.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Stream a reply to the terminal. A restart of the server in between loses nothing."""
    said = sys.stdin.read() if prompt == "-" else prompt
    body = {"prompt": said, "thread_id": thread, "model_id": model}
    view = RunView(Console(highlight=False))

    async def stream() -> None:
        async with _client(url) as client:
            submitted = await client.submit(**{name: value for name, value in body.items() if value is not None})
            note = f"thread {submitted['thread_id']} · run {submitted['run_id']}"
            Console(stderr=True).print(note, style="dim", highlight=False, soft_wrap=True)
            async for event in client.events(submitted["run_id"]):
                view.show(event)

    _do(stream())
    if view.failed:
        raise typer.Exit(1)


def tail(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run.")],
    after: Annotated[int, typer.Option(help="Begin behind this sequence number.", metavar="SEQ", min=0)] = 0,
    dialect: Annotated[str, typer.Option(help="native or upserts.")] = "native",
    url: Url = DEFAULT_URL,
) -> None:
    """Print a run's events as JSON lines, from any point on, to its end."""

    async def follow() -> None:
        async with _client(url) as client:
            async for frame in client.frames(run_id, dialect=dialect, after=after):
                typer.echo(frame.data)

    _do(follow())


def cancel(run_id: Annotated[str, typer.Argument(metavar="RUN")], url: Url = DEFAULT_URL) -> None:
    """End a run."""

    async def call() -> None:
        async with _client(url) as client:
            await client.cancel(run_id)

    _do(call())


async def _request(url: str, method: str, path: str, query: dict[str, str] | None = None) -> Any:
    async with _client(url) as client:
        return await client.request(method, path, query=query)


def _print(answer: Any) -> None:
    typer.echo(codec.encode_pretty(answer))


def _table(rows: list[dict[str, Any]], *columns: str) -> None:
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row.get(column) or "") for column in columns))
    Console().print(table)


@threads.command("list")
def list_threads(
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Threads, newest first."""
    query = {"limit": str(limit), **({"tag": tag} if tag else {})}
    answer = _do(_request(url, "GET", "/api/v2/threads", query))
    if as_json:
        _print(answer)
    else:
        _table(answer["threads"], "thread_id", "title", "updated_at")


@threads.command("show")
def show_thread(thread_id: Annotated[str, typer.Argument(metavar="ID")], url: Url = DEFAULT_URL) -> None:
    """A thread with what was said in it, as JSON."""
    _print(_do(_request(url, "GET", f"/api/v2/threads/{thread_id}")))


@threads.command("delete")
def delete_thread(thread_id: Annotated[str, typer.Argument(metavar="ID")], url: Url = DEFAULT_URL) -> None:
    """Delete a thread with its runs and their logs."""
    _do(_request(url, "DELETE", f"/api/v2/threads/{thread_id}"))


@runs.command("list")
def list_runs(
    thread: Annotated[str | None, typer.Option(help="Only those of this thread.", metavar="ID")] = None,
    status: Annotated[str | None, typer.Option(help="Only those with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Runs, newest first."""
    given = {"thread_id": thread, "status": status, "limit": str(limit)}
    answer = _do(_request(url, "GET", "/api/v2/runs", {name: value for name, value in given.items() if value}))
    if as_json:
        _print(answer)
    else:
        _table(answer["runs"], "id", "status", "model_id", "finish_reason", "last_seq")


@runs.command("show")
def show_run(run_id: Annotated[str, typer.Argument(metavar="RUN")], url: Url = DEFAULT_URL) -> None:
    """A run as of now, as JSON."""
    _print(_do(_request(url, "GET", f"/api/v2/runs/{run_id}")))
