"""Answers, made of bytes: whatever their form, and however they are split."""

import gzip
import zlib
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.upstream.http_answer import Answer
from tailrace.upstream.http_errors import (
    HttpError,
    MalformedAnswer,
    MalformedBody,
    ServerDisconnected,
    TruncatedBody,
    UnknownEncoding,
)

packed = partial(gzip.compress, mtime=0)  # the same bytes, whenever they are made
INTERIM = (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nX-Early: 1\r\n\r\n")
CODINGS = {
    "": lambda body: body,
    "identity": lambda body: body,
    "gzip": packed,
    "x-gzip": lambda body: packed(body[:3]) + packed(body[3:]),  # of several members
    "deflate": zlib.compress,
    "Deflate": lambda body: zlib.compress(body, wbits=-zlib.MAX_WBITS),  # as some servers send it
}
FRAMINGS = ("length", "chunked", "end of the connection")


@dataclass
class Sent:
    """An answer as a server sends it, and what it means."""

    raw: bytes
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    framing: str


def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """`body` in chunks of any sizes; with extensions, and trailers."""
    out = bytearray()
    while body:
        size = draw(st.integers(1, len(body)))
        spelled = draw(st.sampled_from(["%x", "%X", "000%x", '%x;name="a;b"', "%x ;n", "%x "])) % size
        out += spelled.encode() + b"\r\n" + body[:size] + b"\r\n"
        body = body[size:]
    trailers = draw(st.sampled_from([b"", b"X-Sum: 1\r\n", b"X-Sum: 1\r\nStatus: 500\r\n"]))
    return bytes(out) + draw(st.sampled_from([b"0", b"000", b"0;last"])) + b"\r\n" + trailers + b"\r\n"


@st.composite
def answers(draw: st.DrawFn) -> Sent:
    """Any legal answer to a request that is not HEAD."""
    status = draw(st.sampled_from([200, 201, 204, 304, 400, 503]))
    body = draw(st.binary(max_size=200)) if status not in (204, 304) else b""
    coding, framing = draw(st.sampled_from(list(CODINGS))), draw(st.sampled_from(FRAMINGS))
    sent = CODINGS[coding](body) if body else b""
    headers = draw(st.lists(st.sampled_from([("X-Empty", ""), ("X-One", "ä, b"), ("x-one", "c:d"), ("Date", "now")])))
    framed = {
        "length": [("Content-Length", f"{len(sent)}")],
        "chunked": [("Transfer-Encoding", "chunked")],
        "end of the connection": [],
    }[framing]
    headers += framed + ([("Content-Encoding", coding)] if coding else [])
    line_end = draw(st.sampled_from([b"\r\n", b"\n"]))
    lines = [b"HTTP/1.1 %d%s" % (status, draw(st.sampled_from([b" OK", b" Not so good", b" ", b""])))]
    lines += [f"{name}:{draw(st.sampled_from(['', ' ', '  ']))}{value}".encode() for name, value in headers]
    raw = b"".join(draw(st.lists(st.sampled_from(INTERIM), max_size=2))) + line_end.join([*lines, b"", b""])
    if status not in (204, 304):
        raw += chunked(draw, sent) if framing == "chunked" else sent
    return Sent(raw, status, headers, body, framing)


@given(answers(), st.data())
def test_any_legal_answer_is_the_same_however_it_is_split(sent: Sent, data: st.DataObject):
    """Head, framing, coding and the boundaries of network reads change nothing of what is read."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent.raw)))))
    answer, body = Answer(), bytearray()
    for start, end in zip([0, *cuts], [*cuts, len(sent.raw)], strict=True):
        if start < end:
            answer.feed(sent.raw[start:end])
        while data.draw(st.booleans()) and answer.pieces:
            body += answer.read()
    if sent.framing == "end of the connection" and sent.status not in (204, 304):
        assert answer.is_coming
        answer.end(None)
    while answer.pieces:
        body += answer.read()
    answer.check_end()
    assert (answer.status, bytes(body), answer.is_over) == (sent.status, sent.body, True)
    assert list(answer.headers.items()) == sent.headers
    assert answer.can_reuse is (sent.framing != "end of the connection" or sent.status in (204, 304))


def fed(*data: bytes) -> Answer:
    answer = Answer()
    for piece in data:
        answer.feed(piece)
    return answer


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "can_reuse"),
    [
        (OK + b"Content-Length: 1\r\n\r\nx", True),
        (OK + b"Content-Length: 1\r\nConnection: close\r\n\r\nx", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx", True),
        (CHUNKED + b"1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother", False),
        (CHUNKED + b"1\r\nx\r\n0\r\n\r\ngarbage", False),
        (OK + b"Content-Length: 1\r\nConnection: close\r\n\r\nxgarbage", False),
    ],
)
def test_a_connection_is_used_again_where_the_answer_allows_it_and_nothing_follows(raw, can_reuse):
    """What comes unasked is nobody's answer, and no part of this one."""
    answer = fed(raw)
    assert (answer.is_over, answer.read(), answer.error, answer.can_reuse) == (True, b"x", None, can_reuse)
    assert answer.status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"220 mail.example.org ESMTP\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02",
        OK + b"no colon\r\n\r\n",
        OK + b"Content-Length: many\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_malformed(raw):
    """And nothing of it is taken for one."""
    answer = fed(raw, b"more", OK)
    assert isinstance(answer.error, MalformedAnswer)
    assert (answer.status, answer.can_reuse) == (0, False)


@pytest.mark.parametrize("step", [1 << 30, 10_000])
@pytest.mark.parametrize("large", [OK + b"X-Large: " + b"x" * 70_000, b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" * 4_000])
def test_a_head_of_more_than_64_kb_is_malformed(large, step):
    """In one read or in many; nor may answers that others follow go on for ever."""
    raw = large + b"\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"
    answer = fed(*(raw[at : at + step] for at in range(0, len(raw), step)))
    assert isinstance(answer.error, MalformedAnswer)


def test_a_large_body_behind_a_head_is_not_the_heads():
    """Both may come in one read."""
    answer = fed(OK + b"Content-Length: 1000000\r\n\r\n" + bytes(1_000_000))
    assert (answer.is_over, answer.read()) == (True, bytes(1_000_000))


@pytest.mark.parametrize("endless", [b"X-Trailer: x\r\n", b"x" * 1000])
def test_trailers_do_not_go_on_for_ever(endless):
    """What is no byte of a body is not gathered without an end."""
    answer = fed(CHUNKED + b"1\r\nx\r\n0\r\n")
    assert answer.read() == b"x"
    for piece in (b"X: ", *[endless] * 6_000):
        answer.feed(piece)
    assert isinstance(answer.error, MalformedBody)


def test_chunks_of_a_byte_each_may_be_many():
    """A long body whose chunks' sizes come in reads of their own is none of those."""
    answer = fed(CHUNKED)
    for _ in range(30_000):
        answer.feed(b"1\r\n")
        answer.feed(b"x\r\n")
    answer.feed(b"0\r\n\r\n")
    assert (answer.is_over, answer.read()) == (True, b"x" * 30_000)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", ServerDisconnected),
        (b"HTTP/1.1 100 Continue\r\n\r\n", ServerDisconnected),
        (OK + b"Content-Length: 5\r\n", ServerDisconnected),
        (OK + b"Content-Length: 5\r\n\r\nabc", TruncatedBody),
        (CHUNKED + b"3\r\nabc\r\n", TruncatedBody),
        (CHUNKED + b"3\r\nabc\r\n0\r\n", TruncatedBody),
    ],
)
def test_a_connection_that_ends_too_soon_is_told_by_where(raw, kind):
    """Before an answer, or in its body: never taken for its end."""
    answer = fed(raw) if raw else Answer()
    answer.end(None)
    assert isinstance(answer.error, kind)
    assert not answer.is_over


def test_how_a_connection_broke_is_what_is_told():
    """Also where only its end would have ended the body."""
    answer, broken = fed(OK + b"\r\nabc"), ConnectionResetError(104, "Connection reset by peer")
    answer.end(broken)
    assert (answer.read(), answer.error, answer.is_over) == (b"abc", broken, False)


def read_all(answer: Answer) -> bytes:
    body = b""
    while answer.pieces:
        body += answer.read()
    answer.check_end()
    return body


@pytest.mark.parametrize(
    ("coding", "sent", "kind"),
    [
        ("br", b"abc", UnknownEncoding),
        ("gzip, gzip", b"abc", UnknownEncoding),
        ("gzip", b"no gzip", MalformedBody),
        ("gzip", packed(b"abc" * 99)[:-9], MalformedBody),
        ("gzip", packed(b"abc") + b"garbage", MalformedBody),
        ("deflate", zlib.compress(b"abc")[:-4] + b"sums", MalformedBody),
        ("deflate", b"\xff\xff", MalformedBody),
    ],
)
def test_a_coding_that_cannot_be_undone_is_an_error(coding, sent, kind):
    """Unknown, corrupt, or cut though the framing says that all is there."""
    answer = fed(OK + f"Content-Encoding: {coding}\r\nContent-Length: {len(sent)}\r\n\r\n".encode() + sent)
    with pytest.raises(HttpError) as caught:
        read_all(answer)
    assert type(caught.value) is kind


def test_malformed_chunks_end_the_body():
    """What came before them stands."""
    answer = fed(CHUNKED + b"3\r\nabc\r\nZZ\r\n")
    assert answer.read() == b"abc"
    assert isinstance(answer.error, MalformedBody)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_few_bytes_that_become_millions_come_in_parts(coding):
    """Memory grows with what is read, not with what was packed."""
    body = bytes(range(256)) + bytes(5_000_000)
    sent = CODINGS[coding](body)
    assert len(sent) < 10_000
    answer = fed(OK + f"Content-Encoding: {coding}\r\nContent-Length: {len(sent)}\r\n\r\n".encode() + sent)
    parts = []
    while answer.pieces:
        parts.append(answer.read())
    answer.check_end()
    assert max(map(len, parts)) <= 64 * 1024
    assert b"".join(parts) == body
