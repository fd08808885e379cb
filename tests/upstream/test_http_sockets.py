"""Connections to providers: how they are opened, shared, used again and given up."""

import asyncio
import datetime
import gzip
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tailrace.schema.errors import ProviderError
from tailrace.upstream import http_pool
from tailrace.upstream.http import Call, Timeouts, Upstream
from tests.support.http_calls import SECRET, Answering, call_to, failing, fetch, raw_server, read_all, read_request

packed = partial(gzip.compress, mtime=0)  # the same bytes, whenever they are made
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as pool:
        yield pool


def certificate(folder: Path, *names: x509.GeneralName) -> Path:
    """A file with a certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tailrace test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(made.public_bytes(pem) + private)
    return file


def serving_tls(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's side, with a certificate that is trusted here."""
    names = (x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"))
    file = certificate(tmp_path, *names)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return serving_tls(file)


# --- requests -----------------------------------------------------------------------------------------------------


async def test_what_goes_over_the_wire(upstream):
    """Every byte of a request; one without a body says nothing of one."""
    served = Answering(LENGTH, LENGTH)
    async with raw_server(served) as url:
        place = url.removeprefix("http://").removesuffix("/v1")
        headers = {"X-Key": "kä", "Accept": "text/event-stream", "User-Agent": "me"}
        await fetch(upstream, Call(url=f"{url}/a%2fb?q=%7e", headers=headers, body=b"{}", stream=True))
        await fetch(upstream, Call(url=url, headers=headers, body=b"", stream=False, method="GET"))
    lines = ["X-Key: kä", "Accept: text/event-stream", "User-Agent: me", "Content-Type: application/json"]
    first = ["POST /v1/a%2fb?q=%7e HTTP/1.1", f"Host: {place}", *lines, "Accept-Encoding: identity"]
    assert served.requests[0].decode().split("\r\n") == [*first, "Content-Length: 2", "", "{}"]
    second = ["GET /v1 HTTP/1.1", f"Host: {place}", *lines, "Accept-Encoding: gzip, deflate"]
    assert served.requests[1].decode().split("\r\n") == [*second, "", ""]


async def test_nothing_is_sent_of_a_request_with_a_broken_header(upstream):
    """Not even a connection is made."""
    served = Answering(LENGTH)
    async with raw_server(served) as url:
        asked = Call(url=url, headers={"x-api-key": f"{SECRET}\r\nX-Other: 1"}, body=b"{}", stream=True)
        assert (await failing(upstream, asked)).code == "invalid_request"
        await fetch(upstream, call_to(url))
    assert (served.connections, len(served.requests)) == (1, 1)
    assert b"X-Other" not in served.requests[0]


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_large_body_goes_out_piece_by_piece(upstream, tls, is_tls):
    """While it does, others get their turn, and little of it waits in memory for its peer."""
    body, begun, go_on, sent = bytes(16 << 20), asyncio.Event(), asyncio.Event(), Answering(LENGTH)

    async def serve(reader, writer):
        begun.set()
        await go_on.wait()
        await sent(reader, writer)

    async with raw_server(serve, tls if is_tls else None) as url:
        task = asyncio.create_task(fetch(upstream, call_to(url, body)))
        await begun.wait()
        (connection,) = upstream._pool._all
        while not connection._unsent or connection._takes_more:  # until its peer takes no more
            await asyncio.sleep(0)
        assert len(connection._unsent) > 1 << 20
        assert connection._transport.get_write_buffer_size() < 1 << 20
        go_on.set()
        assert await task == b"abc"
    assert sent.requests[0].endswith(b"\r\n\r\n" + body)


async def test_an_answer_that_comes_before_all_is_sent_is_read(upstream):
    """Too large, says the server, and reads no further; the connection is of no more use."""
    refused = Answering()
    answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big"

    async def serve(reader, writer):
        refused.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        while await reader.read(1 << 16):
            pass
        refused.left.set()
        writer.close()

    async with raw_server(serve) as url:
        error = await failing(upstream, call_to(url, bytes(16 << 20)))
        assert error.status == 413
        await asyncio.wait_for(refused.left.wait(), 20)


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "nobody.invalid", "a..b"])
async def test_a_name_that_is_no_hosts_is_told_without_the_address(upstream, host):
    """Whoever notices it: the URL, the encoding of names, or who resolves them."""
    error = await failing(upstream, call_to(f"http://{host}/v1?key={SECRET}"), Timeouts(connect_s=5))
    assert error.code in {"invalid_request", "connection"}
    assert SECRET not in f"{error!r} {error.message} {error.details}"


