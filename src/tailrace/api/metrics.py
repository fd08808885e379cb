"""Prometheus metrics, read at scrape time from what is there anyway: nothing is counted on the hot path."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# name -> what it means. The one table: the documentation's is made from it.
GAUGES: dict[str, str] = {
    "runs_live": "Runs being driven by this process.",
    "readers": "Open event streams of this process.",
    "waiting": "Runs that wait to be claimed, by kind of work (run, project); the same in every process.",
    "dead": "Runs that no worker could cope with, by kind of work; the same in every process.",
}

Value = float | Mapping[str, float]  # or one per kind of work


class _Gauges(Collector):
    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def collect(self) -> Iterable[Metric]:
        for name, value in self._values.items():
            by_kind = isinstance(value, Mapping)
            family = GaugeMetricFamily(f"tailrace_{name}", GAUGES[name], labels=["kind"] if by_kind else [])
            for kind, number in value.items() if isinstance(value, Mapping) else [("", value)]:
                family.add_metric([kind] if by_kind else [], number)
            yield family


def exposition(values: Mapping[str, Value]) -> bytes:
    """The gauges as text (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
    registry = CollectorRegistry()
    registry.register(_Gauges(values))
    return generate_latest(registry)
