"""`/docs`: the API on one page, made from its OpenAPI description. No script and no request to anywhere else."""

from html import escape
from typing import Any

from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "code{font-family:ui-monospace,monospace}section{border-top:1px solid #8884;padding:.5rem 0}b{color:#0a7ea4}"
)


class DocsPage(OpenAPIRenderPlugin):
    """Renders the routes, what they do and take."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page."""
        info = openapi_schema["info"]
        routes = "".join(
            _route(path, method, operation)
            for path, methods in openapi_schema["paths"].items()
            for method, operation in methods.items()
        )
        title = escape(f"{info['title']} {info['version']}")
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
            f"<h1>{title}</h1><p>{escape(info.get('description', ''))} "
            f"Machine-readable: <a href=/openapi.json>/openapi.json</a></p>{routes}</html>"
        ).encode()


def _route(path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<li><code>{escape(parameter['name'])}</code> ({escape(parameter['in'])})</li>"
        for parameter in operation.get("parameters", ())
    )
    text = escape(operation.get("description") or operation.get("summary") or "")
    return f"<section><b>{method.upper()}</b> <code>{escape(path)}</code><p>{text}</p><ul>{parameters}</ul></section>"
