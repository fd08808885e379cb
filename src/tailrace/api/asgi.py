"""The API as one ASGI application."""

from collections.abc import Sequence

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ASGIApp, ControllerRouterHandler

from tailrace import __version__
from tailrace.api import agents, health, mcp, providers, runs, threads, work
from tailrace.api.auth import Auth
from tailrace.api.docs import DocsPage
from tailrace.api.front import Front
from tailrace.api.page import Page
from tailrace.api.services import Services
from tailrace.api.stream import stream
from tailrace.api.v1 import chat, compact, conversations, envelopes, messages, models, responses, websocket

# Of every process, whatever its roles.
HEALTH = (health.healthz, health.readyz, health.metrics, providers.list_providers, mcp.list_servers)
API = (
    threads.create_thread,
    threads.list_threads,
    threads.get_thread,
    threads.update_thread,
    threads.delete_thread,
    runs.submit,
    runs.get_run,
    runs.list_runs,
    runs.cancel_run,
    runs.post_outputs,
    runs.post_approval,
    runs.post_input,
    runs.get_delivery,
    runs.get_output,
    agents.list_agents,
    stream,
    responses.create_response,
    responses.get_response,
    responses.cancel_response,
    responses.delete_response,
    responses.list_input_items,
    responses.count_input_tokens,
    compact.compact_response,
    websocket.responses_socket,
    websocket.upgrade_required,
    conversations.create_conversation,
    conversations.get_conversation,
    conversations.update_conversation,
    conversations.delete_conversation,
    conversations.list_items,
    conversations.add_items,
    conversations.get_item,
    models.list_models,
    models.get_model,
    chat.create_completion,
    messages.create_message,
    messages.count_tokens,
    health.openapi,
)


def build(services: Services) -> ASGIApp:
    """The routes of this process's roles over these services. Lifetimes are the app's (design: app.py)."""
    given = services.settings.server
    working = _work(services) if "tools" in given.roles else ()
    if "api" not in given.roles:
        return Auth(_routes(services, (*HEALTH, *working), None), given.api_keys)
    described = OpenAPIConfig(
        title="Tailrace",
        version=__version__,
        description="One durable, resumable event log per run.",
        path="/docs",
        render_plugins=[DocsPage(path="/")],
    )
    return Page(Auth(Front(_routes(services, (*API, *HEALTH, *working), described), services), given.api_keys))


def _work(services: Services) -> Sequence[ControllerRouterHandler]:
    """The routes for workers, of a process that has tools for them."""
    return (work.poll, work.ack, work.heartbeat, work.result) if services.broker is not None else ()


class _Msgspec(Litestar):
    """Litestar without its plugins for others' models: ours are msgspec's, and pydantic alone, where some client's SDK
    has installed it beside us, takes 12 MB. (A test fails when Litestar goes about it another way.)"""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def _routes(
    services: Services, handlers: Sequence[ControllerRouterHandler], described: OpenAPIConfig | None
) -> Litestar:
    def provide() -> Services:
        return services

    return _Msgspec(
        route_handlers=handlers,
        dependencies={"services": Provide(provide, sync_to_thread=False)},
        state=State({"services": services}),
        exception_handlers={Exception: envelopes.handle},
        request_max_body_size=services.settings.server.max_body_bytes,
        openapi_config=described,
        logging_config=None,
    )
