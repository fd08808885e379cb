"""The server in front of the API: uvicorn, and what it must not be open to."""

from collections.abc import Callable
from ipaddress import ip_address
from socket import socket
from types import FrameType

import uvicorn

from tailrace.api import asgi
from tailrace.api.readers import Readers
from tailrace.api.services import Services
from tailrace.api.transport import StreamingProtocol
from tailrace.schema.errors import SettingsError
from tailrace.settings import Settings


class _Server(uvicorn.Server):
    """Tells when it answers; ends the open streams when told to stop: readers come back elsewhere with their cursor."""

    def __init__(self, config: uvicorn.Config, readers: Readers, started: Callable[[str], None]) -> None:
        super().__init__(config)
        self._readers = readers
        self._started = started

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self.started:
            host, port = self.config.host, self.servers[0].sockets[0].getsockname()[1]
            self._started(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGINT or SIGTERM."""
        self._readers.stop()
        super().handle_exit(sig, frame)


def check_exposure(settings: Settings, *, insecure: bool) -> None:
    """Raises SettingsError where the server would be open to others without a key."""
    host = settings.server.host
    if insecure or settings.server.api_keys or host == "localhost":
        return
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SettingsError(
            f"server.host: {host} can be reached by others, and no API key is set; "
            f"set server.api_keys, or pass --insecure if that is meant"
        )


def http_server(services: Services, started: Callable[[str], None]) -> uvicorn.Server:
    """The server in front of these services. `started` is told the URL once it answers."""
    settings = services.settings.server
    config = uvicorn.Config(
        asgi.build(services),
        host=settings.host,
        port=settings.port,
        http=StreamingProtocol,
        ws="websockets-sansio" if settings.websockets else "none",
        ws_max_size=settings.max_body_bytes,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # nothing here depends on who the client says it is
        server_header=False,
        timeout_graceful_shutdown=round(settings.shutdown_s),
    )
    return _Server(config, services.readers, started)
