"""A tool: one function with type hints and a docstring is its schema, its validation, its documentation and what it
does."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any, overload

from msgspec import Struct

from tailrace.schema import codec
from tailrace.schema.items import FunctionCallItem
from tailrace.schema.request import ESCALATION, CustomTool, Tool
from tailrace.tools.arguments import parse, signature_of
from tailrace.tools.context import ToolContext
from tailrace.tools.errors import InvalidArguments, InvalidTool
from tailrace.tools.result import ToolResult


class Limits(Struct, frozen=True, kw_only=True):
    """What one call may take.

    `timeout_s`: seconds; `output_bytes`: of its output, that the model sees, and that is streamed; the rest is kept
    beside the log. `parallel`: calls of the tool at a time in one process. Raises InvalidTool: one is not positive.
    """

    timeout_s: float = 60.0
    output_bytes: int = 32 * 1024
    parallel: int = 8

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:  # nor is NaN
                raise InvalidTool(f"{name}: must be more than 0, and is {getattr(self, name)}")


class ToolDefinition(Struct, frozen=True, kw_only=True):
    """A tool as everybody needs it: the model to choose it, the runner to run it.

    `aliases`: other names it answers to, those that models were trained on. `idempotent`: may a call whose outcome a
    crash left unknown be run again? `free_text`: the grammar (in OpenAI's words) of a tool whose one argument the
    model writes as plain text. `parse` takes a call's JSON text; `call` what `parse` gave, and the context. Tools with
    the same `place` share their limit of parallel calls.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    parse: Callable[[str], dict[str, Any]]
    call: Callable[[dict[str, Any], ToolContext], Awaitable[ToolResult]]
    aliases: tuple[str, ...] = ()
    idempotent: bool = False
    limits: Limits = Limits()
    free_text: dict[str, Any] | None = None
    place: str | None = None

    @property
    def escalates(self) -> bool:
        """Can a call ask for leave to do more than it may?"""
        return ESCALATION in self.parameters.get("properties", {})

    def offer(self, name: str | None = None, *, escalates: bool = True) -> Tool | CustomTool:
        """As a request to a model offers it, under its own name or `name`; where it does not escalate, without the
        arguments for that."""
        if self.free_text is not None:
            return CustomTool(name=name or self.name, description=self.description, format=self.free_text)
        parameters = self.parameters if escalates or not self.escalates else _unescalated(self.parameters)
        return Tool(name=name or self.name, description=self.description, parameters=parameters)

    def arguments_of(self, call: FunctionCallItem) -> dict[str, Any]:
        """The arguments of a call, valid. Raises InvalidArguments."""
        if call.kind != "custom":
            return self.parse(call.arguments)
        if self.free_text is None:
            raise InvalidArguments(f"Nothing was run: {self.name} takes a JSON object, not plain text")
        (only,) = self.parameters["properties"]
        return self.parse(codec.encode({only: call.arguments}).decode())


def _unescalated(schema: dict[str, Any]) -> dict[str, Any]:
    left_out = {ESCALATION, "justification"}
    kept = {name: shape for name, shape in schema["properties"].items() if name not in left_out}
    return {**schema, "properties": kept}


@overload
def tool(function: Callable[..., Any], /) -> ToolDefinition: ...


@overload
def tool(
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    idempotent: bool = False,
    limits: Limits = ...,
    free_text: dict[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], ToolDefinition]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    idempotent: bool = False,
    limits: Limits = Limits(),  # noqa: B008  # frozen
    free_text: dict[str, Any] | None = None,
) -> ToolDefinition | Callable[[Callable[..., Any]], ToolDefinition]:
    """Make a tool of a function: `@tool`, or `@tool(idempotent=True, …)`; the fields are ToolDefinition's.

    The function may be `async`; one that is not runs in a thread of its own. It returns text, a ToolResult, nothing, or
    what has a JSON form, and raises ToolFailed with what the model should know. Each line of the docstring's
    `Examples:` is the JSON of its arguments. Raises InvalidTool.
    """

    def make(made_of: Callable[..., Any]) -> ToolDefinition:
        return _made(made_of, name or made_of.__name__, aliases, idempotent, limits, free_text)

    return make if function is None else make(function)


def _made(
    function: Callable[..., Any],
    name: str,
    aliases: tuple[str, ...],
    idempotent: bool,
    limits: Limits,
    free_text: dict[str, Any] | None,
) -> ToolDefinition:
    signature = signature_of(name, function)
    if free_text is not None and len(signature.shape.__struct_fields__) != 1:
        raise InvalidTool(f"{name}: a tool for free text takes it in its one argument")
    for example in signature.examples:
        try:
            parse(name, signature.shape, example)
        except InvalidArguments as error:
            raise InvalidTool(f"{name}: an example of its docstring: {error.message}") from error
    description = signature.description
    if signature.examples:
        description += "\n\nExamples of arguments:\n" + "\n".join(signature.examples)
    return ToolDefinition(
        name=name,
        description=description,
        parameters=signature.schema,
        parse=lambda text: parse(name, signature.shape, text),
        call=_caller(function, signature.context),
        aliases=aliases,
        idempotent=idempotent,
        limits=limits,
        free_text=free_text,
    )


def _caller(
    function: Callable[..., Any], context_parameter: str | None
) -> Callable[[dict[str, Any], ToolContext], Awaitable[ToolResult]]:
    is_async = inspect.iscoroutinefunction(function)

    async def call(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        if context_parameter is not None:
            arguments = {**arguments, context_parameter: context}
        if not is_async:
            return await in_thread(lambda: result_of(function(**arguments)))
        try:
            return result_of(await function(**arguments))
        except SystemExit as error:  # it would end the event loop
            raise _ordinary(error) from error

    return call


def result_of(answer: object) -> ToolResult:
    """What a function returned, as a result. Raises TypeError where it has no JSON form."""
    if isinstance(answer, ToolResult):
        return answer
    if answer is None:
        return ToolResult(text="Done.")
    return ToolResult(text=answer if isinstance(answer, str) else codec.encode(answer).decode())


def _ordinary(error: BaseException) -> Exception:
    """An exception that may pass through a future and a task: one that would end these becomes one that does not."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    ordinary = RuntimeError(type(error).__name__)
    ordinary.__cause__ = error
    return ordinary


async def in_thread(work: Callable[[], ToolResult]) -> ToolResult:
    """Work that may block, in a thread of its own: one that hangs takes no place in a pool, and stops no exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[ToolResult] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: ToolResult | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def run() -> None:
        result, failure = None, None
        try:
            result = context.run(work)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the caller's
            failure = _ordinary(error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="tool", daemon=True).start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait({done})  # a thread cannot be stopped: it has not ended before it ends
        done.exception()
        raise
