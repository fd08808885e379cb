"""`tailrace lint`: is this stream legal? From a file, standard input, or any server."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailrace.cli import tables
from tailrace.cli.remote import DEFAULT_URL
from tailrace.cli.terminal import coloured, one_line
from tailrace.dialects.lint import Linter, Violation
from tailrace.dialects.linters import RULESETS
from tailrace.schema.errors import InvalidRequest, TailraceError

if TYPE_CHECKING:
    from tailrace.cli.probe import Ask

_READ_BYTES = 65536


def known_ruleset(name: str) -> str:
    """The dialect's name. Raises BadParameter (exit code 2) where it has no rules."""
    if name not in RULESETS:
        raise typer.BadParameter(f"no rules for {name!r}; there are some for {', '.join(RULESETS)}")
    return name


def lint(
    source: Annotated[str, typer.Argument(metavar="[FILE|-|URL]", help="A stream: a file, `-`, or an address.")] = "-",
    dialect: Annotated[
        str, typer.Option(help=f"One of {', '.join(RULESETS)}.", callback=known_ruleset, metavar="DIALECT")
    ] = "native",
    model: Annotated[
        str | None, typer.Option(help="Ask this model of the server at URL, which is then a base address.", metavar="M")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What to ask it.", metavar="TEXT")] = None,
    tools: Annotated[bool, typer.Option("--tools", help="Offer it a tool, too.")] = False,
    api_key_env: Annotated[
        str | None, typer.Option(help="The environment variable that holds the server's key.", metavar="NAME")
    ] = None,
    rules: Annotated[bool, typer.Option("--rules", help="Print the dialect's rules instead.")] = False,
) -> None:
    """Is this stream legal? One line per violation with the rule's name; exit code 1 if there is any.

    Takes server-sent events, or JSON lines. With a URL alone the stream is what that address says; with `--model`, a
    streaming request is made to the server whose base address it is, in the dialect's protocol.

    ```
    tailrace lint --dialect responses stream.sse
    tailrace tail run_0190 | tailrace lint
    tailrace lint http://127.0.0.1:4010/api/v2/stream/run_0190
    tailrace lint --dialect chat http://127.0.0.1:8000/v1 --model qwen3 --api-key-env LOCAL_API_KEY --tools
    tailrace lint --dialect messages --rules
    ```
    """
    if rules:
        names = ("rule", "demand", "clause")
        rows = [dict(zip(names, row, strict=True)) for row in RULESETS[dialect].table()]
        tables.show(rows, {"rule": "rule", "demand": "what holds", "clause": "says"})
        return
    count = 0
    for violation in _violations(source, dialect, model=model, prompt=prompt, tools=tools, api_key_env=api_key_env):
        count += 1
        typer.echo(_shown(violation))
    if count:
        raise TailraceError(f"the stream breaks the rules in {count} {'place' if count == 1 else 'places'}")


def _violations(
    source: str, dialect: str, *, model: str | None, prompt: str | None, tools: bool, api_key_env: str | None
) -> Iterator[Violation]:
    linter = Linter(RULESETS[dialect], endpoint=model is not None)
    if source.startswith(("http://", "https://")):
        ask = _ask(source, dialect, model, prompt, tools=tools, key=_key(source, api_key_env))
        yield from asyncio.run(_heard(linter, ask))
        return
    if model or prompt or tools or api_key_env:
        raise typer.BadParameter("--model, --prompt, --tools and --api-key-env are for a URL")
    for piece in _pieces(source):
        yield from linter.feed(piece)
    yield from linter.close()


def _ask(source: str, dialect: str, model: str | None, prompt: str | None, *, tools: bool, key: str | None) -> "Ask":
    from tailrace.cli.probe import PROTOCOLS, Ask, bearer  # the HTTP client is slow to import

    if model is None:
        if prompt or tools:
            raise typer.BadParameter("--prompt and --tools need --model")
        return Ask(source, bearer(key))
    if dialect not in PROTOCOLS:
        raise typer.BadParameter(f"--model is for {', '.join(PROTOCOLS)}; give the address of a run's stream instead")
    return PROTOCOLS[dialect].ask(source, key, model, prompt, tools=tools)


async def _heard(linter: Linter[Any], ask: "Ask") -> list[Violation]:
    from tailrace.cli.probe import heard

    return [violation async for violation in heard(linter, ask)]


def _pieces(source: str) -> Iterator[bytes]:
    """The bytes as they come. Raises InvalidRequest."""
    if source == "-":
        while piece := os.read(sys.stdin.fileno(), _READ_BYTES):
            yield piece
        return
    try:
        yield Path(source).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{source}: {error.strerror}") from error


def _key(url: str, name: str | None) -> str | None:
    """The key in the variable of this name; otherwise our own server's, for our own server only (design rule 9)."""
    if name is not None:
        if not os.environ.get(name):
            raise typer.BadParameter(f"{name} is not set", param_hint="--api-key-env")
        return os.environ[name]
    own = os.environ.get("TAILRACE_URL", DEFAULT_URL).rstrip("/")
    return os.environ.get("TAILRACE_API_KEY") if url == own or url.startswith(f"{own}/") else None


def _shown(violation: Violation) -> str:
    if not coloured(sys.stdout):
        return one_line(str(violation))
    rule, message = typer.style(violation.rule, fg="red", bold=True), one_line(violation.message)
    return ": ".join([rule, *([typer.style(violation.place, dim=True)] if violation.place else []), message])
