"""Who the providers are, and which of them a model's name means (contract §5, §7).

A provider holds the name of the variable that its key is in, never the key (design rule 9): `key_of` looks it up when a
request is made.
"""

import re
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

from tailrace.adapters.wires import QUIRKS, WIRES
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, InvalidRequest, SettingsError
from tailrace.upstream.auth import SCHEMES

_PLACE = re.compile(r"\{([A-Z_]+):([^{}]*)\}")


class _Table(Struct, kw_only=True, forbid_unknown_fields=True):
    """A provider's table in TOML."""

    wire: str
    base_url: str
    api_key_env: str | None = None
    auth: str | None = None
    default_model: str | None = None
    models: list[str] = field(default_factory=list)
    families: list[str] = field(default_factory=list)
    quirks: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class Provider(Struct, kw_only=True, frozen=True):
    """An endpoint that speaks a known wire.

    `models`, where given, are all the models there are; else any name goes through, and a bare one is recognised by
    `families` (globs). `default_model` is meant where only the provider is named. `headers` go with every request;
    `auth` is the scheme (upstream/auth.py) by which the key does, where it is not the wire's own.
    """

    provider_id: str
    wire: str
    base_url: str
    api_key_env: str | None = None
    auth: str | None = None
    default_model: str | None = None
    models: list[str] = field(default_factory=list)
    families: list[str] = field(default_factory=list)
    quirks: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Its name and wire: an operator may have put a secret into the headers."""
        return f"Provider({self.provider_id!r}, wire={self.wire!r})"

    def has(self, model_id: str) -> bool:
        """Does it list the model, or recognise its name?"""
        return model_id in self.models or any(fnmatchcase(model_id, family) for family in self.families)


def key_of(provider: Provider, environ: Mapping[str, str]) -> str | None:
    """The provider's key; None where it needs none, or where there is none."""
    return (environ.get(provider.api_key_env) or None) if provider.api_key_env else None


def provider_from_table(name: str, table: Mapping[str, Any]) -> Provider:
    """A provider of the settings' `[providers.<name>]`; what is not said of a built-in one stays as it is.

    Raises SettingsError with the name and place of what is wrong.
    """
    place = f"[providers.{name}]"
    if not name or "/" in name:
        raise SettingsError(f"{place}: a provider's name is not empty and has no slash")
    return _provider(name, place, {**_builtin_tables().get(name, {}), **table})


def load_builtin() -> dict[str, Provider]:
    """The providers of providers.toml, by id."""
    return {name: _provider(name, f"providers.toml [{name}]", table) for name, table in _builtin_tables().items()}


@cache
def _builtin_tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("tailrace.upstream").joinpath("providers.toml").read_text(encoding="utf-8"))


def _provider(name: str, place: str, table: Mapping[str, Any]) -> Provider:
    try:
        known = codec.convert(dict(table), _Table)
    except InvalidJson as error:
        at = f".{error.field}" if error.field else ""
        raise SettingsError(f"{place}{at}: {error.message}") from error
    if known.wire not in WIRES:
        raise SettingsError(f"{place}.wire: {known.wire!r} is none of {', '.join(WIRES)}")
    for quirk in known.quirks:
        if quirk not in QUIRKS[known.wire]:
            raise SettingsError(f"{place}.quirks.{quirk}: the wire has {', '.join(QUIRKS[known.wire])}")
    if known.auth not in (None, *SCHEMES):
        raise SettingsError(f"{place}.auth: {known.auth!r} is none of {', '.join(SCHEMES)}")
    _check_url(known.base_url, f"{place}.base_url")
    return codec.convert({"provider_id": name, **codec.to_builtins(known)}, Provider)


def _check_url(url: str, place: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"{place}: not an http or https address")
    if parts.username or parts.password:
        raise SettingsError(f"{place}: a key has no place in an address; name its variable in api_key_env")


def _located(provider: Provider, environ: Mapping[str, str]) -> Provider:
    """With variables of the environment in the places of its address: `{NAME:default}`, whose default may have some."""
    url = provider.base_url
    while (place := _PLACE.search(url)) is not None:
        url = f"{url[: place.start()]}{environ.get(place[1]) or place[2]}{url[place.end() :]}"
    return replace(provider, base_url=url) if url != provider.base_url else provider


class Registry:
    """The providers of this server, by which a request's model is resolved.

    `aliases` give another name to a `provider/model` or a bare model; `default_model` is meant where none is named;
    `keyless` are known, but cannot be called: asking for one says which variable it lacks.
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
        """The same with only the providers that can be called: that need no key, or whose key is in `environ`.

        What their addresses take from it, they have.
        """
        known = {name: _located(provider, environ) for name, provider in self.providers.items()}
        ready = {
            name: provider
            for name, provider in known.items()
            if provider.api_key_env is None or key_of(provider, environ)
        }
        keyless = {name: provider for name, provider in known.items() if name not in ready}
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
        why = f"has no key: set {keyless.api_key_env}" if keyless else "is not known"
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
    own = {name: provider_from_table(name, table) for name, table in tables.items()}
    known = Registry({**load_builtin(), **own}, aliases, default_model).configured(environ)
    keyed = (provider for provider in known.providers.values() if provider.api_key_env)
    default = next((f"{each.provider_id}/{each.default_model}" for each in keyed if each.default_model), None)
    return Registry(known.providers, known.aliases, known.default_model or default, known.keyless)
