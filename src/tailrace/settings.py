"""Settings: read once at the start (TOML, then environment) and passed down as values (contract §7).

An unknown key or a wrong value raises SettingsError with its name and place; the value itself is never repeated: it may
be a secret (design rule 9).
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from tailrace.mcp.config import McpSettings
from tailrace.runs.approvals import Ask, ToolApproval
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, SettingsError

PREFIX = "TAILRACE_"
DEFAULT_FILE = Path("tailrace.toml")
WELL_KNOWN = {"REDIS_URL": ("log", "url"), "DATABASE_URL": ("store", "url")}  # as hosts set them (contract §7)

Count = Annotated[int, Meta(ge=1)]
NotNegativeCount = Annotated[int, Meta(ge=0)]
RedisUrl = Annotated[str, Meta(pattern="^(rediss?|unix)://")]
PostgresUrl = Annotated[str, Meta(pattern="^postgres(ql)?://")]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
ApiKey = Annotated[str, Meta(pattern="^[!-~]+$")]  # what a header can carry, and never empty


class _Section(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What every section shares: an unknown key is refused."""


Role = Literal["api", "runner", "projector", "tools"]
ROLES: tuple[Role, ...] = get_args(Role)


class Server(_Section, frozen=True, kw_only=True):
    """What this process does (`roles`), and where clients come in. Sizes in bytes, times in seconds.

    `shutdown_s`: how long what is under way may take when the server is told to stop.
    """

    roles: Annotated[list[Role], Meta(min_length=1)] = field(default_factory=lambda: list(ROLES))
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 4010
    api_keys: list[ApiKey] = field(default_factory=list)
    max_body_bytes: Count = 16 * 1024 * 1024
    keep_alive_s: Positive = 10.0
    websockets: bool = True
    shutdown_s: NotNegative = 5.0


class LogSettings(_Section, frozen=True, kw_only=True):
    """Where runs' logs are: in Redis (`url`), else in a file. How long appends, and new runs, wait for those of others,
    for less CPU at more latency (`gather_ms`), and how long the log of an ended run is kept beside its archive
    (`keep_s`)."""

    url: RedisUrl | None = None
    gather_ms: NotNegative = 0.0
    keep_s: NotNegative = 60.0


class StoreSettings(_Section, frozen=True, kw_only=True):
    """Where threads and runs are at rest: in PostgreSQL (`url`), else in a file."""

    url: PostgresUrl | None = None


class WorkSettings(_Section, frozen=True, kw_only=True):
    """How work is shared out between processes.

    `lease_s`: how long a worker that does not answer keeps what it has claimed. `max_runs`: how many runs a process
    drives at a time; `max_waiting`: how many may wait for one, before more are refused.
    """

    lease_s: Positive = 15.0
    max_runs: Count = 1000
    max_waiting: Count = 10_000


class Defaults(_Section, frozen=True, kw_only=True):
    """What a run uses where its request does not say."""

    model: str | None = None


class WebSocketSettings(_Section, frozen=True, kw_only=True):
    """Providers' calls that go over a WebSocket, in seconds: a handshake, the first event, the next one.

    `reuse_s`: how long a conversation's socket is kept for its next call (0: for as long as the provider keeps it).
    """

    connect_s: Positive = 10.0
    first_event_s: Positive = 60.0
    idle_s: Positive = 300.0
    reuse_s: NotNegative = 30.0


class UpstreamSettings(_Section, frozen=True, kw_only=True):
    """The way to providers: timeouts and retries, in seconds.

    `restarts`: how many of a call's tries may begin anew what readers have seen the beginning of.
    """

    connect_s: Positive = 10.0
    response_s: Positive = 120.0
    first_event_s: Positive = 120.0
    idle_s: Positive = 120.0
    total_s: Positive = 3600.0
    attempts: Count = 4
    retry_total_s: NotNegative = 60.0
    restarts: NotNegativeCount = 0
    websocket: WebSocketSettings = WebSocketSettings()


class Limits(_Section, frozen=True, kw_only=True):
    """When a run ends at the latest: model calls, lost workers, and seconds (working; waiting for the client's tool
    outputs). `outage_s`: how long a run waits for a log that is out of reach."""

    max_steps: Count = 50
    max_takeovers: NotNegativeCount = 3
    outage_s: NotNegative = 30.0
    run_s: Positive = 3600.0
    action_s: Positive = 86400.0


class Retention(_Section, frozen=True, kw_only=True):
    """How long the events of ended runs are kept (`tailrace gc` drops the older ones); what came of a run stays."""

    archive_days: Count | None = None


class Compaction(_Section, frozen=True, kw_only=True):
    """When a conversation is summed up: at which part of its model's context window (`threshold`; 0: never), or of
    `context_tokens` instead; and how many tokens of what its user said are kept word for word. What is not said is as
    `[compaction]` has it, for an agent, and there as in fold/compaction.py."""

    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    context_tokens: Count | None = None
    user_tokens: NotNegativeCount | None = None


class AgentLimits(_Section, frozen=True, kw_only=True):
    """When an agent's run ends at the latest: model calls, tokens, USD, seconds of work (waiting for people is none),
    steps in a row that make the same calls."""

    steps: Count | None = None
    tokens: Count | None = None
    cost_usd: Positive | None = None
    time_s: Positive | None = None
    repeats: Count = 5


class RemoteTool(_Section, frozen=True, kw_only=True):
    """A tool that workers run (docs/work.md). `parameters`: a JSON Schema of an object; `timeout_s`: of a call."""

    description: str
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    idempotent: bool = False
    timeout_s: Positive = 600.0
    parallel: Count = 8


