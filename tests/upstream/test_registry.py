"""Which provider and model a name means."""

import pytest

from tailrace.adapters.wires import QUIRKS, WIRES
from tailrace.schema.errors import InvalidRequest, SettingsError
from tailrace.upstream.registry import (
    Provider,
    Registry,
    configured_registry,
    keys_of,
    load_builtin,
    provider_from_table,
)
from tests.support.items import ask, user

LOCAL = {"wire": "openai-chat-completions", "base_url": "http://127.0.0.1:8000/v1"}
SECRET = "sk-not-to-be-seen"


def registry(aliases=None, default=None, **tables):
    providers = {name: provider_from_table(name, {**LOCAL, **table}) for name, table in tables.items()}
    return Registry(providers, aliases or {}, default)


def refused(names, model, provider=None):
    with pytest.raises(InvalidRequest) as raised:
        names.resolve(model, provider)
    return raised.value


LOCAL_ONES = {"ollama", "lm-studio", "vllm", "llama-cpp"}
COMMON = ["gpt-6-luna", "gpt-4o", "o3", "claude-haiku-4-5", "deepseek-chat", "grok-4", "mistral-small-latest",
          "codestral-latest", "sonar", "command-a-03-2025", "solar-pro", "jamba-large"]  # fmt: skip


def test_the_built_in_providers_speak_known_wires():
    """About sixty and more; each names its key's variable, but for the local ones, and each can be asked something."""
    providers = load_builtin()
    assert len(providers) >= 60
    assert {"openai", "anthropic", "azure", "azure-chat", "openrouter", "groq", "mistral", "moonshot"} <= set(providers)
    assert {name for name, provider in providers.items() if not provider.api_key_env} >= LOCAL_ONES
    for provider in providers.values():
        body = WIRES[provider.wire].build(ask(user("hello"), model="any"), provider.quirks)
        assert body


def test_a_common_bare_name_means_one_provider():
    """With every key set, no two of the built-in ones recognise it."""
    everything = load_builtin()
    environ = {name: "k" for provider in everything.values() for name in provider.api_key_env}
    names = configured_registry({}, {}, None, environ)
    assert len(names.providers) > 60
    for model in COMMON:
        assert names.resolve(model, None)[1] == model


def test_every_wire_has_its_quirks():
    """The table of quirks that settings may name covers the wires."""
    assert set(QUIRKS) == set(WIRES)
    assert all(name == wire.name for name, wire in WIRES.items())


def test_a_model_with_its_provider():
    """The first part names the provider; the rest may hold slashes of its own."""
    names = registry(local={}, router={})
    provider, model = names.resolve("router/meta/llama-4", None)
    assert (provider.provider_id, model) == ("router", "meta/llama-4")
    provider, model = names.resolve("meta/llama-4", "router")
    assert (provider.provider_id, model) == ("router", "meta/llama-4")


def test_an_alias():
    """Another name for a model of a provider; with a provider named, the model is that provider's own name."""
    names = registry({"fast": "local/qwen3"}, local={}, other={})
    provider, model = names.resolve("fast", None)
    assert (provider.provider_id, model) == ("local", "qwen3")
    assert names.resolve("fast", "other")[1] == "fast"


def test_a_bare_model_that_exactly_one_provider_has():
    """By its list, or by the family of the name; two that have it must be told apart."""
    names = registry(one={"models": ["qwen3", "both"]}, two={"models": ["both"]}, three={"families": ["gpt-*"]})
    assert names.resolve("qwen3", None)[0].provider_id == "one"
    assert names.resolve("gpt-9", None)[0].provider_id == "three"
    error = refused(names, "both")
    assert error.field == "model_id"
    assert error.details["candidates"] == ["one/both", "two/both"]
    unknown = refused(names, "nobody-has-this")
    assert unknown.field == "model_id"
    assert "one/nobody-has-this" in unknown.details["candidates"]


