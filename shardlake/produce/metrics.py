"""What a producer tells Prometheus, read from its account at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from shardlake.metric import Kind, Metric
from shardlake.produce.delivery import Delivery

EVENTS = Metric(
    "shardlake_producer_events_total",
    Kind.COUNTER,
    "Events by what became of them: acknowledged, failed for certain, or unknown.",
    ("topic", "outcome"),
)
WAITING = Metric(
    "shardlake_producer_waiting_events",
    Kind.GAUGE,
    "Events that were to be sent and of which the broker has not said what became of them.",
    ("topic",),
)
LINES = Metric(
    "shardlake_producer_lines_total",
    Kind.COUNTER,
    "Lines by the format that took them; format `none`: no format did.",
    ("topic", "format"),
)
METRICS = (EVENTS, WAITING)


class ProducerCollector(Collector):
    """Of one delivery, and of the lines that its events are made of."""

    def __init__(self, delivery: Delivery, read: Callable[[], dict[str, int]] | None = None) -> None:
        """`read` counts lines by their format; None where events are not made of lines."""
        self._delivery, self._read = delivery, read

    def collect(self) -> Iterable[Family]:
        """Called at a scrape, from the server's thread."""
        events, waiting = (metric.family() for metric in METRICS)
        topic, account = {"topic": self._delivery.topic}, self._delivery.account
        # Asked first: what is acknowledged meanwhile may count twice, but is never left out of both.
        waiting.add_sample(WAITING.name, topic, self._delivery.waiting)
        outcomes = {
            "acknowledged": account.total_acknowledged,
            "failed": account.failed,
            "unknown": account.unknown,
        }
        for outcome, count in outcomes.items():
            events.add_sample(EVENTS.name, {**topic, "outcome": outcome}, count)
        if self._read is None:
            return events, waiting
        lines = LINES.family()
        for format, count in self._read().items():
            lines.add_sample(LINES.name, {**topic, "format": format}, count)
        return events, waiting, lines