class ToolSettings(_Section, frozen=True, kw_only=True):
    """Which tools there are beside the built-in ones, and how far all of them go (docs/tools.md).

    `register`: tools, by `module:name`; `packs`: names for several; `search`: what makes `web_search`'s provider.
    `sandbox`: what becomes of commands without one; in it, `network`: may they use it; `readable`, `hidden`: what more
    and what less of the system they see. `reachable`: networks that `fetch_url` reaches although they are not public.
    `workspace`: the folder that tools work in, made where it is not there; `environment`: the variables that commands
    may have, by name or pattern. `remote`: tools that workers run over HTTP.
    """

    register: list[str] = field(default_factory=list)
    packs: dict[str, list[str]] = field(default_factory=dict)
    search: str | None = None
    sandbox: Literal["required", "preferred", "off"] = "required"
    network: bool = False
    readable: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    reachable: list[str] = field(default_factory=list)
    workspace: str = "workspace"
    environment: list[str] | None = None
    remote: dict[str, RemoteTool] = field(default_factory=dict)


class Agent(_Section, frozen=True, kw_only=True):
    """A named way to ask: model, instructions (in place, or in a file), and tools (names, patterns, packs) with what
    holds for them (docs/agents.md).

    `approvals`: which calls a person is asked about, by tool (`default` for all others); `approval_s`: for how many
    seconds; not `interactive`: nobody is there to be asked, and what would be asked about is not run. `workspace`:
    another folder than that of `tools`. `compaction`: other than for runs without an agent.
    """

    model: str | None = None
    instructions: str | None = None
    instructions_file: str | None = None
    tools: list[str] = field(default_factory=list)
    workspace: str | None = None
    approvals: dict[str, Ask | ToolApproval] = field(default_factory=dict)
    approval_s: Positive = 86400.0
    interactive: bool = True
    limits: AgentLimits = AgentLimits()
    compaction: Compaction = Compaction()


class Settings(_Section, frozen=True, kw_only=True):
    """Everything. `providers` are tables for the registry; `data` is the directory of the embedded log and store."""

    server: Server = Server()
    log: LogSettings = LogSettings()
    store: StoreSettings = StoreSettings()
    work: WorkSettings = WorkSettings()
    defaults: Defaults = Defaults()
    upstream: UpstreamSettings = UpstreamSettings()
    limits: Limits = Limits()
    retention: Retention = Retention()
    tools: ToolSettings = ToolSettings()
    mcp: McpSettings = McpSettings()
    compaction: Compaction = Compaction()
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
    try:
        settings = codec.convert(table, Settings)
    except InvalidJson as error:
        raise SettingsError(f"{path}: {_at_fault(table, error)}: {error.message}") from error
    overrides = _from_environment(environ)
    if overrides:
        merged = _merge(table, overrides)
        try:
            settings = codec.convert(merged, Settings)
        except InvalidJson as error:
            name = _variable(_at_fault(merged, error), environ)
            raise SettingsError(f"environment: {name}: {error.message}") from error
    return _with_instructions(settings, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """`TAILRACE_SERVER__PORT=4020` → {"server": {"port": 4020}}; `TAILRACE_DATA` is the one setting without a section.

    Other names without `__` are no settings: TAILRACE_URL and TAILRACE_API_KEY are the client's.
    """
    table: dict[str, Any] = {}
    for name, (section, key) in WELL_KNOWN.items():
        if environ.get(name):
            table[section] = {key: environ[name]}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or ("__" not in name and name != f"{PREFIX}DATA"):
            continue
        *sections, key = name.removeprefix(PREFIX).lower().split("__")
        place = table
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise SettingsError(f"environment: {name}: what it is a part of is set as a whole, too")
        place[key] = _value(environ[name])
    return table


def _value(text: str) -> Any:
    """A number, boolean, list, table or quoted text in TOML; anything else is text as it stands."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = parsed.pop("value")
    return value if not parsed and isinstance(value, bool | int | float | str | list | dict) else text


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _at_fault(table: Mapping[str, Any], error: InvalidJson) -> str:
    """The path of the setting, as in `agents.planner.model`: where any name may stand, the error has `[...]` for it."""
    path = error.field or ""
    section, unnamed, rest = path.partition("[...]")
    if not unnamed:
        return path
    *outer, inner = section.split(".")
    within: Any = table
    for key in (*outer, inner):
        within = within[key]
    for name, entry in within.items():
        one: dict[str, Any] = {inner: {name: entry}}
        for key in reversed(outer):
            one = {key: one}
        try:
            codec.convert(one, Settings)
        except InvalidJson:
            return f"{section}.{name}{rest}"
    return path


def _variable(path: str, environ: Mapping[str, str]) -> str:
    """The environment variable that sets `path`, or that sets a part of it."""
    for name, place in WELL_KNOWN.items():
        if path == ".".join(place) and environ.get(name):
            return name
    start = f"{PREFIX}{path.partition('[')[0].replace('.', '__').upper()}"
    return next((name for name in sorted(environ) if name.startswith(start)), start)


def _with_instructions(settings: Settings, path: Path | None) -> Settings:
    """Agents with the text of their `instructions_file`, which is relative to the settings file."""
    folder = path.parent if path else Path()
    agents = {}
    for name, agent in settings.agents.items():
        agents[name] = agent
        if agent.instructions_file is None:
            continue
        place = f"{path or 'environment'}: agents.{name}.instructions_file"
        if agent.instructions is not None:
            raise SettingsError(f"{place}: stands beside `instructions`; one of them is enough")
        try:
            text = (folder / agent.instructions_file).read_text(encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"{place}: {agent.instructions_file}: {error.strerror}") from error
        except ValueError as error:
            raise SettingsError(f"{place}: {agent.instructions_file!r} is not UTF-8 text") from error
        agents[name] = replace(agent, instructions=text, instructions_file=None)
    return replace(settings, agents=agents)
