"""Prometheus metrics, read at scrape time from what is there anyway: nothing is counted on the hot path."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class _Gauges(Collector):
    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for name, (text, read) in self._gauges.items():
            yield GaugeMetricFamily(f"tailrace_{name}", text, value=read())


def registry(gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> CollectorRegistry:
    """A registry of gauges: name -> (help text, how to read it)."""
    made = CollectorRegistry()
    made.register(_Gauges(gauges))
    return made
