"""A way into a topic: delivery, encoder and, where it is asked for, a ledger in a run's folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shardlake import topics
from shardlake.avro.registry import Registry
from shardlake.exposition import Address
from shardlake.pipeline import Pipeline, Topic
from shardlake.produce.delivery import Delivery
from shardlake.produce.events import Sender
from shardlake.settings import Settings

if TYPE_CHECKING:
    from shardlake.ledger import Ledger, Run


class Sending:
    """Opened at once: raises Unavailable or BadInput where broker, registry, topic, schema or the run's folder are not
    as they must be."""

    def __init__(
        self,
        pipeline: Pipeline,
        settings: Settings,
        topic: Topic,
        ledger: Path | None,
        say: Callable[[str], None],
        metrics: Address | None = None,
        read: Callable[[], dict[str, int]] | None = None,
        **options: Any,
    ) -> None:
        """`ledger` is a run's folder; metrics are served at `metrics`, with the lines that `read` counts by their
        format; `options` are those of Delivery.

        Raises Unavailable where `settings` name no broker.
        """
        settings.must_name_a_broker()
        servers = settings.kafka_bootstrap_servers
        self.settings = settings
        self.pipeline = pipeline
        self.topic = topic
        self.registry = Registry(settings.schema_registry_url)
        options.setdefault("timeout_seconds", settings.delivery_seconds)
        self.delivery = Delivery(servers, topic.name, say, **options)
        self.sender = Sender(pipeline, topic, self.registry, self.delivery)
        if metrics:
            # Only who is asked for metrics waits for what they need.
            from shardlake.produce.metrics import ProducerCollector

            metrics.serve(ProducerCollector(self.delivery, read))
        if ledger:
            self.delivery.ledger = open_ledger(servers, topic.name, ledger)


def open_ledger(bootstrap_servers: str, topic: str, folder: Path) -> Ledger:
    """A new ledger in a run's folder. The first of a run notes from which offsets on the topic is the run's."""
    # Only a producer that keeps one waits for what it needs.
    from shardlake.ledger import Ledger

    run = join_run(bootstrap_servers, topic, folder)
    return Ledger(folder, f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}", topic, run.topic_id)


def join_run(bootstrap_servers: str, topic: str, folder: Path) -> Run:
    """The run of a folder; begun here, at the topic's present ends, where there is none."""
    from shardlake.ledger import Run

    topic_id = topics.topic_id(bootstrap_servers, topic)
    ends = {partition: end for partition, (_, end) in topics.offsets(bootstrap_servers, topic).items()}
    return Run(topic, topic_id, ends, time.time()).join(folder)
