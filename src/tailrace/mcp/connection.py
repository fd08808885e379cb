"""A server, for as long as we live: connected, watched, connected again when it was lost, and called.

One task owns the connection: what the SDK opens is closed by the task that opened it. A lost server is tried again
after a while, ever longer, and at once where somebody calls it. A task that is cancelled inside the SDK may come out of
it with an error instead, and nothing of the cancellation: task groups raise what failed at that moment, and anyio's
forget the request (`Task.cancelling`) as well. So what must end is told so, too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2
import structlog
from mcp import Client, MCPError
from mcp.client import ClientRequestContext, IncomingMessage
from mcp_types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    Implementation,
    Resource,
    ResourceTemplate,
    Tool,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from tailrace import __version__
from tailrace.mcp.config import McpServer, Standing, State
from tailrace.mcp.content import result_of_call, result_of_resource
from tailrace.mcp.elicitation import answer_of, question_of
from tailrace.mcp.link import Link, LoginNeeded, Unavailable, first_of
from tailrace.mcp.names import prefix
from tailrace.mcp.offered import MOST_TOOLS, Offer, allowed, definition, offer_of, repeatable, resource_tools
from tailrace.mcp.secret import Secrets
from tailrace.schema import codec
from tailrace.schema.response import Question
from tailrace.tools.context import ToolContext
from tailrace.tools.definition import ToolDefinition
from tailrace.tools.errors import ToolFailed
from tailrace.tools.result import ToolResult

logger = structlog.get_logger(__name__)

_FIRST_S, _MOST_S = 1.0, 60.0  # how long a lost server is left alone before it is tried again
_SETTLE_S = 2.0  # for a failure to show whether it is the connection's or the call's
_MOST_PAGES = 100
_REFUSED = {"Session terminated", "Server returned an error response"}  # the SDK's words where HTTP says no

T = TypeVar("T")

# The call whose task, or whose connection, this is: what asks in the midst of it.
_calling: ContextVar[ToolContext | None] = ContextVar("calling", default=None)


@dataclass(eq=False, slots=True)
class _Session:
    """A connection that is up. `unsent`: what was under way at its end had not reached the server."""

    client: Client
    link: Link
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    was_up: bool = False
    unsent: bool = False


class Connection:
    """A server and its tools (`tailrace.tools.registry.Source`). `open_link` makes a new way to it; it raises
    Unavailable where there can be none."""

    def __init__(self, name: str, config: McpServer, open_link: Callable[[], Link], secrets: Secrets) -> None:
        self.name = name
        self.prefix = prefix(name)
        self._config = config
        self._open_link = open_link
        self._hide = secrets.hide
        self._state: State = "starting"
        self._error: str | None = None
        self._offer: Offer | None = None
        self._session: _Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self._next: asyncio.Future[_Session | None] | None = None  # what comes of the attempt at hand, or of the next
        self._tried = asyncio.Event()
        self._wanted = asyncio.Event()
        self._stale = asyncio.Event()
        self._in_flight: list[ToolContext] = []

    # --- what it offers ------------------------------------------------------------------------------------------

    def tools(self) -> dict[str, ToolDefinition]:
        """The tools that it has, as far as is known; those of a lost server stay, and a call of one finds it again."""
        return self._offer.tools if self._offer is not None else {}

    def expected(self, name: str) -> ToolDefinition | None:
        """What stands for a tool as long as the server has not said which it has: its call finds out."""
        theirs = name.removeprefix(self.prefix)
        if self._offer is not None or not allowed(self._config, theirs):
            return None

        async def call(_theirs: str, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
            await self._connected()
            tool = self.tools().get(name)
            if tool is None:
                raise ToolFailed(f"The MCP server {self.name} has no tool {theirs!r}.")
            return await tool.call(arguments, context)

        return definition(self.name, self._config, theirs, name, call)

    async def ready(self) -> None:
        """Returns when it is known whether it is there; at once where this process does not connect to it."""
        if self._next is not None:
            await self._tried.wait()

    def standing(self) -> Standing:
        """How it stands with it."""
        left_out = self._offer.left_out if self._offer is not None else None
        return Standing(
            name=self.name, transport="stdio" if self._config.command is not None else "http", state=self._state,
            tools=sorted(self.tools()), error=self._error, left_out=left_out or None,
        )  # fmt: skip

    # --- its life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect to it, and keep it connected."""
        self._next = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(), name=f"mcp {self.name}")

    async def stop(self) -> None:
        """Close the connection, whatever its server does. Idempotent."""
        self._ending = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        delay = _FIRST_S
        while True:
            self._wanted.clear()
            began = loop.time()
            was_up = await self._attempt()
            if self._ending:
                return
            if not was_up:
                self._wanted.clear()  # who wanted it has been told that it is not there
            if loop.time() - began > _MOST_S:
                delay = _FIRST_S
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wanted.wait()
            delay = min(delay * 2, _MOST_S)

    async def _attempt(self) -> bool:
        """Connect, and stay so as long as it goes. Was it ever up?"""
        state: State = "lost"
        link = session = None
        try:
            link = self._open_link()
            session = _Session(Client(link.connect(), cache=None, elicitation_callback=self._elicit,
                                      message_handler=self._hear, client_info=_US), link)  # fmt: skip
            await self._live(session)
            error = link.reason or "the connection was closed"
        except Unavailable as unavailable:
            state = "needs_login" if isinstance(unavailable, LoginNeeded) else "not_set_up"
            error = str(unavailable)
        except Exception as failed:  # noqa: BLE001  # whatever the way to a server, or the SDK, raises: it is not there
            cause = first_of(failed)
            if session is not None:
                session.unsent = isinstance(cause, httpx2.ConnectError)
            state = "needs_login" if isinstance(cause, LoginNeeded) else "lost"
            known = link.reason if link is not None and state == "lost" else None
            error = known or _words(cause)
        self._down(session, state, self._hide(error))
        return session is not None and session.was_up

    async def _live(self, session: _Session) -> None:
        async with asyncio.timeout(self._config.start_s) as limit, session.client as client:
            await self._list(client)
            limit.reschedule(None)
            self._up(session)
            following = asyncio.create_task(self._follow(session))
            try:
                await self._watch(session)
            finally:
                self._session = None
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    def _up(self, session: _Session) -> None:
        self._state, self._error = "connected", None
        self._session = session
        session.was_up = True
        self._tell(session)
        logger.info("MCP server connected", server=self.name, tools=len(self.tools()))

    def _down(self, session: _Session | None, state: State, error: str) -> None:
        if (state, error) != (self._state, self._error):
            logger.warning("MCP server is not there", server=self.name, state=state, error=error)
        self._state, self._error = state, error
        self._session = None
        if session is not None:
            session.ended.set()
        if session is None or not session.was_up:  # else who waits already waits for the next attempt
            self._tell(None)

    def _tell(self, session: _Session | None) -> None:
        """Tell those who wait what came of the attempt."""
        self._tried.set()
        if self._next is not None:
            if not self._next.done():
                self._next.set_result(session)
            self._next = asyncio.get_running_loop().create_future()

    async def _watch(self, session: _Session) -> None:
        """Look at its tools again whenever they may have changed, until it is lost."""
        closed = asyncio.ensure_future(session.link.closed.wait())
        stale = asyncio.ensure_future(self._stale.wait())
        try:
            while not closed.done():
                await asyncio.wait({closed, stale}, return_when=asyncio.FIRST_COMPLETED)
                if self._stale.is_set() and not closed.done():
                    self._stale.clear()
                    stale = asyncio.ensure_future(self._stale.wait())
                    async with asyncio.timeout(self._config.start_s):
                        await self._list(session.client)
        finally:
            closed.cancel()
            stale.cancel()

    async def _follow(self, session: _Session) -> None:
        """Hear of changes from a server of the protocol of 2026, which says them only to who listens."""
        client = session.client
        capabilities = client.server_capabilities.tools
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or not (capabilities and capabilities.list_changed):
            return
        delay = _FIRST_S
        while True:
            with suppress(Exception):  # a stream that ends, however it does, is opened anew
                async with client.listen(tools_list_changed=True) as changes:
                    delay = _FIRST_S
                    async for _ in changes:
                        self._stale.set()
            if self._session is not session:
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, _MOST_S)
            self._stale.set()

    async def _list(self, client: Client) -> None:
        capabilities = client.server_capabilities
        listed: list[Tool] = []
        cursor = None
        for _ in range(_MOST_PAGES if capabilities.tools is not None else 0):
            page = await client.list_tools(cursor=cursor)
            listed += page.tools
            cursor = page.next_cursor
            if cursor is None or len(listed) > MOST_TOOLS:
                break
        offer = offer_of(self.name, self._config, listed, self._call)
        offer = Offer(offer.tools, {name: self._hide(why) for name, why in offer.left_out.items()})
        if capabilities.resources is not None:
            offer = Offer(resource_tools(self.name, self._config, self) | offer.tools, offer.left_out)
        if offer.left_out and (self._offer is None or offer.left_out != self._offer.left_out):
            logger.warning("MCP tools left out", server=self.name, tools=offer.left_out)
        self._offer = offer

    async def _hear(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._stale.set()

    # --- calls ---------------------------------------------------------------------------------------------------

    async def _call(self, theirs: str, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        async def say(progress: float, total: float | None, message: str | None) -> None:
            del progress, total
            if message:
                context.emit(f"{self._hide(message)}\n")

        result = await self._ask(
            context,
            lambda client: client.call_tool(theirs, arguments, progress_callback=say),
            again=repeatable(self._config, theirs),
        )
        return result_of_call(result, self._hide)

    async def resources(self, cursor: str | None, context: ToolContext) -> tuple[Sequence[Resource], str | None]:
        """See `offered.Library`."""
        page = await self._ask(context, lambda client: client.list_resources(cursor=cursor), again=True)
        return page.resources, page.next_cursor

    async def templates(
        self, cursor: str | None, context: ToolContext
    ) -> tuple[Sequence[ResourceTemplate], str | None]:
        """See `offered.Library`."""
        page = await self._ask(context, lambda client: client.list_resource_templates(cursor=cursor), again=True)
        return page.resource_templates, page.next_cursor

    async def read(self, uri: str, context: ToolContext) -> ToolResult:
        """See `offered.Library`."""
        result = await self._ask(context, lambda client: client.read_resource(uri), again=True)
        return result_of_resource(result.contents, self._hide)

    async def _ask(self, context: ToolContext, work: Callable[[Client], Awaitable[T]], *, again: bool) -> T:
        """Have the server do something; once more where it certainly had not, or where `again` says that it may.

        Raises ToolFailed.
        """
        try:
            return await self._once(context, work)
        except _Lost as lost:
            if not lost.unsent and not again:
                raise self._gone(lost) from lost
        try:
            return await self._once(context, work)
        except _Lost as lost:
            raise self._gone(lost) from lost

    def _gone(self, lost: "_Lost") -> ToolFailed:
        if lost.unsent:
            return ToolFailed(f"Nothing was run: the MCP server {self.name} is not there: {lost}")
        return ToolFailed(
            f"outcome unknown: the MCP server {self.name} was lost in the midst of this call ({lost}). Its effect may "
            "have happened; look before you repeat it"
        )

    async def _once(self, context: ToolContext, work: Callable[[Client], Awaitable[T]]) -> T:
        session = await self._connected()
        token = _calling.set(context)
        self._in_flight.append(context)
        try:
            return await work(session.client)
        except MCPError as error:
            raise await self._fault(session, error) from error
        except ValidationError as error:
            raise ToolFailed(f"The MCP server {self.name} answered {_words(error)}") from error
        except RuntimeError as error:  # the SDK's, where a result does not fit the tool's own schema of it
            raise ToolFailed(self._hide(str(error))) from error
        finally:
            self._in_flight.remove(context)
            _calling.reset(token)

    async def _fault(self, session: _Session, error: MCPError) -> Exception:
        """What an error means: the server's answer, or that it was lost."""
        if session.link.forgotten and error.message in _REFUSED:
            session.link.closed.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_S):
                    await session.ended.wait()
            return _Lost("it has forgotten us", unsent=True)
        if error.message in _REFUSED:
            why = session.link.reason or error.message
            return ToolFailed(f"The MCP server {self.name} failed: {why}. What was asked of it may have been done.")
        if error.code != CONNECTION_CLOSED:
            return ToolFailed(self._hide(error.message))
        self._stale.set()  # is it still there? A call may also be lost alone
        if not session.link.closed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_S):
                    await session.ended.wait()
        return _Lost(self._hide(session.link.reason or self._error or error.message), unsent=session.unsent)

    async def _connected(self) -> _Session:
        """Raises ToolFailed: it is not there."""
        session = self._session
        if session is None or session.link.closed.is_set():
            if self._next is None:
                raise ToolFailed(f"This process does not connect to the MCP server {self.name}.")
            self._wanted.set()
            session = await asyncio.shield(self._next)
        if session is None:
            raise ToolFailed(f"Nothing was run: the MCP server {self.name} is not there: {self._error}")
        return session

    async def _elicit(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        """Put what the server asks to a person, in the run of the call that it asks for."""
        del context  # it does not say which call that is
        call = _calling.get() or self._only_call()
        if call is None:
            logger.warning("MCP server asks, and it is not known for which call", server=self.name)
            return ErrorData(code=INVALID_REQUEST, message="it cannot be told for which call this is asked")
        if call.ask is None:
            return ErrorData(code=INVALID_REQUEST, message="nobody is there to be asked")
        try:
            question = question_of(params)
        except ValueError as error:
            return ErrorData(code=INVALID_PARAMS, message=str(error))
        shown = codec.decode(self._hide(codec.encode(question).decode()), Question)
        return answer_of(question, await call.ask(shown))

    def _only_call(self) -> ToolContext | None:
        """The call that a question must be for that does not say so: where all that run are of one run, the newest.

        What is asked for one run must never be shown in another.
        """
        runs = {context.run_id for context in self._in_flight}
        return self._in_flight[-1] if len(runs) == 1 else None


class _Lost(Exception):
    """The connection went in the midst of a call. `unsent`: the server had not got it."""

    def __init__(self, reason: str, *, unsent: bool) -> None:
        super().__init__(reason)
        self.unsent = unsent


_US = Implementation(name="tailrace", version=__version__)


def _words(error: BaseException) -> str:
    """What went wrong, without the values at fault."""
    match error:
        case ValidationError():
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            return f"what the protocol does not allow: {place}: {first['msg']}"
        case TimeoutError():
            return "it did not answer in time"
        case OSError():
            return f"it cannot be started: {error.strerror or error}"
        case _:
            return str(error) or type(error).__name__
