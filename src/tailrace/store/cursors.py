"""A place in a list, as an opaque string: the JSON of what the list is ordered by, in URL-safe base64 (RFC 4648)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TypeVar

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, InvalidRequest

T = TypeVar("T")


def write_cursor(position: object) -> str:
    """The cursor that stands for `position`."""
    return urlsafe_b64encode(codec.encode(position)).decode().rstrip("=")


def read_cursor(cursor: str, kind: type[T]) -> T:
    """The position, which is of this kind. Raises InvalidRequest(field="cursor")."""
    try:
        return codec.decode(urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)), kind)
    except (InvalidJson, ValueError) as error:
        raise InvalidRequest("this is no cursor of this list", field="cursor") from error
