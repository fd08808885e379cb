"""The load kit measures what it says: its client loses nothing, and its upstream speaks the wire."""

import shutil
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.client import Arrivals, _Body, stream_run, stream_wire
from bench.processes import helper, redis_server, tailrace
from bench.upstream import chunk, closing, opening
from bench.vendors import _ask
from tailrace.schema import codec

BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


@given(bodies=BODIES, cuts=st.lists(st.integers(0, 300)))
def test_a_chunked_body_is_read_alike_however_it_is_split(bodies, cuts):
    """Reads may end anywhere, also inside a chunk's size or its line end."""
    sent = b"".join(chunk(body) for body in bodies) + b"0\r\n\r\n"
    reader = _Body(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked")
    edges = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    read = b"".join(reader.feed(sent[start:end]) for start, end in pairwise(edges))
    assert read == b"".join(bodies)
    assert reader.done


def test_arrivals_count_each_delta_once_however_it_is_split():
    """A stamp cut in two by a read counts once, in the wire's form and in the native one."""
    latencies: list[int] = []
    arrivals = Arrivals(latencies)
    stamp = time.monotonic_ns()
    stream = b'data: {"delta":"t%d "}\n\ndata: {"delta_content":"t%d "}\n\n' % (stamp, stamp)
    for at in range(len(stream)):
        arrivals(stream[at : at + 1])
    assert arrivals.count == len(latencies) == 2
    assert all(0 <= latency < 10**10 for latency in latencies)


def test_the_frames_around_the_deltas_are_whole_events():
    """Each frame's `event` is its data's `type`."""
    for frame in (opening() + closing(5, "t1 ")).decode().strip().split("\n\n"):
        event, data = frame.split("\n")
        assert event == f"event: {codec.decode_any(data.removeprefix('data: '))['type']}"


async def test_the_passthrough_passes_every_event_on():
    """The yardstick's client gets all the events that the upstream sent."""
    latencies: list[int] = []
    async with (
        helper("bench.upstream") as upstream,
        helper("bench.passthrough", f"http://127.0.0.1:{upstream.port}") as bare,
    ):
        await stream_wire(bare.port, 200, 0, latencies)
        await stream_wire(bare.port, 3, 1, latencies)
        assert bare.cpu_s() > 0
        assert bare.rss() > 0
    assert len(latencies) == 203


async def test_a_server_under_load_answers_in_each_form_that_is_measured(tmp_path):
    """Native and the vendor's own stream, and requests that are answered as a whole."""
    latencies: list[int] = []
    async with helper("bench.upstream") as upstream, tailrace(upstream, tmp_path, "one", {}) as server:
        await stream_run(server.port, 5, 1, latencies)
        await stream_wire(server.port, 5, 1, latencies)
        assert len(await _ask(server.port, 20)) == 20
    assert len(latencies) == 10


async def test_a_server_under_load_may_have_its_log_in_redis(tmp_path):
    """In one that the bench starts itself."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    latencies: list[int] = []
    async with (
        helper("bench.upstream") as upstream,
        redis_server(tmp_path) as url,
        tailrace(upstream, tmp_path, "redis", {"REDIS_URL": url}) as server,
    ):
        await stream_run(server.port, 5, 1, latencies)
    assert len(latencies) == 5