def test_the_default_model():
    """Meant where none is named; of a provider alone, its own."""
    names = registry(default="one/qwen3", one={}, two={"default_model": "own"}, three={})
    assert names.resolve(None, None)[1] == "qwen3"
    assert names.resolve(None, "one")[1] == "qwen3"
    assert names.resolve(None, "two")[1] == "own"
    assert refused(names, None, "three").field == "model_id"
    assert refused(registry(one={}), None).field == "model_id"


def test_a_provider_that_lists_its_models_has_no_others():
    """Without a list anything goes through."""
    names = registry(one={"models": ["qwen3"]}, two={})
    error = refused(names, "one/other")
    assert error.field == "model_id"
    assert error.details["candidates"] == ["qwen3"]
    assert names.resolve("two/other", None)[1] == "other"


def test_an_unknown_provider_is_refused_with_those_there_are():
    """Under the field that named it."""
    error = refused(registry(one={}), "qwen3", "nobody")
    assert error.field == "provider_id"
    assert error.details["candidates"] == ["one"]


def test_only_providers_with_a_key_are_configured():
    """One that needs none counts; asking for one that lacks it says which variable it lacks."""
    everything = registry(one={"api_key_env": "ONE_KEY"}, two={"api_key_env": "TWO_KEY"}, free={})
    names = everything.configured({"ONE_KEY": SECRET, "TWO_KEY": ""})
    assert sorted(names.providers) == ["free", "one"]
    error = refused(names, "two/x")
    assert error.field == "model_id"
    assert "TWO_KEY" in error.message
    assert refused(names, "x", "two").field == "provider_id"


VERTEX = {"wire": "google-gemini", "auth": "google-adc", "base_url": "https://{PLACE:world}.host/v1/{PROJECT}"}


def test_an_address_is_filled_from_the_environment():
    """Where a variable is missing that has no default, the provider is known, and says what it lacks."""
    provider = provider_from_table("cloud", VERTEX, {"PROJECT": "p", "PLACE": "here"})
    assert (provider.base_url, provider.needs) == ("https://here.host/v1/p", [])
    lacking = provider_from_table("cloud", VERTEX, {"PROJECT": ""})
    assert (lacking.base_url, lacking.needs) == ("https://world.host/v1/{PROJECT}", ["PROJECT"])
    names = Registry({"cloud": lacking}, {}, None).configured({})
    assert names.providers == {}
    assert "PROJECT" in refused(names, "cloud/m").message


def test_google_s_cloud_is_there_once_a_project_is_named():
    """In all the world, or in a region with its host."""
    environ = {"GOOGLE_CLOUD_PROJECT": "p"}
    provider = load_builtin(environ)["google-vertex"]
    assert provider.base_url == "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google"
    environ |= {"GOOGLE_CLOUD_LOCATION": "r", "GOOGLE_VERTEX_BASE_URL": "https://r-aiplatform.googleapis.com"}
    provider = load_builtin(environ)["google-vertex"]
    assert provider.base_url == "https://r-aiplatform.googleapis.com/v1/projects/p/locations/r/publishers/google"
    assert "google-vertex" not in Registry(load_builtin(), {}, None).configured({}).providers


def test_a_bare_model_counts_only_configured_providers():
    """The other one that has it cannot be called."""
    tables = {"one": {"models": ["m"], "api_key_env": "ONE_KEY"}, "two": {"models": ["m"], "api_key_env": "TWO_KEY"}}
    names = registry(**tables).configured({"TWO_KEY": SECRET})
    assert names.resolve("m", None)[0].provider_id == "two"


