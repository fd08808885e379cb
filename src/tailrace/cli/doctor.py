"""`tailrace doctor`: what is configured, and what answers."""

import asyncio
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from tailrace.cli import tables
from tailrace.cli.remote import DEFAULT_URL, Url
from tailrace.cli.serve import Config
from tailrace.schema.errors import InvalidRequest, TailraceError
from tailrace.settings import Settings, load

if TYPE_CHECKING:
    from tailrace.upstream.registry import Provider, Registry


def doctor(config: Config = None, url: Url = DEFAULT_URL) -> None:
    """Say what is configured and what answers. Exit code 1 where the server does not.

    Providers are asked whether they are there, without a key and without a prompt.

    ```
    tailrace doctor
    tailrace doctor --config tailrace.toml --url http://127.0.0.1:4020
    ```
    """
    settings = load(config, os.environ)
    from tailrace.cli.http import statuses
    from tailrace.upstream.registry import configured_registry  # with all wires: slow to import

    known = configured_registry(settings.providers, settings.aliases, settings.defaults.model, os.environ)
    answers = asyncio.run(statuses({name: provider.base_url for name, provider in known.providers.items()}))
    server = asyncio.run(statuses({"server": f"{url.rstrip('/')}/readyz"}))["server"]
    rows = [
        {"provider": name, "wire": provider.wire, "state": "answers" if answers[name] else "does not answer"}
        for name, provider in known.providers.items()
    ] + [
        {"provider": name, "wire": provider.wire, "state": f"needs {_lacks(provider)}"}
        for name, provider in known.keyless.items()
    ]
    columns = {"provider": "provider", "wire": "wire", "state": "state"}
    tables.show(sorted(rows, key=lambda row: row["provider"]), columns)
    typer.echo(f"default model: {known.default_model or 'demo/demo (no provider has a key)'}")
    typer.echo(f"data: {settings.data}")
    for problem in _problems(settings, known):
        typer.echo(problem)
    if server is None:
        raise TailraceError(f"{url} does not answer: start it with `tailrace serve`")
    if server != 200:
        raise TailraceError(f"{url} answers {server}, not as a Tailrace server that is ready: its log lines say more")
    typer.echo(f"{url} is ready")


def _lacks(provider: "Provider") -> str:
    return " and ".join(name for name in (provider.api_key_env, *provider.needs) if name)


def _problems(settings: Settings, known: "Registry") -> Iterator[str]:
    """Names of models that mean nothing."""
    named = {f"aliases.{alias}": model for alias, model in settings.aliases.items()}
    named |= {f"agents.{name}.model": agent.model for name, agent in settings.agents.items() if agent.model}
    if settings.defaults.model:
        named["defaults.model"] = settings.defaults.model
    for place, model in named.items():
        try:
            known.resolve(model, None)
        except InvalidRequest as error:
            yield f"{place}: {error.message}"
