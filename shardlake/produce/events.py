"""Events from lines or from a generator of the pipeline, as keys and values of a topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shardlake.avro.codec import MAX_VALUE_BYTES, encoder
from shardlake.avro.registry import Registry
from shardlake.pipeline import Pipeline, Topic
from shardlake.produce.delivery import Delivery
from shardlake.produce.lines import Line, read

Event = dict[str, Any]


@dataclass(slots=True)
class Read:
    """What was read. `refused` lines are too long for an event; their numbers are the first few of them."""

    lines: int = 0
    unparsed: int = 0
    refused: int = 0
    refused_numbers: tuple[int, ...] = ()

    def refuse(self, line: Line) -> None:
        """Count a line that cannot be an event."""
        self.refused += 1
        self.refused_numbers = (*self.refused_numbers, line.number)[:5]


class Sender:
    """Encodes events of one topic and hands them over. The schema's id is looked up once, here."""

    def __init__(self, pipeline: Pipeline, topic: Topic, registry: Registry, delivery: Delivery) -> None:
        schema = pipeline.schema_of(topic)
        self.encode = encoder(schema, registry.schema_id(topic.subject, schema))
        self._key = topic.key
        self._delivery = delivery

    def send(self, event: Event) -> bool:
        """False where the event is too large for the topic's readers; then it was not sent."""
        value = self.encode(event)
        if len(value) > MAX_VALUE_BYTES:
            return False
        key = event.get(self._key) if self._key else None
        self._delivery.send(value, None if key is None else str(key).encode())
        return True


def from_file(
    name: str, module: Any, service: str, event_time: str | None, as_now: bool, count: Read
) -> Iterator[Event]:
    """The events of a file's lines by the pipeline's `event` function; `as_now` reads it twice.

    With `as_now` all event times are moved by one constant, so that the highest is now. `count` is kept while reading.
    """
    shift = _shift(name, module, service, str(event_time)) if as_now else timedelta(0)
    for line in read(name):
        count.lines += 1
        if line.text is None:
            count.refuse(line)
            continue
        event = module.event(line, line.text, service)
        if not module.is_parsed(event):
            count.unparsed += 1
        if shift and event_time and event.get(event_time):
            event[event_time] += shift
        yield event


def _shift(name: str, module: Any, service: str, event_time: str) -> timedelta:
    times = (module.event(line, line.text, service).get(event_time) for line in read(name) if line.text)
    latest = max((moment for moment in times if moment), default=None)
    return datetime.now(UTC) - latest if latest else timedelta(0)


def on_schedule(
    events: Iterable[Event], rate: float, duration_seconds: float, poll: Callable[[], None]
) -> Iterator[Event]:
    """`rate * duration` events, each not before its time: start + i / rate. A late one does not delay the next."""
    start = time.monotonic()
    for number, event in zip(range(round(rate * duration_seconds)), events, strict=False):
        wait = start + number / rate - time.monotonic()
        if wait > 0:
            poll()
            time.sleep(wait)
        yield event
