"""What aiohttp raises while a socket is opened."""

import aiohttp

from tailrace.schema.errors import CODES
from tailrace.upstream.handshake import ERROR_CODES
from tailrace.upstream.http_errors import code_of


def test_every_aiohttp_error_has_a_code():
    """The table knows each of aiohttp's client errors, also those that a newer aiohttp may bring."""

    def family(kind):
        yield kind
        for child in kind.__subclasses__():
            yield from family(child)

    kinds = set(family(aiohttp.ClientError)) - {aiohttp.ClientError}
    assert len(kinds) > 20
    ours = [kind for kind in kinds if kind.__module__.startswith("aiohttp")]
    assert [kind.__name__ for kind in ours if not code_of(kind, ERROR_CODES)] == []
    assert set(ERROR_CODES.values()) <= set(CODES)
