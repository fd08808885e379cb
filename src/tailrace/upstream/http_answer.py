"""An answer, made of bytes as they come: no socket, no clock. llhttp parses; here it is kept what it finds.

The parser hands a body's pieces straight to a list: between a network read and whoever reads the body there is no call
per chunk.
"""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

from tailrace.upstream.content_coding import Coding, coding_of
from tailrace.upstream.http_errors import MalformedAnswer, MalformedBody, ServerDisconnected, TruncatedBody

_MOST_BARREN = 64 * 1024  # bytes without one of a body among them: a head, trailers, or what should not be


class Answer:
    """One request's answer. Feed it; from the moment that `status` is not 0 it has its headers."""

    __slots__ = (
        "_barren",
        "_coding",
        "_parser",
        "can_reuse",
        "error",
        "headers",
        "is_over",
        "on_body",
        "pieces",
        "status",
        "unread",
    )

    def __init__(self) -> None:
        self.status = 0
        self.headers: CIMultiDict[str] = CIMultiDict()
        self.pieces: list[bytes] = []
        """Of the body, as they came, not read yet: `read` joins them, and undoes their coding."""
        self.unread = 0
        """About how many bytes those are."""
        self.is_over = False
        """Has all of it come, if not been read yet?"""
        self.can_reuse = False
        """Did it end so that its connection may carry another?"""
        self.error: Exception | None = None
        """Why no more will come: to be looked at when `pieces` has been read."""
        self.on_body = self.pieces.append
        self._coding: Coding | None = None
        self._barren = 0
        parser = HttpResponseParser(self)
        # As lenient as other clients are: bare line feeds, folded headers, blanks behind a chunk's size.
        parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._parser: HttpResponseParser | None = parser

    @property
    def is_coming(self) -> bool:
        """May more of it come?"""
        return not self.is_over and self.error is None

    def feed(self, data: bytes) -> None:
        """Bytes of the connection, however they are split."""
        parser = self._parser
        if parser is None:  # it has failed
            return
        self.unread += len(data)
        try:
            parser.feed_data(data if self.status else self._after_head(parser, data))
        except (HttpParserError, HttpParserUpgrade):
            self.can_reuse = False
            if not self.is_over:
                self.fail(MalformedBody() if self.status else MalformedAnswer())
        if self.is_over:
            self.stop()
        elif self.pieces:
            self._barren = 0
        else:
            self._bear(len(data))

    def end(self, cause: Exception | None) -> None:
        """The connection has ended, by `cause` if it broke."""
        if self.is_over or self.error is not None:
            return
        if cause is None and self.status and self._ends_with_connection():
            self.is_over = True
            self.stop()
        elif cause is not None:
            self.fail(cause)
        else:
            self.fail(TruncatedBody() if self.status else ServerDisconnected())

    def fail(self, error: Exception) -> None:
        """No more will come."""
        self.error = error
        self.can_reuse = False
        self.stop()

    def stop(self) -> None:
        """Nothing is fed to it any more: it and its parser, who know each other, part."""
        self._parser = None

    def read(self) -> bytes:
        """What has come of the body, or a part of it: all of it when `pieces` is empty. Raises HttpError."""
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.unread = 0
        if self._coding is None:
            return data
        data, rest = self._coding.undo(data)
        if rest is not None:
            pieces.append(rest)
            self.unread = len(rest)
        return data

    def drop(self) -> None:
        """What has come of the body is not wanted."""
        self.pieces.clear()
        self.unread = 0

    def check_end(self) -> None:
        """Raises HttpError: all has come and been read, and still something of it lacks."""
        if self._coding is not None:
            self._coding.end()

    def _after_head(self, parser: HttpResponseParser, data: bytes) -> bytes:
        """Feed as much as a head may be; what is left of `data`. Raises HttpParserError."""
        room = _MOST_BARREN - self._barren
        parser.feed_data(data[:room])
        if len(data) > room and not self.status:
            raise HttpParserError
        return data[room:]

    def _bear(self, size: int) -> None:
        self._barren += size
        if self._barren > _MOST_BARREN:
            self.fail(MalformedBody() if self.status else MalformedAnswer())

    def _ends_with_connection(self) -> bool:
        """RFC 9112 §6.3: nothing else says where the body ends."""
        coding = self.headers.get("Transfer-Encoding")
        if coding is not None:
            return not coding.strip().lower().endswith("chunked")
        return "Content-Length" not in self.headers

    # --- what the parser calls -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Raises MalformedAnswer: something follows the answer."""
        if self.is_over:
            raise MalformedAnswer

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head; trailers are nobody's."""
        if not self.status:
            self.headers.add(name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))

    def on_headers_complete(self) -> None:
        """An answer that says that another will follow (RFC 9110 §15.2) is none."""
        status = self._parsing.get_status_code()
        if not 100 <= status < 200:
            self.status = status
            said = self.headers.get("Content-Encoding")
            if said is not None:
                self._coding = coding_of(said)

    def on_message_complete(self) -> None:
        """The end of the answer, or of one that another will follow."""
        if self.status:
            self.is_over = True
            self.can_reuse = self._parsing.should_keep_alive()
        else:
            self.headers.clear()

    @property
    def _parsing(self) -> HttpResponseParser:
        if self._parser is None:
            raise RuntimeError("the parser calls only while it is fed")
        return self._parser
