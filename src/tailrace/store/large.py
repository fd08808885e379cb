"""Large items of a run, kept beside its snapshot: what a tool put out may be megabytes, and it is written once, however
often the snapshot changes afterwards."""

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from msgspec.structs import replace

from tailrace.schema import codec
from tailrace.schema.items import OutputItem, ProviderItem
from tailrace.schema.response import Response

LIMIT = 1 << 20  # bytes of JSON; an item beyond is large


class Split(NamedTuple):
    """A Response in parts: `snapshot` is its JSON, in which a marker stands for each large item.

    `places` says where: JSON {index in `output_items`: digest}, None where nothing is large. The markers alone would
    not do: anybody may send an item that looks like one. `items`: digest → JSON.
    """

    snapshot: bytes
    places: bytes | None
    items: dict[str, bytes]


def split(response: Response, snapshot: bytes) -> Split:
    """The Response, whose JSON is `snapshot`, without its large items, and these."""
    if len(snapshot) <= LIMIT:
        return Split(snapshot, None, {})
    output, places, items = list(response.output_items), dict[int, str](), dict[str, bytes]()
    for place, item in enumerate(output):
        data = codec.encode(item)
        if len(data) > LIMIT:
            places[place] = digest = sha256(data).hexdigest()
            items[digest] = data
            output[place] = ProviderItem(id=item.id, provider_type="tailrace.large_item", data={"sha256": digest})
    if not places:
        return Split(snapshot, None, {})
    return Split(codec.encode(replace(response, output_items=output)), codec.encode(places), items)


def digests(places: bytes | None) -> set[str]:
    """What of `Split.items` it takes to put the Response together again."""
    return set(codec.decode(places, dict[int, str]).values()) if places else set()


def join(snapshot: bytes, places: bytes | None, items: Mapping[str, bytes]) -> Response:
    """What `split` was given."""
    response = codec.decode(snapshot, Response)
    if places:
        for place, digest in codec.decode(places, dict[int, str]).items():
            (response.output_items[place],) = codec.decode(b"[%b]" % items[digest], list[OutputItem])
    return response
