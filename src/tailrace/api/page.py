"""The web page at `/`: files of the package, which need no key, no build step and nothing from anywhere else.

`ui/<name>` is asked for anew each time, and mostly not sent again (its ETag is a digest). The page itself names its
files as `ui/~<digest of all>/<name>`: such a URL never means anything else, so browsers keep it for good, and modules
import each other within it. All URLs in the page are relative: it works under any path that a proxy gives it.
"""

import asyncio
import gzip
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import zstandard
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

import tailrace

FILES = "/ui/"
INDEX = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify"
)
"""What the page may do (https://www.w3.org/TR/CSP3/): run its own modules, and talk to the server that it came from."""
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
}
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
OTHER_TYPE = "text/plain; charset=utf-8"  # licences
FOR_GOOD = "public, max-age=31536000, immutable"
ASK = "no-cache"
PRELOADED = "<!-- modules -->"
NOT_AT_ONCE = ("vendor/highlight-", "tailrace.js", "theme.js")  # languages, when one is met; others' way in; no module


@dataclass(frozen=True)
class File:
    """A file of the page; its compressed forms are made when first asked for."""

    name: str
    plain: bytes

    @cached_property
    def digest(self) -> str:
        """What its content is."""
        return sha256(self.plain).hexdigest()[:20]

    @cached_property
    def zstd(self) -> bytes:
        """RFC 8878."""
        return zstandard.ZstdCompressor(level=19).compress(self.plain)

    @cached_property
    def gzip(self) -> bytes:
        """RFC 1952."""
        return gzip.compress(self.plain, 9, mtime=0)

    def encoded(self, accepted: str) -> tuple[str, bytes]:
        """The smallest form that the client takes (`accept-encoding`), and its name."""
        names = {part.partition(";")[0].strip() for part in accepted.split(",") if "q=0" not in part.replace(" ", "")}
        if "zstd" in names:
            return "zstd", self.zstd
        return ("gzip", self.gzip) if "gzip" in names else ("identity", self.plain)


@dataclass(frozen=True)
class Folder:
    """All files by name; `version` is a digest of them all."""

    files: dict[str, File]
    version: str

    def found(self, path: str) -> tuple[File, str] | None:
        """The file of a URL's path, and how long it may be kept."""
        if path == "/":
            return self.files[INDEX], ASK
        if not path.startswith(FILES):
            return None
        name, kept = path.removeprefix(FILES), ASK
        if name.startswith("~"):
            version, _, name = name[1:].partition("/")
            kept = FOR_GOOD if version == self.version else ASK
        file = self.files.get(name)
        return (file, kept) if file else None


def place() -> Path:
    """Where the files are: in the package as it is installed, at the root of a checkout."""
    package = Path(tailrace.__file__).parent
    installed = package / "ui"
    return installed if installed.is_dir() else package.parents[1] / "ui"


@cache
def folder() -> Folder:
    """The page's files, read once."""
    root = place()
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    version = sha256(b"".join(sha256(data).digest() for data in files.values())).hexdigest()[:16]
    return Folder({name: File(name, data) for name, data in (files | _index(files, version)).items()}, version)


def _index(files: dict[str, bytes], version: str) -> dict[str, bytes]:
    """The page with its files named by version, and its modules loaded side by side instead of one after another."""
    page = files[INDEX].decode()
    own = [name for name in files if name.endswith(".js") and not name.startswith(NOT_AT_ONCE)]
    hints = "\n".join(f'<link rel="modulepreload" href="ui/{name}">' for name in own)
    return {INDEX: page.replace(PRELOADED, hints).replace('"ui/', f'"ui/~{version}/').encode()}


class Page:
    """ASGI: answers GET and HEAD of `/` and `/ui/…`, everything else is `app`'s."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != ScopeType.HTTP or not _is_asked(scope):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        await _send(send, *await asyncio.to_thread(_answer, scope["path"], headers), head=scope["method"] == "HEAD")


def _is_asked(scope: HTTPScope) -> bool:
    return scope["method"] in {"GET", "HEAD"} and (scope["path"] == "/" or scope["path"].startswith(FILES))


def _answer(path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body. In a thread: the first one reads and compresses."""
    found = folder().found(path)
    if found is None:
        return 404, {"content-type": OTHER_TYPE}, b"there is no such file\n"
    file, kept = found
    encoding, body = file.encoded(headers.get("accept-encoding", ""))
    etag = f'"{file.digest}-{encoding}"'
    given = HEADERS | {"etag": etag, "cache-control": kept}
    known = {tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")}
    if etag in known:
        return 304, given, b""
    given |= {"content-type": TYPES.get(Path(file.name).suffix, OTHER_TYPE)}
    if encoding != "identity":
        given |= {"content-encoding": encoding}
    return 200, given, body


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes, *, head: bool) -> None:
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    if status != 304:
        lines.append((b"content-length", b"%d" % len(body)))
    start: Any = {"type": "http.response.start", "status": status, "headers": lines}
    await send(start)
    await send({"type": "http.response.body", "body": b"" if head else body, "more_body": False})
