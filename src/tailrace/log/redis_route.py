"""The way of a command to the node that has its keys: over the first connection, or, in a Redis Cluster, over one to
each node that was heard of.

Where a key is, is learned from the nodes: one that has it not says which one has (MOVED, or ASK while it is under way;
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/). What was sent to the wrong one goes on to
the right one, by the deadline that it had; and what waits for one that cannot be reached asks another, for its replica
may be in its place by now. A server that is alone never says so, and nothing is looked up for it.
"""

from binascii import crc_hqx
from collections.abc import Callable, Sequence

from tailrace.log.redis_address import Address
from tailrace.log.redis_link import Answer, Call, Link, pack

SLOTS = 16384
_ASKING = pack("ASKING")


def slot_of(key: bytes) -> int:
    """The slot of a key: CRC-16 (XMODEM) of its hash tag, where it has one that is not empty, else of all of it."""
    _, opened, behind = key.partition(b"{")
    tag, closed, _ = behind.partition(b"}")
    return crc_hqx(tag if opened and closed and tag else key, 0) % SLOTS


class Routes:
    """Sends commands where they belong. `setup`: what each connection begins with; `gather_s`: see `Link`. `renewed` is
    called where a cluster may have lost something: a node was connected to anew, or another has a slot now.
    """

    def __init__(
        self, address: Address, setup: Sequence[bytes], *, gather_s: float = 0, renewed: Callable[[], None]
    ) -> None:
        self._setup = setup
        self._gather_s = gather_s
        self._renewed = renewed
        self._links: dict[Address, Link] = {}
        self._slots: dict[int, Link] = {}
        self._first = self._link(address)

    def send(self, key: bytes, command: bytes, answer: Answer, wait_s: float) -> None:
        """See `Link.send`; `key` is one of the command's, if it has any: all of a command's are in one slot."""
        link = self._to(key) if self._slots else self._first
        link.send(command, answer, wait_s)

    def connection(self, key: bytes) -> tuple[Link, int]:
        """What is known of this key was seen over it: another one may be to a server that has forgotten something."""
        link = self._owner(key) if self._slots else self._first
        return link, link.generation

    def take(self, call: Call, said: str) -> None:
        """A call that a node was asked which has not got its key, with what it said."""
        self._send_on(next(iter(self._links)), call, said)

    def address(self, failures: int) -> Address:
        """A node to connect to, another one after each failure."""
        known = list(self._links)
        return known[failures % len(known)]

    def _to(self, key: bytes) -> Link:
        """Where to ask: of a node that cannot be reached another has taken the place, and the others know which."""
        link = self._owner(key)
        return link if link.up else self._other() or link

    def _owner(self, key: bytes) -> Link:
        """Where the key is, as far as is known: with the first node, until that says otherwise."""
        return self._slots.get(slot_of(key), self._first)

    def _other(self) -> Link | None:
        return next((link for link in self._links.values() if link.up), None)

    def _link(self, address: Address) -> Link:
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = Link(
                lambda failures: self._unreached(address) if failures else address,
                self._setup, gather_s=self._gather_s, begun=self._begun,
                elsewhere=lambda call, said: self._send_on(address, call, said),
            )  # fmt: skip
        return link

    def _begun(self) -> None:
        if self._slots:
            self._renewed()

    def _unreached(self, address: Address) -> Address:
        """What waits for this node asks another."""
        other = self._other()
        if other is not None:
            for call in self._links[address].give_up():
                other.take(call)
        return address

    def _send_on(self, told_by: Address, call: Call, said: str) -> None:
        """`MOVED slot host:port`, or `ASK slot host:port`; without a host it is the host of who says so."""
        kind, slot, where = said.split(" ")[:3]
        host, _, port = where.rpartition(":")
        link = self._link(told_by._replace(host=host or told_by.host, port=int(port)))
        if kind == "MOVED":
            self._learn(int(slot), link)
        else:
            link.take(Call(_ASKING, bool, call.deadline))
        link.take(call)

    def _learn(self, slot: int, link: Link) -> None:
        """News of a slot that had been seen elsewhere, or of a node that died, and not just where it is."""
        owner = self._slots.get(slot)
        self._slots[slot] = link
        if owner is not link and (owner is not None or not self._first.up):
            self._renewed()

    async def close(self) -> None:
        """Let go of all connections."""
        for link in list(self._links.values()):
            await link.close()