# --- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        LENGTH,
        WHOLE,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Not: 1\r\n\r\n" + LENGTH,
        CHUNKED + b'1;ext="a"\r\na\r\n2\r\nbc\r\n0\r\nX-Trailer: 1\r\n\r\n',
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
        % (len(packed(b"abc")), packed(b"abc")),
    ],
)
async def test_an_answer_of_any_form_is_read_and_its_connection_used_again(upstream, raw):
    """Interim answers, extensions, trailers and codings are nobody's concern above."""
    served = Answering(raw, b"HTTP/1.1 204 No Content\r\n\r\n", raw)
    async with raw_server(served) as url:
        assert await fetch(upstream, call_to(url)) == b"abc"
        assert await fetch(upstream, call_to(url)) == b""
        async with upstream.open(call_to(url)) as reply:
            assert "x-not" not in reply.headers
            assert await read_all(reply) == b"abc"
    assert served.connections == 1


async def test_a_body_may_end_with_its_connection(upstream):
    """As of old; the next call takes another."""
    served = 0

    async def serve(reader, writer):
        nonlocal served
        served += 1
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nab")
        await writer.drain()
        writer.write(b"c")
        writer.close()

    async with raw_server(serve) as url:
        assert await fetch(upstream, call_to(url)) == b"abc"
        assert await fetch(upstream, call_to(url)) == b"abc"
    assert served == 2


