"""Filling a topic with synthetic events, one process a core."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from multiprocessing import get_context

from shardlake.avro.codec import encoder
from shardlake.avro.registry import Registry
from shardlake.pipeline import Pipeline
from shardlake.produce.delivery import Delivery
from shardlake.settings import Settings

EVENTS_A_SECOND = 2_000
"""Of event time: the more, the fewer windows."""
PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Spread:
    """Over how many hours event times are spread, at even distances; in order, or shuffled by a fixed seed."""

    hours: int
    shuffled: bool = False

    def times(self, number: int, count: int) -> Iterator[datetime]:
        """The event times of one process, ending an hour ago."""
        end = datetime.now(UTC) - timedelta(hours=1)
        places = list(range(count))
        if self.shuffled:
            random.Random(number).shuffle(places)
        return (end - timedelta(hours=self.hours) * (1 - place / count) for place in places)


def fill(pipeline: Pipeline, settings: Settings, topic: str, count: int, spread: Spread | None = None) -> None:
    """Send `count` events of increasing event time, ending an hour ago; with `spread` their times are others."""
    context = get_context("spawn")
    share = count // PROCESSES
    workers = [
        context.Process(target=_send, args=(str(pipeline.folder), settings.model_dump(), topic, n, share, spread))
        for n in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode:
            sys.exit("the topic could not be filled")


def _send(folder: str, settings: dict[str, str], topic: str, number: int, count: int, spread: Spread | None) -> None:
    from pathlib import Path

    pipeline, where = Pipeline.load(Path(folder)), Settings.read(**settings)
    source = pipeline.events_topic
    schema = pipeline.schema_of(source)
    encode = encoder(schema, Registry(where.schema_registry_url).schema_id(source.subject, schema))
    delivery = Delivery(where.kafka_bootstrap_servers, topic, print)
    rate = EVENTS_A_SECOND / PROCESSES
    start = datetime.now(UTC) - timedelta(hours=1, seconds=count / rate)
    events = pipeline.load_module("producers", "synthetic").events(number, start, rate)
    times = None if spread is None else spread.times(number, count)
    for event in islice(events, count):
        if times is not None:
            event["event_time"] = next(times)
        key = event.get("client_address")
        delivery.send(encode(event), key.encode() if key else None)
    if not delivery.finish().is_complete:
        sys.exit(1)
