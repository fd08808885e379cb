"""Ports for servers that have to be told theirs."""

import random
import socket

# Below those that the system gives to clients (Linux: from 32768): one of them, of whatever process, could otherwise
# have the port by the time that its server wants it, or wants it again.
_FIRST, _LAST = 10000, 22000
_BUS = 10000  # a node of a Redis cluster listens so far above its port, too


def free_port() -> int:
    """A port that nobody listens on right now, nor on the one for a cluster's bus above it."""
    while True:
        port = random.randrange(_FIRST, _LAST)
        if _is_free(port) and _is_free(port + _BUS):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
