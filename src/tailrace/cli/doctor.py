"""`tailrace doctor`: what is configured, and what answers."""

import asyncio
import os

import aiohttp
import typer
from rich.console import Console
from rich.table import Table

from tailrace import app
from tailrace.cli.remote import DEFAULT_URL, Url
from tailrace.cli.serve import Config
from tailrace.settings import load

GOOD, BAD, NONE = "[green]✓[/]", "[red]✗[/]", "[dim]·[/]"


def doctor(config: Config = None, url: Url = DEFAULT_URL) -> None:
    """Say what is configured and whether the server answers. Exit code 1 where the server does not."""
    settings = load(config, os.environ)
    registry = app.registry(settings, os.environ)
    table = Table("", "provider", "wire", "what it needs")
    for name, provider in sorted({**registry.keyless, **registry.providers}.items()):
        ready = name in registry.providers
        need = provider.api_key_env or "no key"
        table.add_row(GOOD if ready else NONE, name, provider.wire, need if ready else f"set {need}")
    console = Console()
    console.print(table)
    console.print(f"default model: {registry.default_model or 'demo/demo (no provider has a key)'}")
    console.print(f"data: {settings.data}")
    ready = asyncio.run(_answers(url))
    console.print(
        f"{GOOD if ready else BAD} {url} {'is ready' if ready else 'does not answer: start it with `tailrace serve`'}"
    )
    if not ready:
        raise typer.Exit(1)


async def _answers(url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/readyz") as reply:
            return reply.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
