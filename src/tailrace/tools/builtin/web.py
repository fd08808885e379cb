"""`fetch_url` and `web_search`: what the public internet says."""

import asyncio
from typing import Annotated, Protocol

from msgspec import Meta, Struct

from tailrace.tools.context import ToolContext
from tailrace.tools.definition import Limits, ToolDefinition, tool
from tailrace.tools.fetching import Fetcher, readable


class SearchHit(Struct, frozen=True, kw_only=True):
    """A page that a search found; `snippet` is what of it is to the point."""

    title: str
    url: str
    snippet: str = ""


class SearchProvider(Protocol):
    """Whoever searches the web."""

    async def search(self, query: str, most: int) -> list[SearchHit]:
        """The best pages, at most `most`. Raises ToolFailed: it could not be asked."""


def fetch_url_with(fetcher: Fetcher) -> ToolDefinition:
    """The tool `fetch_url`."""

    @tool(aliases=("fetchUrl", "web_fetch"), idempotent=True, limits=Limits(timeout_s=40.0, output_bytes=64 * 1024))
    async def fetch_url(context: ToolContext, url: str) -> str:
        """Fetch a page of the public internet, as text: HTML becomes Markdown.

        Args:
            url: The page's address, http or https.

        Examples:
            {"url": "https://example.com/docs"}
        """
        page = await fetcher.fetch(url, min(30.0, context.remaining_s))
        text = await asyncio.to_thread(readable, page)
        return f"{page.url}\n\n{text}"

    return fetch_url


def web_search_with(provider: SearchProvider) -> ToolDefinition:
    """The tool `web_search`."""

    @tool(aliases=("webSearch",), idempotent=True)
    async def web_search(query: str, max_results: Annotated[int, Meta(ge=1, le=25)] = 10) -> str:
        """Search the web. Each result has its title, its address, and what of it is to the point.

        Args:
            query: What to search for.
            max_results: How many results at most.

        Examples:
            {"query": "python 3.14 release date"}
        """
        hits = await provider.search(query, max_results)
        told = [f"{number}. {hit.title}\n   {hit.url}\n   {hit.snippet}" for number, hit in enumerate(hits, 1)]
        return "\n".join(told[:max_results]) or "Nothing was found."

    return web_search
