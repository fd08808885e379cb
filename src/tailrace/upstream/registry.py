"""Who the providers are, and which of them a model's name means (contract §5, §7).

A provider holds the names of the variables that its keys may be in, never a key (design rule 9): `keys_of` looks them
up when a request is made. What else stands in the environment (an address, a version) is read when the registry is
made.
"""

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from tailrace.adapters.base import TransportName
from tailrace.adapters.markup import MARKUP
from tailrace.adapters.wires import QUIRKS, WIRES
from tailrace.fold.cost import Price
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, InvalidRequest, SettingsError
from tailrace.upstream.auth import SCHEMES
from tailrace.upstream.patience import Patience
from tailrace.upstream.placeholders import fill_first, names_in
from tailrace.upstream.prices import listed_prices
from tailrace.upstream.windows import listed_windows, window_of

_NOTHING_SET: Mapping[str, str] = MappingProxyType({})


class _Table(Struct, kw_only=True, forbid_unknown_fields=True):
    """A provider's table in TOML."""

    wire: str
    base_url: str | list[str]
    api_key_env: str | list[str] = field(default_factory=list)
    auth: str | None = None
    default_model: str | None = None
    models: list[str] = field(default_factory=list)
    model_names: str | dict[str, str] = field(default_factory=dict)
    families: list[str] = field(default_factory=list)
    quirks: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    prices: dict[str, Price] = field(default_factory=dict)
    context_windows: dict[str, Annotated[int, Meta(ge=1)]] = field(default_factory=dict)
    max_in_flight: Annotated[int, Meta(ge=1)] | None = None
    patience: Patience = Patience()
    transport: TransportName = "http"


class Provider(Struct, kw_only=True, frozen=True):
    """An endpoint that speaks a known wire.

    `models`, where given, are all the models there are; else any name goes through, and a bare one is recognised by
    `families` (globs). `default_model` is meant where only the provider is named. `model_names` says how a model is
    called on the wire where that is not its name. `headers` and `query` go with every request; `auth` is the scheme
    (upstream/auth.py) by which the key does, where it is not the wire's own: the keys are in the first of
    `api_key_env` that is set. `transport` is the way that calls take first. `prices` are those of its models
    (upstream/prices.py), `context_windows` what these take in (upstream/windows.py). `needs`: what must yet be set, in
    words. `max_in_flight`: calls at a time. `patience`: floors under the settings' limits.
    """

    provider_id: str
    wire: str
    base_url: str
    api_key_env: list[str] = field(default_factory=list)
    auth: str | None = None
    default_model: str | None = None
    models: list[str] = field(default_factory=list)
    model_names: dict[str, str] = field(default_factory=dict)
    families: list[str] = field(default_factory=list)
    quirks: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    prices: dict[str, Price] = field(default_factory=dict)
    context_windows: dict[str, int] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    max_in_flight: int | None = None
    patience: Patience = Patience()
    transport: TransportName = "http"

    def __repr__(self) -> str:
        """Its name and wire: an operator may have put a secret into the headers."""
        return f"Provider({self.provider_id!r}, wire={self.wire!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("provider_id", self.provider_id), ("wire", self.wire)]

    def has(self, model_id: str) -> bool:
        """Does it list the model, or recognise its name?"""
        return model_id in self.models or any(fnmatchcase(model_id, family) for family in self.families)

    def context_window(self, model_id: str) -> int | None:
        """How many tokens the model takes in; None where that is not known."""
        return window_of(self.context_windows, model_id) or self.quirks.get("context_window") or None

    def url(self, path: str) -> str:
        """The address of `path`, which may have a query of its own."""
        url = self.base_url.rstrip("/") + path
        return f"{url}{'&' if '?' in path else '?'}{urlencode(self.query)}" if self.query else url


def keys_of(provider: Provider, environ: Mapping[str, str]) -> list[str]:
    """The provider's keys: comma-separated in the first of its variables that is set; none where it needs none, or
    where there is none."""
    said = next((environ[name] for name in provider.api_key_env if environ.get(name)), "")
    return [key for part in said.split(",") if (key := part.strip())]


