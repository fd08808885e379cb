"""Handshakes: how sockets to providers are opened. With link.py it is what needs aiohttp, and is loaded when the first
socket is wanted: a server without any does without its memory.
"""

import asyncio
from collections.abc import Mapping
from typing import cast

import aiohttp
from multidict import CIMultiDict

from tailrace.upstream.http import Call, host_of
from tailrace.upstream.http_errors import Codes, failure
from tailrace.upstream.link import CLOSE_S, Link, Opened
from tailrace.upstream.socket_policy import SocketError, SocketPolicy
from tailrace.wire.sse import MAX_EVENT_BYTES

BETA = "responses_websockets=2026-02-06"  # the version of the protocol (OpenAI-Beta)
_OF_A_POST = ("accept", "accept-encoding", "content-type", "x-api-key")

# What aiohttp raises -> our code. An exception goes by the first of its bases that stands here.
ERROR_CODES: Codes = {
    aiohttp.ServerTimeoutError: "timeout",
    aiohttp.ClientConnectorCertificateError: "protocol_error",
    aiohttp.ServerFingerprintMismatch: "protocol_error",
    aiohttp.ClientConnectionError: "connection",
    aiohttp.ClientPayloadError: "stream_interrupted",
    aiohttp.UploadAbortedError: "connection",
    aiohttp.ClientHttpProxyError: "connection",
    aiohttp.ClientResponseError: "protocol_error",
    aiohttp.InvalidURL: "invalid_request",
    aiohttp.NonHttpUrlClientError: "invalid_request",
    aiohttp.RedirectClientError: "protocol_error",
    ValueError: "invalid_request",  # a header with a line break in it, as a key read from a file may have
    OSError: "connection",
}
_FAILURES = (aiohttp.ClientError, OSError, ValueError)


class Handshakes:
    """Opens sockets, until it is closed."""

    def __init__(self, policy: SocketPolicy) -> None:
        self._policy = policy
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # one per live run, whose number is limited where runs begin
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            skip_auto_headers=("accept", "accept-encoding"),
            ws_response_class=Opened,  # type: ignore[arg-type]  # its text stays bytes
        )

    async def shake(self, call: Call, said: Mapping[str, str]) -> Link:
        """A socket to where `call` goes; `said` is what the provider has said before. Raises SocketError."""
        host = host_of(call.url)
        try:
            async with asyncio.timeout(self._policy.connect_s):
                socket = await self._client.ws_connect(
                    call.url,
                    headers=handshake_headers(call.headers, said),
                    autoping=False,
                    decode_text=False,
                    max_msg_size=MAX_EVENT_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                )
        except aiohttp.WSServerHandshakeError as error:
            said_no = f"{host} answered the handshake with status {error.status}"
            raise SocketError("connect", "protocol_error", said_no) from None
        except TimeoutError:
            raise SocketError("connect", "timeout", f"no socket within {self._policy.connect_s:g} s") from None
        except _FAILURES as error:
            broken = failure(error, host, in_body=False, codes=ERROR_CODES)
            raise SocketError("connect", broken.code, broken.message) from None
        return Link(cast(Opened, socket), self._policy)

    async def close(self) -> None:
        """Open no more."""
        await self._client.close()


def handshake_headers(headers: Mapping[str, str], said: Mapping[str, str]) -> CIMultiDict[str]:
    """A call's headers as its handshake has them, with what the provider has said before."""
    asked = CIMultiDict(headers)
    for name in _OF_A_POST:
        asked.pop(name, None)
    asked["OpenAI-Beta"] = BETA
    asked.update(said)
    return asked
