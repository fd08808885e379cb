"""Addresses that commands look at. Slow to import: only from within the commands that do."""

import asyncio

import aiohttp

_PATIENCE_S = 5.0


async def statuses(urls: dict[str, str]) -> dict[str, int | None]:
    """The HTTP status that each answers with, whatever it is; None where there is no answer within five seconds."""
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        found = await asyncio.gather(*(_status(session, url) for url in urls.values()))
    return dict(zip(urls, found, strict=True))


async def _status(session: aiohttp.ClientSession, url: str) -> int | None:
    try:
        async with session.get(url, allow_redirects=False) as reply:
            return reply.status
    except (aiohttp.ClientError, OSError, ValueError):  # the last: it is no address at all
        return None
