"""A function's signature and docstring as the one definition of its arguments: their schema and their validation.

Types are msgspec's (https://jcristharif.com/msgspec/supported-types.html), constraints `Annotated[int, Meta(ge=1)]`,
descriptions those of the docstring's `Args:` (Google style).
"""

import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import docstring_parser
import msgspec
from msgspec import NODEFAULT, Meta, Struct

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.tools.context import ToolContext
from tailrace.tools.errors import InvalidArguments, InvalidTool

_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Signature(NamedTuple):
    """What of a function the model sees, and how what it sends is read.

    `shape`: a Struct of the arguments. `context`: the parameter that takes the ToolContext, if any.
    """

    description: str
    examples: tuple[str, ...]
    schema: dict[str, Any]
    shape: type[Struct]
    context: str | None


def signature_of(name: str, function: Callable[..., Any]) -> Signature:
    """The signature of a tool's function. Raises InvalidTool: it has no docstring, or a parameter without a type that
    JSON has a word for."""
    docstring = docstring_parser.parse(inspect.getdoc(function) or "", docstring_parser.DocstringStyle.GOOGLE)
    if not docstring.description:
        raise InvalidTool(f"{name}: has no docstring: it is what the model knows of the tool")
    described = {parameter.arg_name: _one_line(parameter.description) for parameter in docstring.params}
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise InvalidTool(f"{name}: a type of its parameters is not known where it is defined: {error}") from error
    fields: list[tuple[str, Any, Any]] = []
    context = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in _KINDS:
            raise InvalidTool(f"{name}: {parameter.name}: cannot be given by name")
        if parameter.name not in hints:
            raise InvalidTool(f"{name}: {parameter.name}: has no type")
        hint = hints[parameter.name]
        if hint is ToolContext:
            context = parameter.name
        else:
            fields.append((parameter.name, _told(hint, described.pop(parameter.name, None)), _default(parameter)))
    if described:
        raise InvalidTool(f"{name}: its docstring describes {', '.join(described)}, which it does not take")
    shape, schema = _shape(name, fields)
    examples = tuple(
        line.strip() for example in docstring.examples for line in (example.description or "").splitlines()
    )
    return Signature(docstring.description or "", examples, schema, shape, context)


def parse(name: str, shape: type[Struct], text: str) -> dict[str, Any]:
    """The arguments in a call's JSON text, which may be empty where there are none. Raises InvalidArguments.

    `null` for one that may be left out means that it is: strict schemas have no other way to leave out.
    """
    try:
        given = codec.decode_any(text) if text.strip() else {}
        if isinstance(given, dict):
            given = {key: value for key, value in given.items() if not _left_out(shape, key, value)}
        arguments = codec.convert(given, shape)
    except InvalidJson as error:
        where = f"{error.field}: " if error.field else ""
        raise InvalidArguments(
            f"Nothing was run: the arguments of {name} are not valid: {where}{error.message}", field=error.field
        ) from error
    return {field: getattr(arguments, field) for field in shape.__struct_fields__}


def parse_object(name: str, text: str) -> dict[str, Any]:
    """The arguments of a tool that checks them itself: any JSON object. Raises InvalidArguments."""
    try:
        return codec.decode(text.strip() or "{}", dict[str, Any])
    except InvalidJson as error:
        raise InvalidArguments(f"Nothing was run: the arguments of {name} are no JSON object") from error


def _told(hint: Any, description: str | None) -> Any:
    return Annotated[hint, Meta(description=description)] if description else hint


def _default(parameter: inspect.Parameter) -> Any:
    return NODEFAULT if parameter.default is inspect.Parameter.empty else parameter.default


def _shape(name: str, fields: list[tuple[str, Any, Any]]) -> tuple[type[Struct], dict[str, Any]]:
    try:
        shape = msgspec.defstruct(name, fields, kw_only=True, frozen=True, forbid_unknown_fields=True)
        return shape, codec.json_schema(shape)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTool(f"{name}: {error}") from error


def _left_out(shape: type[Struct], key: str, value: object) -> bool:
    """Is it the `null` of an argument that has a default, other than `null` itself?"""
    for field in msgspec.structs.fields(shape):
        if field.name == key and value is None:
            optional = field.default is not NODEFAULT or field.default_factory is not NODEFAULT
            return optional and field.default is not None
    return False


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
