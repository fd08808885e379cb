"""OAuth tokens at rest: encrypted (Fernet: AES-128-CBC with HMAC-SHA-256), a file for each server, `data/mcp/NAME`.

The key is in the variable TAILRACE_MCP_KEY, else in the file `data/mcp/key`, which is made where it is not there and
which nobody else may read.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from msgspec import Struct

from tailrace.schema import codec
from tailrace.schema.errors import SettingsError

VARIABLE = "TAILRACE_MCP_KEY"


class Login(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What there is of a login: the client that was registered, its tokens, when the access token ends (seconds since
    the epoch), and who gives them. All but the time are the SDK's own JSON."""

    client: dict[str, Any] | None = None
    tokens: dict[str, Any] | None = None
    expires_at: float | None = None
    issuer: dict[str, Any] | None = None
    resource: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Vault:
    """Keeps logins in a data directory. Raises SettingsError where its key is none, or where others can read it."""

    data: Path
    environ: Mapping[str, str]

    def read(self, server: str) -> Login:
        """The login; an empty one where there is none, and where it was encrypted with another key."""
        try:
            sealed = self._file(server).read_bytes()
        except FileNotFoundError:
            return Login()
        try:
            return codec.decode(self._fernet().decrypt(sealed), Login)
        except InvalidToken:
            return Login()

    def write(self, server: str, login: Login) -> None:
        """Keep a login, in place of the one there was: all of it, or nothing."""
        self._write(self._file(server), self._fernet().encrypt(codec.encode(login)))

    def _file(self, server: str) -> Path:
        return self.data / "mcp" / f"{server}.login"

    def _fernet(self) -> Fernet:
        given = self.environ.get(VARIABLE)
        place, key = (VARIABLE, given.encode()) if given else (str(self._key_file()), self._key())
        try:
            return Fernet(key)
        except ValueError as error:
            raise SettingsError(f"{place}: is no key: it takes 32 bytes in URL-safe base64") from error

    def _key_file(self) -> Path:
        return self.data / "mcp" / "key"

    def _key(self) -> bytes:
        path = self._key_file()
        if not path.exists():
            self._write(path, Fernet.generate_key(), once=True)
        if path.stat().st_mode & 0o077:
            raise SettingsError(f"{path}: others can read this key: `chmod 600` it")
        return path.read_bytes()

    def _write(self, path: Path, content: bytes, *, once: bool = False) -> None:
        """Write a file that nobody else can read; `once`: not where another was faster."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{os.getpid()}")
        with suppress(FileNotFoundError):
            new.unlink()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if once:
            with suppress(FileExistsError):
                os.link(new, path)
            new.unlink()
        else:
            new.replace(path)
