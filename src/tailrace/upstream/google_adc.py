"""Google's Application Default Credentials as a token: who the machine, or its user, is to Google Cloud.

The file that GOOGLE_APPLICATION_CREDENTIALS names (a service account, a user, or another identity that stands for one),
else the file that `gcloud auth application-default login` leaves, else the metadata server of the machine
(https://cloud.google.com/docs/authentication/application-default-credentials). The library google-auth, an extra
(`tailrace[vertex]`), signs and asks; it blocks, so it does that in a thread.

A token is kept until a minute before its end. Whoever wants one while it is being asked for waits for the same answer.
"""

import asyncio
import time
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, ProviderError

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
SKEW_S = 60.0
PATIENCE_S = 30.0  # for a token; also where there is no metadata server
_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_ENDPOINT = "https://oauth2.googleapis.com/token"


class _Token(NamedTuple):
    """A token, and what goes with it; `until` by the monotonic clock. Its repr shows nothing of it (design rule 9)."""

    headers: dict[str, str]
    until: float

    def __repr__(self) -> str:
        return "_Token(…)"


class GoogleTokens:
    """Tokens by the file that they are of; "" is the machine's own identity."""

    def __init__(self) -> None:
        self._kept: dict[str, _Token] = {}
        self._asking: dict[str, asyncio.Task[_Token]] = {}

    async def headers(self, environ: Mapping[str, str]) -> dict[str, str]:
        """What a call carries of the identity that `environ` leads to.

        Raises ProviderError: `authentication` where there is none or Google refuses it, `connection` or `server_error`
        where it could not be asked.
        """
        file = _file(environ)
        kept = self._kept.get(file)
        if kept is None or kept.until < time.monotonic():
            kept = await self._ask(file)
        return dict(kept.headers)

    def forget(self, environ: Mapping[str, str]) -> bool:
        """The token was refused, as one that was revoked before its end: the next call asks for another."""
        self._kept.pop(_file(environ), None)
        return True

    async def _ask(self, file: str) -> _Token:
        """Ask Google, once for all who wait; that one of them goes does not end it."""
        task = self._asking.get(file)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = self._asking[file] = asyncio.create_task(self._renew(file))
            task.add_done_callback(lambda done: self._answered(file, done))
        return await asyncio.shield(task)

    async def _renew(self, file: str) -> _Token:
        try:
            async with asyncio.timeout(PATIENCE_S):
                token = self._kept[file] = await asyncio.to_thread(_fetch, file)
        except TimeoutError:
            raise ProviderError("authentication", _none(file)) from None
        return token

    def _answered(self, file: str, task: asyncio.Task[_Token]) -> None:
        if self._asking.get(file) is task:
            del self._asking[file]
        if not task.cancelled():
            task.exception()  # whoever waits is told; there may be nobody any more


def _file(environ: Mapping[str, str]) -> str:
    named = environ.get(_FILE)
    if named:
        return named
    folder = environ.get("CLOUDSDK_CONFIG") or f"{environ.get('HOME', '')}/.config/gcloud"
    file = Path(folder) / "application_default_credentials.json"
    return str(file) if file.is_file() else ""


def _none(file: str) -> str:
    if file:
        return "Google's server of tokens does not answer"
    return f"no Google credentials are found: set {_FILE}, or run `gcloud auth application-default login`"


def _fetch(file: str) -> _Token:
    """A fresh token. Blocks. Raises ProviderError; Google's own words may hold what was sent, and are not repeated."""
    try:
        from google.auth.exceptions import GoogleAuthError, TransportError  # an extra, and slow to import
        from google.auth.transport.requests import Request
    except ImportError as error:
        message = "Google's credentials need the library google-auth: install tailrace[vertex]"
        raise ProviderError("authentication", message) from error
    try:
        credentials = _credentials(file)
        credentials.refresh(Request())
    except TransportError as error:
        code = "connection" if file else "authentication"
        message = "Google's server of tokens cannot be reached" if file else _none(file)
        raise ProviderError(code, message, details={"cause": type(error).__name__}) from None
    except GoogleAuthError as error:
        raise _refused(error) from None
    except (OSError, ValueError, InvalidJson) as error:
        message = f"{_FILE}: the file holds no credentials that can be read"
        raise ProviderError("authentication", message, details={"cause": type(error).__name__}) from None
    left = (credentials.expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds() if credentials.expiry else 0.0
    headers = {"authorization": f"Bearer {credentials.token}"}
    if credentials.quota_project_id:
        headers["x-goog-user-project"] = credentials.quota_project_id
    return _Token(headers, time.monotonic() + left - SKEW_S)


def _credentials(file: str) -> Any:
    """The identity, unproven yet. Raises OSError, InvalidJson, and what google-auth does: its own and ValueError.

    Imported here because it is an extra and slow, and by name because these parts of it have no types.
    """
    if not file:
        return import_module("google.auth.compute_engine").Credentials(scopes=SCOPES)
    info = codec.decode(Path(file).read_bytes(), dict[str, Any])
    kind = info.get("type")
    if kind == "service_account":
        return import_module("google.oauth2.service_account").Credentials.from_service_account_info(info, scopes=SCOPES)
    if kind == "authorized_user":
        return import_module("google.oauth2.credentials").Credentials(
            token=None,
            refresh_token=info.get("refresh_token"),
            client_id=info.get("client_id"),
            client_secret=info.get("client_secret"),
            token_uri=info.get("token_uri", _ENDPOINT),
            quota_project_id=info.get("quota_project_id"),
            scopes=SCOPES,
        )
    with warnings.catch_warnings():  # the operator's own file needs no warning of files by others
        warnings.simplefilter("ignore", DeprecationWarning)
        return import_module("google.auth").load_credentials_from_dict(info, scopes=SCOPES)[0]


def _refused(error: Any) -> ProviderError:
    """What Google said of the credentials: the code of its error (RFC 6749 §5.2), which holds no secret."""
    body = error.args[1] if len(error.args) > 1 else None
    word = body.get("error") if isinstance(body, dict) else None
    why = f": {word}" if isinstance(word, str) and word.isidentifier() else ""
    if getattr(error, "retryable", False):
        return ProviderError("server_error", f"Google gives no token for now{why}")
    return ProviderError("authentication", f"Google gives no token for these credentials{why}")
