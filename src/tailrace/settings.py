"""Settings: read once at the start (TOML, then environment) and passed down as values (contract §7).

An unknown key or a wrong value raises SettingsError with its name and place.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, SettingsError

PREFIX = "TAILRACE_"
DEFAULT_FILE = Path("tailrace.toml")


class _Section(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What every section shares: an unknown key is refused."""


class Server(_Section, frozen=True, kw_only=True):
    """Where clients come in. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 4010
    api_keys: list[str] = field(default_factory=list)
    max_body_bytes: int = 16 * 1024 * 1024
    keep_alive_s: float = 10.0
    shutdown_s: float = 5.0


class LogSettings(_Section, frozen=True, kw_only=True):
    """How long commits may be gathered (`gather_ms`), for less CPU at more latency, and how long the log of an ended
    run is kept beside its archive (`keep_s`)."""

    gather_ms: float = 0.0
    keep_s: float = 60.0


class Defaults(_Section, frozen=True, kw_only=True):
    """What a run uses where its request does not say."""

    model: str | None = None


class UpstreamSettings(_Section, frozen=True, kw_only=True):
    """The way to providers: timeouts and retries, in seconds."""

    connect_s: float = 10.0
    first_event_s: float = 120.0
    idle_s: float = 120.0
    total_s: float = 3600.0
    attempts: int = 4
    retry_total_s: float = 60.0


class Limits(_Section, frozen=True, kw_only=True):
    """When a run ends at the latest: model calls, and seconds (working; waiting for the client's tool outputs)."""

    max_steps: int = 50
    run_s: float = 3600.0
    action_s: float = 86400.0


class Agent(_Section, frozen=True, kw_only=True):
    """A named way to ask: model and instructions."""

    model: str | None = None
    instructions: str | None = None
    instructions_file: str | None = None


class Settings(_Section, frozen=True, kw_only=True):
    """Everything. `providers` are tables for the registry; `data` is the directory of the embedded log and store."""

    server: Server = Server()
    log: LogSettings = LogSettings()
    defaults: Defaults = Defaults()
    upstream: UpstreamSettings = UpstreamSettings()
    limits: Limits = Limits()
    providers: dict[str, dict[str, Any]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    data: str = "tailrace-data"


def load(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings from `config` (else `tailrace.toml` here, else none), overridden by the environment.

    Raises SettingsError: file missing, not TOML, unknown key, wrong value.
    """
    path = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    table = _read(path) if path else {}
    settings = _convert(table, str(path))
    overrides = _from_environment(environ)
    if overrides:
        settings = _convert(_merge(table, overrides), "environment")
    return _with_instructions(settings, path.parent if path else Path())


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """`TAILRACE_SERVER__PORT=4020` → {"server": {"port": 4020}}; values are TOML or else plain text."""
    table: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or "__" not in name:
            continue
        *sections, key = name.removeprefix(PREFIX).lower().split("__")
        place = table
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = _value(value)
    return table


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _convert(table: dict[str, Any], place: str) -> Settings:
    try:
        settings = codec.convert(table, Settings)
    except InvalidJson as error:
        name = error.field or ""
        if place == "environment":
            name = f"{PREFIX}{name.replace('.', '__').upper()}"
        # The value itself is not repeated: it may be a secret (design rule 9).
        raise SettingsError(f"{place}: {name}: {error.message}") from error
    _check(settings, place)
    return settings


def _check(settings: Settings, place: str) -> None:
    for section in ("server", "log", "upstream", "limits"):
        for name, value in msgspec.structs.asdict(getattr(settings, section)).items():
            if isinstance(value, int | float) and value < 0:
                raise SettingsError(f"{place}: {section}.{name}: must not be negative")
    if not 0 <= settings.server.port <= 65535:
        raise SettingsError(f"{place}: server.port: must be between 0 and 65535")
    if settings.limits.max_steps < 1:
        raise SettingsError(f"{place}: limits.max_steps: must be at least 1")
    if settings.upstream.attempts < 1:
        raise SettingsError(f"{place}: upstream.attempts: must be at least 1")


def _with_instructions(settings: Settings, folder: Path) -> Settings:
    """Agents with the text of their `instructions_file`, which is relative to the settings file."""
    agents = {}
    for name, agent in settings.agents.items():
        if agent.instructions_file is None:
            agents[name] = agent
            continue
        try:
            text = (folder / agent.instructions_file).read_text(encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                f"agents.{name}.instructions_file: {agent.instructions_file}: {error.strerror}"
            ) from error
        agents[name] = msgspec.structs.replace(agent, instructions=text, instructions_file=None)
    return msgspec.structs.replace(settings, agents=agents)
