"""Settings: defaults, file, environment; what is wrong is named with its place."""

from pathlib import Path

import pytest

from tailrace.schema.errors import SettingsError
from tailrace.settings import Settings, load


def loaded(tmp_path: Path, text: str = "", **environ: str) -> Settings:
    file = tmp_path / "tailrace.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


def refused(tmp_path: Path, text: str = "", **environ: str) -> str:
    with pytest.raises(SettingsError) as error:
        loaded(tmp_path, text, **environ)
    return error.value.message


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing is needed; a `tailrace.toml` in the current directory is found by itself."""
    monkeypatch.chdir(tmp_path)
    assert load(None, {}) == Settings()
    assert (load(None, {}).server.host, load(None, {}).server.port) == ("127.0.0.1", 4010)
    Path("tailrace.toml").write_text("[server]\nport = 4020\n")
    assert load(None, {}).server.port == 4020


def test_a_file_says_what_differs(tmp_path: Path):
    """Sections, aliases, agents and providers' tables, with a byte order mark or without."""
    text = """\ufeff
    data = "elsewhere"
    [server]
    api_keys = ["k1", "k2"]
    [log]
    gather_ms = 2
    [aliases]
    fast = "local/qwen3"
    [agents.planner]
    model = "fast"
    [providers.local]
    wire = "openai-chat-completions"
    base_url = "http://127.0.0.1:8000/v1"
    """
    settings = loaded(tmp_path, text)
    assert settings.data == "elsewhere"
    assert settings.server.api_keys == ["k1", "k2"]
    assert settings.log.gather_ms == 2
    assert settings.aliases == {"fast": "local/qwen3"}
    assert settings.agents["planner"].model == "fast"
    assert settings.providers["local"]["wire"] == "openai-chat-completions"


def test_the_environment_overrides_the_file(tmp_path: Path):
    """Numbers, text, lists and nested tables; what it does not say stays."""
    settings = loaded(
        tmp_path,
        '[server]\nhost = "::1"\nport = 4020\n[providers.local]\nwire = "openai-responses"\n',
        TAILRACE_SERVER__PORT="4030",
        TAILRACE_SERVER__API_KEYS='["a", "b"]',
        TAILRACE_LOG__GATHER_MS="2.5",
        TAILRACE_DEFAULTS__MODEL="openai/gpt-5",
        TAILRACE_ALIASES__FAST='"local/1"',
        TAILRACE_PROVIDERS__LOCAL__BASE_URL="http://127.0.0.1:1/v1",
        TAILRACE_DATA="2024-01-01",
        TAILRACE_URL="http://127.0.0.1:1",
        TAILRACE_API_KEY="k",
        UNRELATED__PORT="1",
    )
    assert (settings.server.host, settings.server.port, settings.server.api_keys) == ("::1", 4030, ["a", "b"])
    assert settings.log.gather_ms == 2.5
    assert settings.defaults.model == "openai/gpt-5"
    assert settings.aliases == {"fast": "local/1"}
    assert settings.providers["local"] == {"wire": "openai-responses", "base_url": "http://127.0.0.1:1/v1"}
    assert settings.data == "2024-01-01"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[server]\nprt = 1", "server.prt"),
        ("[srver]\nport = 1", "srver"),
        ("[server]\nport = 'x'", "server.port"),
        ("[server]\nport = 65536", "server.port"),
        ("[server]\nport = -1", "server.port"),
        ("[server]\nport = true", "server.port"),
        ("[server]\napi_keys = ['']", "server.api_keys[0]"),
        ("[server]\nkeep_alive_s = 0", "server.keep_alive_s"),
        ("[log]\ngather_ms = -0.1", "log.gather_ms"),
        ("[limits]\nrun_s = nan", "limits.run_s"),
        ("[limits]\nmax_steps = 0", "limits.max_steps"),
        ("[upstream]\nattempts = 0", "upstream.attempts"),
        ("[agents.a]\nmodel = 'x'\n[agents.planner]\nmodle = 'x'", "agents.planner.modle"),
        ("[aliases]\na = 'x'\nb = 1", "aliases.b"),
        ("providers = {local = 1}", "providers.local"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_place(tmp_path: Path, text: str, name: str):
    """The file's name, and the path of the key."""
    assert refused(tmp_path, text).startswith(f"{tmp_path / 'tailrace.toml'}: {name}: ")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TAILRACE_SERVER__PRT", "1"),
        ("TAILRACE_SRVER__PORT", "1"),
        ("TAILRACE_SERVER__PORT", "x"),
        ("TAILRACE_SERVER__PORT", ""),
        ("TAILRACE_SERVER__PORT", "1\nhost = 2"),
        ("TAILRACE_AGENTS__PLANNER__MODLE", "x"),
        ("TAILRACE_LOG__KEEP_S", "-1"),
        ("TAILRACE_DATA", "7"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named_by_its_variable(tmp_path: Path, variable: str, value: str):
    """The variable as it was spelled."""
    assert refused(tmp_path, **{variable: value}).startswith(f"environment: {variable}: ")


def test_a_variable_and_its_part_exclude_each_other(tmp_path: Path):
    """One cannot be both a value and a table."""
    message = refused(tmp_path, TAILRACE_SERVER__PORT="1", TAILRACE_SERVER__PORT__X="2")
    assert message.startswith("environment: TAILRACE_SERVER__PORT__X: ")


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("[server]\napi_keys = 'sesame'", {}),
        ("[server]\napi_keys = ['sesame open']", {}),
        ("[server]\napi_keys = ['sesame", {}),
        ("", {"TAILRACE_SERVER__API_KEYS": "sesame"}),
        ("", {"TAILRACE_SERVER__API_KEYS": '["sesame open"]'}),
    ],
)
def test_a_secret_is_not_repeated(tmp_path: Path, text: str, environ: dict[str, str]):
    """A message names the setting, never its value (design rule 9)."""
    message = refused(tmp_path, text, **environ)
    assert "tailrace.toml" in message or "TAILRACE_SERVER__API_KEYS" in message
    assert "sesame" not in message


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path):
    """Missing, a directory, not TOML (with the line), not text."""
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot be read: No such file"):
        load(tmp_path / "nowhere.toml", {})
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(tmp_path, {})
    assert "line 2" in refused(tmp_path, "data = 'x'\n[server\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="binary: is not UTF-8 text"):
        load(tmp_path / "binary", {})


def test_instructions_stand_in_a_file_beside_the_settings(tmp_path: Path):
    """`instructions_file` is relative to the settings file, wherever the server is started."""
    (tmp_path / "planner.md").write_text("Plan. Grüße.\n", encoding="utf-8")
    agent = loaded(tmp_path, "[agents.planner]\ninstructions_file = 'planner.md'").agents["planner"]
    assert (agent.instructions, agent.instructions_file) == ("Plan. Grüße.\n", None)
    (tmp_path / "planner.md").write_bytes(b"\xff")
    for text, why in (
        ("instructions_file = 'nowhere.md'", "nowhere.md: No such file"),
        ("instructions_file = 'planner.md'", "not UTF-8"),
        ("instructions_file = 'planner.md'\ninstructions = 'x'", "beside `instructions`"),
    ):
        message = refused(tmp_path, f"[agents.planner]\n{text}")
        assert message.startswith(f"{tmp_path / 'tailrace.toml'}: agents.planner.instructions_file: ")
        assert why in message