@pytest.mark.parametrize(
    ("raw", "code", "cause"),
    [
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "protocol_error", "MalformedAnswer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", "protocol_error", "MalformedAnswer"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nabc", "protocol_error", "UnknownEncoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nabc", "stream_interrupted", "MalformedBody"),
        (CHUNKED + b"ZZ\r\n", "stream_interrupted", "MalformedBody"),
        (CHUNKED + b"3\r\nabc\r\n", "stream_interrupted", "TruncatedBody"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", "stream_interrupted", "TruncatedBody"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "connection", "ServerDisconnected"),
    ],
)
async def test_what_is_no_whole_answer_is_told_in_words(upstream, raw, code, cause):
    """And the connection is closed."""
    left = asyncio.Event()

    async def serve(reader, writer):
        await read_request(reader)
        writer.write(raw)
        writer.write_eof()
        await reader.read()
        left.set()
        writer.close()

    async with raw_server(serve) as url:
        error = await failing(upstream, call_to(f"{url}?key={SECRET}"))
        await asyncio.wait_for(left.wait(), 20)
    assert (error.code, error.details) == (code, {"cause": cause})
    assert SECRET not in f"{error!r} {error.message}"


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_slow_reader_slows_the_server(upstream, tls, is_tls):
    """Nothing is read ahead of who does not read, but for what fits into buffers; then all comes."""
    pieces, sent, stuck = 1024, 0, asyncio.Event()

    async def serve(reader, writer):
        nonlocal sent
        await read_request(reader)
        writer.write(CHUNKED)
        for _ in range(pieces):
            writer.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
            try:
                await asyncio.wait_for(writer.drain(), 0.3)
            except TimeoutError:
                stuck.set()
                await writer.drain()
            sent += 1
        writer.write(b"0\r\n\r\n")
        await reader.read()
        writer.close()

    async with raw_server(serve, tls if is_tls else None) as url, upstream.open(call_to(url)) as reply:
        assert await reply.feed(lambda data: not data)
        await asyncio.wait_for(stuck.wait(), 20)
        assert sent < pieces / 2
        (connection,) = upstream._pool._all
        assert connection._answer.unread < 1 << 20
        read = 0

        def take(data: bytes) -> bool:
            nonlocal read
            read += len(data)
            return True

        assert await reply.feed(take) is False
    assert sent == pieces
    assert read >= (pieces - 5) << 16  # the first reads were taken before


# --- TLS ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_tls_carries_the_same(upstream, tls, host):
    """The name or the address is checked; the connection is used again."""
    served = Answering(WHOLE, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab", None)
    async with raw_server(served, tls) as place:
        url = place.replace("127.0.0.1", host)
        assert await fetch(upstream, call_to(url)) == b"abc"
        serving = asyncio.create_task(fetch(upstream, call_to(url)))
        while len(served.requests) < 2:
            await asyncio.sleep(0)
        serving.cancel()
        await asyncio.wait({serving})
        await asyncio.wait_for(served.left.wait(), 20)
    assert served.connections == 1


async def test_a_body_over_tls_may_end_with_its_connection(upstream, tls):
    """As without."""

    async def serve(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await writer.drain()
        writer.close()

    async with raw_server(serve, tls) as url:
        assert await fetch(upstream, call_to(url)) == b"abc"


async def test_a_certificate_that_is_not_trusted_is_a_protocol_error(upstream, tmp_path):
    """Another try would not help."""
    file = certificate(tmp_path, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    async with raw_server(Answering(WHOLE), serving_tls(file)) as url:
        error = await failing(upstream, call_to(url))
    assert (error.code, error.details) == ("protocol_error", {"cause": "SSLCertVerificationError"})


async def test_a_certificate_for_another_name_is_a_protocol_error(upstream, tmp_path, monkeypatch):
    """Trusted, but not for this."""
    file = certificate(tmp_path, x509.DNSName("another.example"))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with raw_server(Answering(WHOLE), serving_tls(file)) as url:
        error = await failing(upstream, call_to(url))
    assert (error.code, error.details) == ("protocol_error", {"cause": "SSLCertVerificationError"})


async def test_a_server_without_tls_is_a_connection_error(upstream):
    """What answers a handshake with anything else."""

    async def serve(reader, writer):
        await reader.read(1)
        writer.write(LENGTH)
        writer.close()

    async with raw_server(serve) as url:
        error = await failing(upstream, call_to(url.replace("http:", "https:")))
    assert error.code == "connection"


async def test_a_handshake_that_is_not_answered_is_a_connect_timeout(upstream):
    """Waiting for a place, the name, the connection and TLS share one limit; the socket is closed."""
    served = Answering()
    async with raw_server(served) as url:
        error = await failing(upstream, call_to(url.replace("http:", "https:")), Timeouts(connect_s=0.1))
        await asyncio.wait_for(served.left.wait(), 20)
    assert error.details == {"watchdog": "connect"}


# --- the pool -----------------------------------------------------------------------------------------------------


async def test_the_connection_used_last_is_used_first(upstream):
    """So that those that are not needed grow old."""
    ports, all_have_come = [], asyncio.Event()

    async def serve(reader, writer):
        try:
            while True:
                await read_request(reader)
                ports.append(writer.get_extra_info("peername")[1])
                if len(ports) == 3:
                    all_have_come.set()
                await all_have_come.wait()
                writer.write(LENGTH)
        except asyncio.IncompleteReadError:
            writer.close()

    async with raw_server(serve) as url:
        await asyncio.gather(*(fetch(upstream, call_to(url)) for _ in range(3)))
        last = upstream._pool._idle[next(iter(upstream._pool._idle))][-1]
        for _ in range(3):
            await fetch(upstream, call_to(url))
        assert upstream._pool._idle[next(iter(upstream._pool._idle))][-1] is last
    assert len(set(ports[:3])) == 3
    assert len(set(ports[3:])) == 1


@pytest.mark.parametrize("why", ["closed", "unasked"])
async def test_an_idle_connection_that_has_something_to_say_is_dropped(upstream, why):
    """The peer has closed it, or speaks unasked: the next call takes another."""
    said, connections = asyncio.Event(), 0

    async def serve(reader, writer):
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(LENGTH)
        await said.wait()
        if why == "unasked":
            writer.write(LENGTH.replace(b"abc", b"xyz"))
            await reader.read()
        writer.close()

    async with raw_server(serve) as url:
        assert await fetch(upstream, call_to(url)) == b"abc"
        said.set()
        async with asyncio.timeout(http_pool._IDLE_S / 2):
            while upstream._pool._all:
                await asyncio.sleep(0.001)
        assert await fetch(upstream, call_to(url)) == b"abc"
    assert connections == 2


async def test_an_idle_connection_is_closed_after_a_while(upstream, monkeypatch):
    """Not at once, and by itself."""
    monkeypatch.setattr(http_pool, "_IDLE_S", 0.05)
    served = Answering(LENGTH, LENGTH)
    async with raw_server(served) as url:
        await fetch(upstream, call_to(url))
        await fetch(upstream, call_to(url))
        assert served.connections == 1
        served.answers.append(LENGTH)
        await asyncio.wait_for(served.left.wait(), 20)
    assert upstream._pool._idle == {}


async def test_a_call_beyond_the_limit_waits_its_turn(upstream):
    """In order; one that is cancelled while it waits loses nobody a place."""
    served, gate, order = [], asyncio.Event(), []

    async def serve(reader, writer):
        served.append(await read_request(reader))
        await gate.wait()
        writer.write(WHOLE)
        while True:
            try:
                served.append(await read_request(reader))
            except asyncio.IncompleteReadError:
                break
            writer.write(WHOLE)
        writer.close()

    async def one(at: int, small: Upstream, url: str) -> None:
        assert await fetch(small, call_to(url)) == b"abc"
        order.append(at)

    async with raw_server(serve) as url, Upstream(connections=1) as small:
        tasks = []
        for at in range(6):
            tasks.append(asyncio.create_task(one(at, small, url)))
            await asyncio.sleep(0)
        while not served:
            await asyncio.sleep(0.001)
        for at in (1, 4):
            tasks[at].cancel()
        gate.set()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
        assert order == [0, 2, 3, 5]
        assert len(small._pool._all) == 1
    assert len(served) == 4


async def test_an_idle_connection_makes_way_for_one_to_another_place(upstream):
    """Places are for calls: what is idle keeps nobody waiting."""
    one, other = Answering(LENGTH), Answering(LENGTH, LENGTH)
    async with raw_server(one) as here, raw_server(other) as there, Upstream(connections=1) as small:
        await fetch(small, call_to(here))
        await fetch(small, call_to(there))
        await asyncio.wait_for(one.left.wait(), 20)
        await fetch(small, call_to(there))
        assert len(small._pool._all) == 1
    assert (one.connections, other.connections) == (1, 1)


async def test_calls_that_begin_at_once_open_no_more_than_may_be(upstream):
    """Each makes way for itself: two idle ones go for two to another place."""
    here, there = Answering(LENGTH, LENGTH), Answering(LENGTH, LENGTH)
    async with raw_server(here) as one, raw_server(there) as other, Upstream(connections=2) as small:
        for served, url in ((here, one), (there, other)):
            await asyncio.gather(fetch(small, call_to(url)), fetch(small, call_to(url)))
            assert served.connections == 2
            assert len(small._pool._all) == 2


@pytest.mark.parametrize("is_tls", [False, True])
async def test_cancelled_anywhere_a_call_leaves_nothing_behind(tls, is_tls):
    """Neither a socket nor a taken place, however far it has come."""
    open_here = 0

    async def serve(reader, writer):
        nonlocal open_here
        open_here += 1
        try:
            while True:
                await read_request(reader)
                for piece in (CHUNKED, b"1\r\na\r\n", b"2\r\nbc\r\n", b"0\r\n\r\n"):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            open_here -= 1
            writer.close()

    async with raw_server(serve, tls if is_tls else None) as url:
        whole = 0
        for steps in range(400):
            async with Upstream(connections=1) as small:
                task = asyncio.create_task(fetch(small, call_to(url)))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                (outcome,) = await asyncio.gather(task, return_exceptions=True)
                assert isinstance(outcome, asyncio.CancelledError) or outcome == b"abc"
                whole += outcome == b"abc"
                assert not small._pool._places.locked()
                if not steps % 20:
                    assert await asyncio.wait_for(fetch(small, call_to(url)), 20) == b"abc"
            if whole > 3:
                break
        assert whole
        while open_here:
            await asyncio.sleep(0.001)


async def test_a_failing_call_gives_its_place_back(upstream):
    """Refused, malformed, cut: the next one gets it."""
    bad = Answering(b"nonsense\r\n\r\n", None)
    async with Upstream(connections=1) as small:
        async with raw_server(bad) as url:
            assert (await failing(small, call_to(url))).code == "protocol_error"
            assert (await failing(small, call_to(url))).code == "connection"
        assert (await failing(small, call_to(url))).code == "connection"
        assert not small._pool._places.locked()
        async with raw_server(Answering(LENGTH)) as url:
            assert await fetch(small, call_to(url)) == b"abc"


async def test_a_pool_closes_what_is_under_way(upstream):
    """Whoever still reads is told; no socket stays."""
    served = Answering(CHUNKED + b"3\r\nabc\r\n")
    told: list[ProviderError] = []

    async def reading(small: Upstream, url: str, begun: Callable[[], None]) -> None:
        try:
            async with small.open(call_to(url)) as reply:
                while await reply.feed(lambda _: begun() is not None):
                    pass
        except ProviderError as error:
            told.append(error)

    async with raw_server(served) as url:
        async with Upstream() as small:
            begun = asyncio.Event()
            task = asyncio.create_task(reading(small, url, begun.set))
            await begun.wait()
        await task
        await asyncio.wait_for(served.left.wait(), 20)
    assert [error.code for error in told] == ["stream_interrupted"]
