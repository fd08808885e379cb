"""The API as one ASGI application."""

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.types import ASGIApp

from tailrace import __version__
from tailrace.api import errors, health, runs, threads
from tailrace.api.auth import Auth
from tailrace.api.docs import DocsPage
from tailrace.api.services import Services
from tailrace.api.stream import stream

HANDLERS = (
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
    stream,
    health.healthz,
    health.readyz,
    health.metrics,
    health.openapi,
)


def build(services: Services) -> ASGIApp:
    """All routes over these services. Lifetimes are the app's (design: app.py)."""

    def provide() -> Services:
        return services

    app = Litestar(
        route_handlers=HANDLERS,
        dependencies={"services": Provide(provide, sync_to_thread=False)},
        state=State({"services": services}),
        exception_handlers={Exception: errors.handle},
        request_max_body_size=services.settings.server.max_body_bytes,
        openapi_config=OpenAPIConfig(
            title="Tailrace",
            version=__version__,
            description="One durable, resumable event log per run.",
            path="/docs",
            render_plugins=[DocsPage(path="/")],
        ),
        logging_config=None,
    )
    return Auth(app, services.settings.server.api_keys)
