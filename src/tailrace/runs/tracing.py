"""W3C trace context for events: one span per request, step and tool, none per token (contract §3, `trace_context`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import getrandbits

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tailrace.schema.errors import TailraceError
from tailrace.schema.events import TraceContext

_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans. With a `provider` they are recorded; without, nobody would see them, and only their ids are made."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = provider.get_tracer("tailrace") if provider is not None else None

    @contextmanager
    def span(
        self, name: str, parent: TraceContext | None = None, *, server: bool = False, **attributes: str | int
    ) -> Iterator[TraceContext]:
        """A span around what is done within, child of `parent`; gives its context.

        An error marks it failed by its type alone: messages may quote what a user said.
        """
        if self._tracer is None:
            yield child_of(parent)
            return
        kind = SpanKind.SERVER if server else SpanKind.INTERNAL
        span = self._tracer.start_span(name, context=_context(parent), kind=kind, attributes=attributes)
        try:
            yield of_span(span)
        except TailraceError as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()


def child_of(parent: TraceContext | None) -> TraceContext:
    """The context of a span that is not recorded: in the parent's trace, or in one of its own, not sampled."""
    if parent is None:
        return TraceContext(f"00-{_random_id(128)}-{_random_id(64)}-00")
    version, trace_id, _, flags = parent.traceparent.split("-")
    return TraceContext(f"{version}-{trace_id}-{_random_id(64)}-{flags}", parent.tracestate)


def _random_id(bits: int) -> str:
    """In hexadecimal, never all zeros (W3C Trace Context §3.2.2). Nothing secret: the kernel need not be asked."""
    return f"{getrandbits(bits) or 1:0{bits // 4}x}"


def of_span(span: trace.Span) -> TraceContext:
    """The span's context as it stands in events."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span, Context()))
    return TraceContext(carrier["traceparent"], carrier.get("tracestate"))


def of_headers(traceparent: str | None, tracestate: str | None) -> TraceContext | None:
    """A caller's context; None where it sent none, or not a valid one (W3C Trace Context §3.2)."""
    if traceparent is None:
        return None
    span = trace.get_current_span(_context(TraceContext(traceparent, tracestate)))
    return of_span(span) if span.get_span_context().is_valid else None


def _context(parent: TraceContext | None) -> Context:
    if parent is None:
        return Context()
    carrier = {"traceparent": parent.traceparent}
    if parent.tracestate:
        carrier["tracestate"] = parent.tracestate
    return _PROPAGATOR.extract(carrier, Context())