def provider_from_table(name: str, table: Mapping[str, Any], environ: Mapping[str, str] = _NOTHING_SET) -> Provider:
    """A provider of the settings' `[providers.<name>]`; what is not said of a built-in one stays as it is.

    Raises SettingsError with the name and place of what is wrong.
    """
    place = f"[providers.{name}]"
    if not name or "/" in name:
        raise SettingsError(f"{place}: a provider's name is not empty and has no slash")
    return _provider(name, place, {**_builtin_tables().get(name, {}), **table}, environ)


def load_builtin(environ: Mapping[str, str] = _NOTHING_SET) -> dict[str, Provider]:
    """The providers of providers.toml, by id."""
    return {
        name: _provider(name, f"providers.toml [{name}]", table, environ) for name, table in _builtin_tables().items()
    }


@cache
def _builtin_tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("tailrace.upstream").joinpath("providers.toml").read_text(encoding="utf-8"))


def _provider(name: str, place: str, table: Mapping[str, Any], environ: Mapping[str, str]) -> Provider:
    try:
        known = codec.convert(dict(table), _Table)
    except InvalidJson as error:
        at = f".{error.field}" if error.field else ""
        raise SettingsError(f"{place}{at}: {error.message}") from error
    if known.wire not in WIRES:
        raise SettingsError(f"{place}.wire: {known.wire!r} is none of {', '.join(WIRES)}")
    _check_quirks(known, place)
    if known.auth not in (None, *SCHEMES):
        raise SettingsError(f"{place}.auth: {known.auth!r} is none of {', '.join(SCHEMES)}")
    if known.transport not in WIRES[known.wire].transports:
        raise SettingsError(f"{place}.transport: the wire goes over {', '.join(WIRES[known.wire].transports)}")
    base_url, lack = _base_url(_listed(known.base_url), f"{place}.base_url", environ)
    query = {key: fill_first([value], environ) for key, value in known.query.items()}
    model_names, unnamed = _model_names(known.model_names, f"{place}.model_names", environ)
    said = {
        "provider_id": name,
        "base_url": base_url,
        "api_key_env": _listed(known.api_key_env),
        "prices": {**listed_prices().get(name, {}), **known.prices},
        "context_windows": {
            **known.context_windows,  # comes first, too: the first pattern that fits counts
            **listed_windows().get(name, {}),
            **known.context_windows,
        },
        "model_names": model_names,
        "query": {key: value for key, (value, _) in query.items() if value},
        "needs": [missing for missing in (lack, unnamed, *(missing for _, missing in query.values())) if missing],
    }
    return codec.convert({**codec.to_builtins(known), **said}, Provider)


def _check_quirks(known: _Table, place: str) -> None:
    """Raises SettingsError for one that the wire has not, and for one of another kind than its own."""
    for quirk, said in known.quirks.items():
        if quirk not in QUIRKS[known.wire]:
            raise SettingsError(f"{place}.quirks.{quirk}: the wire has {', '.join(QUIRKS[known.wire])}")
        usual = QUIRKS[known.wire][quirk]
        if type(said) is not type(usual):
            raise SettingsError(f"{place}.quirks.{quirk}: is to be of the kind of {usual!r}, its usual value")
    for kind in known.quirks.get("heal", ()):
        if kind not in MARKUP:
            raise SettingsError(f"{place}.quirks.heal: {kind!r} is none of {', '.join(MARKUP)}")


def _listed(said: str | list[str]) -> list[str]:
    return [said] if isinstance(said, str) else said


