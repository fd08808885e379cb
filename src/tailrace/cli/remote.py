"""Commands that talk to a server over its public API: run, tail, cancel, approve, deny, threads, runs."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from tailrace.cli import tables
from tailrace.cli.approvals import ask, who
from tailrace.cli.render import PlainText, RunView, Screen
from tailrace.cli.terminal import note
from tailrace.dialects.table import DIALECTS
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, InvalidRequest, TailraceError
from tailrace.schema.events import ApprovalRequested

if TYPE_CHECKING:
    from tailrace.client.client import Client

DEFAULT_URL = "http://127.0.0.1:4010"
_PAGE = 200  # the most rows that the server gives at once


def known_dialect(name: str) -> str:
    """The dialect's name. Raises BadParameter (exit code 2) where there is none such."""
    if name not in DIALECTS:
        raise typer.BadParameter(f"no dialect {name!r}; there are {', '.join(DIALECTS)}")
    return name


Url = Annotated[str, typer.Option(help="The server.", envvar="TAILRACE_URL", metavar="URL")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Rows = Annotated[int, typer.Option(help="How many at most.", min=1, metavar="N")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
Thread = Annotated[str, typer.Argument(metavar="THREAD", help="The thread's id.")]
DialectName = Annotated[
    str, typer.Option(help=f"One of {', '.join(DIALECTS)}.", callback=known_dialect, metavar="DIALECT")
]
threads = typer.Typer(help="List, show and delete threads.", no_args_is_help=True)
runs = typer.Typer(help="List and show runs.", no_args_is_help=True)


def _client(url: str) -> "Client":
    from tailrace.client.client import Client  # the HTTP client: a quarter of a second to import

    return Client(url, os.environ.get("TAILRACE_API_KEY"))


def _do(job: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(job)


def run(
    prompt: Annotated[str, typer.Argument(help="What to say; `-` reads it from standard input.", metavar="PROMPT")],
    thread: Annotated[str | None, typer.Option(help="Go on in this thread.", metavar="THREAD")] = None,
    model: Annotated[str | None, typer.Option(help="`provider/model`, an alias, or a model.", metavar="MODEL")] = None,
    agent: Annotated[str | None, typer.Option(help="One of the server's agents.", metavar="AGENT")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Stream a reply to the terminal: Markdown there, plain text into a pipe.

    A connection that breaks is resumed where it broke, also across a restart of the server.
    Ctrl-C stops the reading, not the run. What an agent asks leave for is asked here; one that is not interactive
    answers in plain text, and anything but a whole answer is a failure (exit code 1).

    ```
    tailrace run "hello"
    tailrace run --model openai/gpt-5 "Why is the sky blue?"
    tailrace run --agent coder "Mend the failing test."
    git diff | tailrace run - --thread thread_0190
    ```
    """
    body = {"prompt": _said(prompt), "thread_id": thread, "model_id": model, "agent_id": agent}
    body = {name: value for name, value in body.items() if value is not None}
    is_script = agent is not None and not _do(_is_interactive(url, agent))
    view = RunView(PlainText() if is_script else _screen())
    submitted: dict[str, str] = {}

    async def stream() -> None:
        async with _client(url) as client:
            submitted.update(await client.submit(**body))
            note(f"thread {submitted['thread_id']} · run {submitted['run_id']}")
            async for event in client.events(submitted["run_id"]):
                view.show(event)
                if isinstance(event.payload, ApprovalRequested):
                    await ask(client, submitted["run_id"], event.payload)

    try:
        with closing(view):
            _do(stream())
    except KeyboardInterrupt:
        raise TailraceError(_stopped(submitted.get("run_id"))) from None
    if view.failure is not None:
        raise TailraceError(view.failure)
    if is_script and view.finish != "stop":
        raise TailraceError(f"the answer is not whole: it ended with {view.summary}")
    note(view.summary)


async def _is_interactive(url: str, agent_id: str) -> bool:
    """May the agent ask people? One that the server does not know is its submit's error."""
    async with _client(url) as client:
        known = (await client.request("GET", "/api/v2/agents"))["agents"]
    return all(each.get("interactive", True) for each in known if each["agent_id"] == agent_id)


def _screen() -> Screen:
    """The one that fits standard output."""
    if not sys.stdout.isatty():
        return PlainText()
    from tailrace.cli.markdown import MarkdownScreen  # rich and its parsers: slow to import

    return MarkdownScreen()


def _said(prompt: str) -> str:
    try:
        if prompt == "-":
            return sys.stdin.buffer.read().decode()
        prompt.encode()  # what the shell gave may be no text, too
        return prompt
    except UnicodeError as error:
        raise InvalidRequest("the prompt is not UTF-8 text") from error


def _stopped(run_id: str | None) -> str:
    if run_id is None:
        return "stopped before the run began"
    return f"stopped reading; the run goes on: `tailrace tail {run_id}` reads it, `tailrace cancel {run_id}` ends it"


def tail(
    run_id: Run,
    after: Annotated[int, typer.Option(help="Begin behind this sequence number.", metavar="SEQ", min=0)] = 0,
    dialect: DialectName = "native",
    url: Url = DEFAULT_URL,
) -> None:
    """Print a run's events as JSON lines, from any point on, to its end.

    ```
    tailrace tail run_0190
    tailrace tail run_0190 --after 120 --dialect upserts
    tailrace tail run_0190 | tailrace lint
    ```
    """

    async def follow() -> None:
        async with _client(url) as client:
            async for frame in client.frames(run_id, dialect=dialect, after=after):
                typer.echo(frame.data)

    _do(follow())


def cancel(run_id: Run, url: Url = DEFAULT_URL) -> None:
    """End a run. One that has ended stays as it is.

    ```
    tailrace cancel run_0190
    ```
    """

    async def call() -> None:
        async with _client(url) as client:
            await client.cancel(run_id)

    _do(call())


Which = Annotated[str | None, typer.Option("--approval", help="This one, not all that wait.", metavar="APPROVAL")]


def approve(
    run_id: Run,
    approval: Which = None,
    for_run: Annotated[bool, typer.Option("--for-run", help="And all like it, in this run.")] = False,
    content: Annotated[
        str | None, typer.Option(help="What a running call asks, as a JSON object.", metavar="JSON")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Approve the tool calls that a run waits with, or answer what a running one asks.

    ```
    tailrace approve run_0190
    tailrace approve run_0190 --for-run
    tailrace approve run_0190 --content '{"name": "Ada"}'
    ```
    """
    decision = "approved_for_run" if for_run else "approved"
    _do(_decide(url, run_id, approval, decision, None, _object(content)))


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        return codec.decode(text, dict[str, Any]) if text is not None else None
    except InvalidJson as error:
        raise typer.BadParameter("is no JSON object", param_hint="--content") from error


def deny(
    run_id: Run,
    approval: Which = None,
    reason: Annotated[str | None, typer.Option(help="Why; the model is told.", metavar="TEXT")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Deny the tool calls that a run waits with; it goes on without them.

    ```
    tailrace deny run_0190 --reason "Not on a Friday."
    ```
    """
    _do(_decide(url, run_id, approval, "denied", reason))


async def _decide(
    url: str, run_id: str, approval_id: str | None, decision: str, reason: str | None,
    content: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    async with _client(url) as client:
        wanted = [approval_id] if approval_id else [each.approval_id for each in (await client.run(run_id)).pending]
        if not wanted:
            raise TailraceError(f"run {run_id} waits for no approval")
        for each in wanted:
            await client.approve(run_id, each, decision, reason=reason, by=who(), content=content)


async def _request(url: str, method: str, path: str) -> Any:
    async with _client(url) as client:
        return await client.request(method, path)


async def _list(url: str, kind: str, limit: int, **query: str | None) -> dict[str, Any]:
    """Up to `limit` rows, page by page."""
    rows: list[Any] = []
    given = {name: value for name, value in query.items() if value is not None}
    cursor: str | None = None
    async with _client(url) as client:
        while True:
            page = {**given, "limit": str(min(_PAGE, limit - len(rows))), **({"cursor": cursor} if cursor else {})}
            answer = await client.request("GET", f"/api/v2/{kind}", query=page)
            rows += answer[kind]
            cursor = answer["next_cursor"]
            if cursor is None or len(rows) >= limit:
                return {kind: rows, "next_cursor": cursor}


def _print(answer: Any) -> None:
    typer.echo(codec.encode_pretty(answer))


@threads.command("list")
def list_threads(
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.", metavar="TAG")] = None,
    limit: Rows = 50,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Threads, newest first. Behind a pipe: one line each, tab-separated, without headings.

    ```
    tailrace threads list --tag water
    tailrace threads list | cut -f1
    ```
    """
    answer = _do(_list(url, "threads", limit, tag=tag))
    if as_json:
        _print(answer)
    else:
        tables.show(answer["threads"], {"thread_id": "thread", "title": "title", "updated_at": "updated (UTC)"})


@threads.command("show")
def show_thread(thread_id: Thread, url: Url = DEFAULT_URL) -> None:
    """A thread with what was said in it, as JSON.

    ```
    tailrace threads show thread_0190
    ```
    """
    _print(_do(_request(url, "GET", f"/api/v2/threads/{quote(thread_id, safe='')}")))


@threads.command("delete")
def delete_thread(thread_id: Thread, url: Url = DEFAULT_URL) -> None:
    """Delete a thread with its runs and their logs.

    ```
    tailrace threads delete thread_0190
    ```
    """
    _do(_request(url, "DELETE", f"/api/v2/threads/{quote(thread_id, safe='')}"))


@runs.command("list")
def list_runs(
    thread: Annotated[str | None, typer.Option(help="Only those of this thread.", metavar="THREAD")] = None,
    status: Annotated[str | None, typer.Option(help="Only those with this status.", metavar="STATUS")] = None,
    limit: Rows = 50,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Runs, newest first. Behind a pipe: one line each, tab-separated, without headings.

    Statuses are queued, in_progress, requires_action, complete, error and aborted.

    ```
    tailrace runs list --status in_progress
    tailrace runs list --thread thread_0190 --json
    ```
    """
    answer = _do(_list(url, "runs", limit, thread_id=thread, status=status))
    if as_json:
        _print(answer)
        return
    columns = {"id": "run", "status": "status", "model_id": "model", "finish_reason": "finish"}
    tables.show(answer["runs"], {**columns, "last_seq": "events", "created_at": "created (UTC)"})


@runs.command("show")
def show_run(run_id: Run, url: Url = DEFAULT_URL) -> None:
    """A run as of now, as JSON.

    ```
    tailrace runs show run_0190
    ```
    """
    _print(_do(_request(url, "GET", f"/api/v2/runs/{quote(run_id, safe='')}")))