@pytest.mark.parametrize(
    ("environ", "region"),
    [
        ({}, "us-east-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-north-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
    ],
)
def test_an_address_may_take_its_region_from_the_environment(environ, region):
    """As AWS's own tools do: one variable, or else another, or else the default."""
    known = configured_registry({}, {}, None, environ)
    assert known.resolve("bedrock/x", None)[0].base_url == f"https://bedrock-runtime.{region}.amazonaws.com"


def test_no_secret_leaves():
    """A provider knows its variable's name only, and does not show its headers."""
    provider = provider_from_table("one", {**LOCAL, "api_key_env": "ONE_KEY", "headers": {"x-key": SECRET}})
    environ = {"ONE_KEY": SECRET}
    assert keys_of(provider, environ) == [SECRET]
    assert keys_of(provider, {}) == []
    names = Registry({"one": provider}, {}, None).configured(environ)
    shown = f"{provider!r} {provider} {names!r} {vars(names)!r} {refused(names, 'x')} {refused(names, 'x').details}"
    assert SECRET not in shown


def test_a_table_says_only_what_differs_from_the_built_in_one():
    """A proxy in front of a known provider needs only its address."""
    provider = provider_from_table("openai", {"base_url": "http://127.0.0.1:9/v1"})
    assert provider.base_url == "http://127.0.0.1:9/v1"
    assert provider.api_key_env == ["OPENAI_API_KEY"]
    assert isinstance(provider, Provider)


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ({"base_ulr": "http://host"}, "[providers.local].base_ulr"),
        ({"base_url": 7}, "[providers.local].base_url"),
        ({"base_url": "host:8000"}, "[providers.local].base_url"),
        ({"base_url": "http://[::1"}, "[providers.local].base_url"),
        ({"base_url": "http://me:" + SECRET + "@host/v1"}, "[providers.local].base_url"),
        ({"wire": "smoke-signals"}, "[providers.local].wire"),
        ({"quirks": {"speed": 9}}, "[providers.local].quirks.speed"),
        ({"quirks": {"max_tokens_field": True}}, "[providers.local].quirks.max_tokens_field"),
        ({"models": ["a", 1]}, "[providers.local].models[1]"),
        ({"auth": "handshake"}, "[providers.local].auth"),
        ({"model_names": "a=b,c"}, "[providers.local].model_names"),
        ({"max_in_flight": 0}, "[providers.local].max_in_flight"),
        ({"prices": {"m": {"input": 1.0}}}, "[providers.local].prices"),
        ({"prices": {"m": {"input": -1.0, "output": 1.0}}}, "[providers.local].prices"),
        ({"transport": "websocket"}, "[providers.local].transport"),
        ({"wire": "openai-responses", "transport": "pigeon"}, "[providers.local].transport"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(table, place):
    """The start stops, and the operator knows where to look; what they wrote is not repeated if it may be a secret."""
    with pytest.raises(SettingsError) as raised:
        provider_from_table("local", {**LOCAL, **table})
    assert raised.value.message.startswith(place)
    assert SECRET not in raised.value.message


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_providers_name_can_stand_before_a_slash(name):
    """Otherwise no model of it could be named."""
    with pytest.raises(SettingsError):
        provider_from_table(name, LOCAL)


def test_a_provider_chooses_how_it_is_reached():
    """HTTP, unless its row or the settings say otherwise."""
    assert load_builtin()["openai-codex"].transport == "websocket"
    assert provider_from_table("openai-codex", {"transport": "http"}).transport == "http"
    assert load_builtin()["openai"].transport == "http"
    assert provider_from_table("openai", {"transport": "websocket"}).transport == "websocket"


def test_a_provider_needs_a_wire_and_an_address():
    """Unless it is a built-in one."""
    with pytest.raises(SettingsError, match=r"\[providers\.local\]\.wire"):
        provider_from_table("local", {"base_url": "http://host"})


def test_the_first_variable_that_is_set_holds_the_keys():
    """One name or a list of them; several keys are separated by commas, and what is empty is none."""
    provider = provider_from_table("one", {**LOCAL, "api_key_env": ["NEW_KEY", "OLD_KEY"]})
    assert keys_of(provider, {"OLD_KEY": "old"}) == ["old"]
    assert keys_of(provider, {"OLD_KEY": "old", "NEW_KEY": " a, b ,,"}) == ["a", "b"]
    assert keys_of(provider, {"NEW_KEY": "", "OLD_KEY": "old"}) == ["old"]
    names = Registry({"one": provider}, {}, None).configured({"NEW_KEY": " , "})
    assert "NEW_KEY or OLD_KEY" in refused(names, "one/x").message


def test_places_in_an_address_are_filled_from_the_environment():
    """`{NAME}` and `{NAME:default}`; the first address whose variables are set is meant."""
    table = {**LOCAL, "base_url": ["{BASE}", "https://{ACCOUNT}.{REGION:eu}.example/v1"]}
    assert provider_from_table("one", table, {"ACCOUNT": "me"}).base_url == "https://me.eu.example/v1"
    assert provider_from_table("one", table, {"ACCOUNT": "me", "REGION": "us"}).base_url == "https://me.us.example/v1"
    assert provider_from_table("one", table, {"ACCOUNT": "me", "BASE": "http://host"}).base_url == "http://host"


def test_a_provider_without_its_variables_counts_as_keyless():
    """Asking for it names them all."""
    table = {
        **LOCAL,
        "base_url": ["{BASE}", "https://{ACCOUNT}.{GATE}.example"],
        "query": {"v": "{VERSION}"},
        "model_names": "{NAMES}",
    }
    names = configured_registry({"one": {**table, "api_key_env": "ONE_KEY"}}, {}, None, {"GATE": "g"})
    assert "one" not in names.providers
    assert refused(names, "one/x").message.endswith("set ONE_KEY, and BASE or ACCOUNT, and NAMES, and VERSION")


@pytest.mark.parametrize("value", ["host.example", f"https://me:{SECRET}@host.example"])
def test_an_address_that_a_variable_makes_wrong_is_not_set_up(value):
    """It may have been set for something else, so that the server starts all the same; the value is not repeated."""
    names = configured_registry({"one": {**LOCAL, "base_url": "{BASE}/v1"}}, {}, None, {"BASE": value})
    message = refused(names, "one/x").message
    assert "set BASE to another value (" in message
    assert SECRET not in message


def test_a_query_ends_every_url():
    """Also one that has a query; a value that comes out empty is left out."""
    table = {**LOCAL, "query": {"api-version": "{VERSION:v 1}", "trace": "{TRACE:}"}}
    provider = provider_from_table("one", table, {})
    assert provider.url("/x") == "http://127.0.0.1:8000/v1/x?api-version=v+1"
    assert provider.url("/x?alt=sse") == "http://127.0.0.1:8000/v1/x?alt=sse&api-version=v+1"


def test_azure_is_reached_by_its_resource_or_its_address():
    """§3.5: the v1 surface, an `api-version`, deployments by a map."""
    environ = {"AZURE_OPENAI_API_KEY": SECRET, "AZURE_OPENAI_RESOURCE_NAME": "mine",
               "AZURE_OPENAI_DEPLOYMENT_NAME_MAP": "gpt-5=my-gpt, o3 = other"}  # fmt: skip
    names = configured_registry({}, {}, None, environ)
    azure, chat = names.providers["azure"], names.providers["azure-chat"]
    assert azure.url("/responses") == "https://mine.openai.azure.com/openai/v1/responses?api-version=v1"
    assert chat.url("/chat/completions").startswith("https://mine.openai.azure.com/openai/v1/chat/completions?")
    assert azure.model_names == {"gpt-5": "my-gpt", "o3": "other"}
    lacking = configured_registry({}, {}, None, {"AZURE_OPENAI_API_KEY": SECRET})
    assert refused(lacking, "azure/x").message.endswith("set AZURE_OPENAI_BASE_URL or AZURE_OPENAI_RESOURCE_NAME")
