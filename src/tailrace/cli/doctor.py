"""`tailrace doctor`: what is configured, and what answers."""

import asyncio
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.cli import mcp, tables
from tailrace.cli.remote import DEFAULT_URL, Url
from tailrace.cli.serve import Config
from tailrace.schema.errors import InvalidRequest, TailraceError
from tailrace.settings import Settings, load

if TYPE_CHECKING:
    from tailrace.upstream.registry import Provider, Registry


def doctor(
    providers: Annotated[
        list[str] | None, typer.Argument(help="With --ping: only these.", metavar="[PROVIDER]...", show_default=False)
    ] = None,
    config: Config = None,
    url: Url = DEFAULT_URL,
    ping: Annotated[
        bool, typer.Option("--ping", help="Send each provider one tiny request, with each of its keys.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="List the providers that are not set up, too.")] = False,
) -> None:
    """Say what is configured and what answers. Exit code 1 where the server does not, or with --ping a provider.

    Providers are asked whether they are there, without a key and without a prompt. With --ping a model of each says a
    word, or the provider lists its models: that costs next to nothing, and shows whether the key is right.

    ```
    tailrace doctor
    tailrace doctor --config tailrace.toml --url http://127.0.0.1:4020
    tailrace doctor --ping openai anthropic
    ```
    """
    if providers and not ping:
        raise typer.BadParameter("goes with --ping", param_hint="PROVIDER")
    settings = load(config, os.environ)
    from tailrace.upstream.registry import configured_registry  # with all wires: slow to import

    known = configured_registry(settings.providers, settings.aliases, settings.defaults.model, os.environ)
    if ping:
        _ping(settings, known, providers or [])
        return
    _list(known, every=every)
    typer.echo(f"default model: {known.default_model or 'demo/demo (no provider has a key)'}")
    typer.echo(f"data: {settings.data}")
    servers = mcp.look(settings)
    for each in servers:
        what = f"{len(each.tools)} tools" if each.state == "connected" else each.error
        typer.echo(f"MCP server {each.name}: {each.state}: {what}")
    for problem in (*_problems(settings, known), *mcp.problems(settings, servers)):
        typer.echo(problem)
    _check_server(url)


def _list(known: "Registry", *, every: bool) -> None:
    from tailrace.cli.http import statuses

    answers = asyncio.run(statuses({name: provider.base_url for name, provider in known.providers.items()}))
    rows = [
        {"provider": name, "wire": provider.wire, "state": "answers" if answers[name] else "does not answer"}
        for name, provider in known.providers.items()
    ]
    if every:
        rows += [
            {"provider": name, "wire": provider.wire, "state": f"needs {', and '.join(provider.needs)}"}
            for name, provider in known.keyless.items()
        ]
    tables.show(sorted(rows, key=lambda row: row["provider"]), {name: name for name in ("provider", "wire", "state")})
    if known.keyless and not every:
        typer.echo(f"{len(known.keyless)} more are not set up: `tailrace doctor --all` says what each needs")


def _check_server(url: str) -> None:
    from tailrace.cli.http import statuses

    server = asyncio.run(statuses({"server": f"{url.rstrip('/')}/readyz"}))["server"]
    if server is None:
        raise TailraceError(f"{url} does not answer: start it with `tailrace serve`")
    if server != 200:
        raise TailraceError(f"{url} answers {server}, not as a Tailrace server that is ready: its log lines say more")
    typer.echo(f"{url} is ready")


def _ping(settings: Settings, known: "Registry", names: list[str]) -> None:
    """One line for each key of each provider that is named; else of each that has a key or stands in the settings."""
    for name in names:
        if name not in known.providers and name not in known.keyless:
            raise typer.BadParameter(f"no provider is called {name!r}", param_hint="PROVIDER")
    asked = names or [
        name for name, provider in known.providers.items() if provider.api_key_env or name in settings.providers
    ]
    outcomes = asyncio.run(_outcomes([known.providers[name] for name in asked if name in known.providers]))
    outcomes += [
        (name, "", False, f"not set up: set {', and '.join(known.keyless[name].needs)}")
        for name in asked
        if name in known.keyless
    ]
    rows = [{"provider": name, "key": key, "result": said} for name, key, _, said in outcomes]
    tables.show(rows, {name: name for name in ("provider", "key", "result")})
    bad = sum(not is_well for _, _, is_well, _ in outcomes)
    if bad or not outcomes:
        raise TailraceError(
            f"{bad} of {len(outcomes)} do not answer as they should" if bad else "no provider has a key"
        )


async def _outcomes(providers: "list[Provider]") -> list[tuple[str, str, bool, str]]:
    """Provider, which of its keys, whether it is well, and what came back."""
    from tailrace.upstream.http import Upstream
    from tailrace.upstream.ping import ping
    from tailrace.upstream.registry import keys_of

    async def outcome(provider: "Provider", number: int, keys: "list[str]") -> tuple[str, str, bool, str]:
        is_well, said = await ping(upstream, provider, keys[number - 1] if keys else None, os.environ)
        return provider.provider_id, f"{number} of {len(keys)}" if keys else "none", is_well, said

    async with Upstream() as upstream:
        pings = [
            outcome(provider, number, keys)
            for provider in providers
            for keys in [keys_of(provider, os.environ)]
            for number in range(1, max(len(keys), 1) + 1)
        ]
        return list(await asyncio.gather(*pings))


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
