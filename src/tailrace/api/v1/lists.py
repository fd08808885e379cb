"""Lists as OpenAI's endpoints page them: `limit`, `after`, `order`; newest first unless asked otherwise."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from litestar.params import QueryParameter

from tailrace.schema.errors import InvalidRequest

Limit = Annotated[int, QueryParameter(ge=1, le=100)]
Order = Literal["asc", "desc"]
Json = dict[str, Any]


def page(items: Sequence[Json], *, limit: int, after: str | None, order: Order) -> Json:
    """A page of items, which are given oldest first. Raises InvalidRequest for an `after` that is none of them."""
    ordered = list(items) if order == "asc" else list(reversed(items))
    if after is not None:
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise InvalidRequest(f"no item {after!r} is in this list", field="after")
        ordered = ordered[places[0] + 1 :]
    shown = ordered[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(ordered) > limit,
    }