def _model_names(said: str | dict[str, str], place: str, environ: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """A table, or a text such as `gpt-5=my-deployment,gpt-4.1=other`; and what it lacks, in words."""
    if isinstance(said, dict):
        return said, ""
    text, lack = fill_first([said], environ)
    if lack:
        return {}, lack
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if any(not model.strip() or not name.strip() for model, _, name in pairs):
        raise SettingsError(f"{place}: wants pairs of a model and its name on the wire: `model=name,…`")
    return {model.strip(): name.strip() for model, _, name in pairs}, ""


def _base_url(said: list[str], place: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The address, and what it lacks, in words. Raises SettingsError where the settings alone make it wrong."""
    base_url, lack = fill_first(said, environ)
    problem = None if lack else _problem(base_url)
    used = [name for text in said for name in names_in(text) if environ.get(name)]
    if problem is not None and not used:
        raise SettingsError(f"{place}: {problem}")
    return base_url, f"{' and '.join(used)} to another value ({problem})" if problem else lack


def _problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        return "not an http or https address"
    if parts.username or parts.password:
        return "a key has no place in an address; name its variable in api_key_env"
    return None


def _with_key(provider: Provider, environ: Mapping[str, str]) -> Provider:
    """The provider, knowing that it needs a key that is not there."""
    if not provider.api_key_env or keys_of(provider, environ):
        return provider
    return replace(provider, needs=[" or ".join(provider.api_key_env), *provider.needs])


class Registry:
    """The providers of this server, by which a request's model is resolved.

    `aliases` give another name to a `provider/model` or a bare model; `default_model` is meant where none is named;
    `keyless` are known, but cannot be called: asking for one says what it `needs`.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        aliases: Mapping[str, str],
        default_model: str | None,
        keyless: Mapping[str, Provider] | None = None,
    ) -> None:
        self.providers = dict(providers)
        self.aliases = dict(aliases)
        self.default_model = default_model
        self.keyless = dict(keyless or {})

    def configured(self, environ: Mapping[str, str]) -> "Registry":
        """The same with only the providers that can be called: that need nothing, or whose key is in `environ`."""
        known = {name: _with_key(provider, environ) for name, provider in self.providers.items()}
        ready = {name: provider for name, provider in known.items() if not provider.needs}
        keyless = {name: provider for name, provider in known.items() if provider.needs}
        return Registry(ready, self.aliases, self.default_model, keyless)

    def resolve(self, model: str | None, provider: str | None) -> tuple[Provider, str]:
        """The provider and its name for the model.

        With a provider, the model is its own name for it. Without, it is an alias, `provider/model`, or a bare model
        that exactly one provider has. Raises InvalidRequest(field=model_id or provider_id); its details hold
        `candidates`.
        """
        if provider is not None:
            return self._of(self._named(provider), model)
        name = model or self.default_model
        if name is None:
            raise InvalidRequest("no model is named, and there is no default", field="model_id")
        name = self.aliases.get(name, name)
        first, _, rest = name.partition("/")
        if rest and (first in self.providers or first in self.keyless):
            return self._of(self._named(first, field="model_id"), rest)
        return self._bare(name), name

    def _named(self, provider_id: str, field: str = "provider_id") -> Provider:
        provider = self.providers.get(provider_id)
        if provider is not None:
            return provider
        keyless = self.keyless.get(provider_id)
        why = f"is not set up: set {', and '.join(keyless.needs)}" if keyless else "is not known"
        raise InvalidRequest(f"provider {provider_id!r} {why}", field=field, candidates=sorted(self.providers))

    def _of(self, provider: Provider, model: str | None) -> tuple[Provider, str]:
        first, _, rest = (self.default_model or "").partition("/")
        model = model or (rest if first == provider.provider_id else provider.default_model)
        listed = provider.models
        if not model or (listed and model not in listed):
            what = f"has no model {model!r}" if model else "needs a model to be named"
            raise InvalidRequest(
                f"provider {provider.provider_id!r} {what}", field="model_id", candidates=sorted(listed)
            )
        return provider, model

    def _bare(self, model: str) -> Provider:
        having = [provider for provider in self.providers.values() if provider.has(model)]
        if len(having) == 1:
            return having[0]
        if having:
            candidates = sorted(f"{provider.provider_id}/{model}" for provider in having)
            message = f"{model!r} is a model of several providers: say which, as in {candidates[0]!r}"
        else:
            candidates = sorted([*self.aliases, *(f"{name}/{model}" for name in self.providers)])
            message = f"no provider is known to have {model!r}: name it, as in 'provider/{model}'"
        raise InvalidRequest(message, field="model_id", candidates=candidates)


def configured_registry(
    tables: Mapping[str, Mapping[str, Any]],
    aliases: Mapping[str, str],
    default_model: str | None,
    environ: Mapping[str, str],
) -> Registry:
    """The providers that can be used: the built-in ones and the settings' `tables`.

    Where no model is named, the settings' default is meant, else that of the first provider with a key. Raises
    SettingsError.
    """
    own = {name: provider_from_table(name, table, environ) for name, table in tables.items()}
    known = Registry({**load_builtin(environ), **own}, aliases, default_model).configured(environ)
    keyed = (provider for provider in known.providers.values() if provider.api_key_env)
    default = next((f"{each.provider_id}/{each.default_model}" for each in keyed if each.default_model), None)
    return Registry(known.providers, known.aliases, known.default_model or default, known.keyless)
