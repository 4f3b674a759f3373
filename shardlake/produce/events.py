"""Events from lines or from a generator of the pipeline, as keys and values of a topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shardlake.avro.codec import MAX_VALUE_BYTES, encoder
from shardlake.avro.registry import Registry
from shardlake.errors import BadInput
from shardlake.pipeline import Pipeline, Topic
from shardlake.produce.delivery import Acknowledged, Delivery
from shardlake.produce.lines import Line, read, text_of

if TYPE_CHECKING:
    from shardlake.ledger import Place

POLL_SECONDS = 0.01
AHEAD = timedelta(minutes=1)
"""More than two clocks that are kept in step may differ."""

Event = dict[str, Any]
PLACES = 5


@dataclass(slots=True)
class Read:
    """The lines that a producer has read, counted. No parser took the `unparsed` lines, the `refused` lines are too
    long for an event, and the lines that are `ahead` have a time after now. Places, as `access.log:17`, are the first
    few.
    """

    lines: int = 0
    unparsed: int = 0
    unparsed_places: tuple[str, ...] = ()
    refused: int = 0
    refused_places: tuple[str, ...] = ()
    ahead: int = 0
    ahead_places: tuple[str, ...] = ()

    def not_parsed(self, place: str) -> None:
        """Count a line that no parser took."""
        self.unparsed += 1
        if self.unparsed <= PLACES:
            self.unparsed_places += (place,)

    def is_ahead(self, place: str) -> None:
        """Count a line whose time has not come."""
        self.ahead += 1
        if self.ahead <= PLACES:
            self.ahead_places += (place,)

    def refuse(self, place: str) -> None:
        """Count a line that cannot be an event."""
        self.refused += 1
        if self.refused <= PLACES:
            self.refused_places += (place,)


class Times:
    """Looks at events' times and says at once where the first lies ahead of now: of such an event the jobs would make a
    dead letter, and mostly the log's clock is in a zone east of UTC."""

    def __init__(self, event_time: str | None, count: Read, say: Callable[[str], None]) -> None:
        self._field, self._count, self._say = event_time, count, say
        self._now = datetime.now(UTC)

    def look(self, event: Event, place: str) -> None:
        """Look at an event of a line at `place`."""
        moment = event.get(self._field) if self._field else None
        if not isinstance(moment, datetime) or moment.tzinfo is None or moment <= self._now:
            return
        self._now = datetime.now(UTC)  # asked only for a time that was ahead when it was asked last
        if moment <= self._now + AHEAD:
            return
        self._count.is_ahead(place)
        if self._count.ahead == 1:
            hours, minutes = divmod(int((moment - self._now).total_seconds()) // 60, 60)
            self._say(
                f"warning: {place} is of {moment:%Y-%m-%d %H:%M:%S} UTC, {hours} h {minutes} min ahead of now. "
                "The jobs make dead letters of events that are more than an hour ahead. "
                "Where the log's clock is not in UTC, say --timezone."
            )


class Sender:
    """Encodes events of one topic and hands them over. The schema's id is looked up once, here."""

    def __init__(self, pipeline: Pipeline, topic: Topic, registry: Registry, delivery: Delivery) -> None:
        schema = pipeline.schema_of(topic)
        self.encode = encoder(schema, registry.schema_id(topic.subject, schema))
        self._topic = topic
        self._key = topic.key
        self._deliver = delivery.send

    def send(self, event: Event, acknowledged: Acknowledged | None = None, place: Place | None = None) -> bool:
        """False where the event is too large for the topic's readers; then it was not sent. `place` is where it is
        from.

        Raises BadInput, naming the fields, where the event does not fit the topic's schema.
        """
        try:
            value = self.encode(event)
        except (ValueError, TypeError) as error:
            msg = f"An event of {self._topic.name} cannot be encoded: {error}."
            raise BadInput(msg, "What producers/ makes must fit the schema: correct the one that made it.") from error
        if len(value) > MAX_VALUE_BYTES:
            return False
        key = event.get(self._key) if self._key else None
        self._deliver(value, None if key is None else str(key).encode(), acknowledged, place)
        return True


def from_file(
    name: str,
    as_event: Callable[[Line, str, str], Event],
    is_parsed: Callable[[Event], bool],
    event_time: str | None,
    as_now: bool,
    count: Read,
    say: Callable[[str], None],
) -> Iterator[tuple[Place, Event]]:
    """The events of a file's lines by the pipeline's functions, each with its line's place; the service is the file's
    name where nothing else says it.

    With `as_now` it is read twice, and all event times are moved by one constant, so that the highest is now. `count`
    is kept while reading; `say` gets a warning as soon as a line needs one.
    """
    times = Times(event_time, count, say)
    service = text_of(Path(name).name).split(".")[0]
    shift = _shift(name, as_event, str(event_time)) if as_now else timedelta(0)
    for line in read(name):
        count.lines += 1
        if line.text is None:
            count.refuse(f"{line.source}:{line.number}")
            continue
        event = as_event(line, line.text, service)
        if not is_parsed(event):
            count.not_parsed(f"{line.source}:{line.number}")
        if shift and event_time and event.get(event_time):
            with suppress(OverflowError):  # beside a line of the year 9999 it would be of a year before the first
                event[event_time] += shift
        times.look(event, f"{line.source}:{line.number}")
        yield (line.source, line.number), event


def _shift(name: str, as_event: Callable[[Line, str, str], Event], event_time: str) -> timedelta:
    counted = as_event
    as_event = getattr(counted, "afresh", lambda: counted)()  # lines that are read twice are counted once
    times = (as_event(line, line.text, "").get(event_time) for line in read(name) if line.text)
    latest = max((moment for moment in times if moment), default=None)
    return datetime.now(UTC) - latest if latest else timedelta(0)


def on_schedule(
    timed: Iterable[tuple[float, Event]], duration_seconds: float, poll: Callable[[], None]
) -> Iterator[tuple[float, Event]]:
    """Those of the events that are due within the duration, each not before its time, in seconds from now.

    A late one does not delay the next. `poll` is called where there is time to, and every POLL_SECONDS.
    """
    start = polled = time.monotonic()
    for due, event in timed:
        if due >= duration_seconds:
            return
        now = time.monotonic()
        wait = start + due - now
        if wait > POLL_SECONDS or now - polled > POLL_SECONDS:
            poll()
            polled = now
        if wait > 0:
            time.sleep(wait)
        yield due, event
