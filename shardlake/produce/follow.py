"""Following files: each complete line becomes an event once, also when this process is killed in between.

A line's place is saved only after the broker's acknowledgement, so that none is lost. What was acknowledged and not
saved is found again in the topic: the state file says from which offset on to look, and lines whose event is there are
passed over. One case is left: a request that is on its way when the process dies, and that the broker appends only
after a later process has looked. It looks twice, with a pause.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from shardlake import topics
from shardlake.errors import ShardlakeError, Unavailable
from shardlake.produce.content import Content, Sent
from shardlake.produce.delivery import Delivery
from shardlake.produce.discovery import QUIET_SECONDS, Discovery
from shardlake.produce.events import Event, Read, Sender, Times
from shardlake.produce.lines import Line, decoded, text_of
from shardlake.produce.positions import State, StateFile
from shardlake.produce.tail import Piece

LOOK_SECONDS = 0.25
LOOK_REST = 100
"""A look that finds nothing is followed by a rest of so many times what it cost: 1 % of a core, however many files."""
MAX_LOOK_SECONDS = 10.0
SAVE_SECONDS = 1.0
REST_SECONDS = 0.1
MOVE_ON_SECONDS = 30.0
SETTLE_SECONDS = 1.0
STOP_SECONDS = 10.0
MAX_IN_FLIGHT = 20_000
MAX_IN_FLIGHT_BYTES = 32 << 20
MAX_UNSAVED = 50_000
"""Lines that are sent between two saves at most, so that no more are in doubt after a kill."""


def in_topic(
    bootstrap_servers: str, topic: str, state: State | None, event_id: Callable[[bytes], str | None]
) -> tuple[Counter[str], dict[int, int]]:
    """The ids of the events that may be of lines behind the saved places, and the topic's end offsets.

    `event_id` tells an event's id from its value, None where it is none. Raises Unavailable where no broker answers.
    """
    ids: Counter[str] = Counter()

    def look(starts: dict[int, int]) -> dict[int, int]:
        ends = {partition: end for partition, (_, end) in topics.offsets(bootstrap_servers, topic).items()}
        for message in topics.read(bootstrap_servers, topic, starts):
            # One that came in between is looked at the next time.
            if message.offset() < ends[message.partition()] and message.value() is not None:
                found = event_id(message.value())
                if found is not None:
                    ids[found] += 1
        return ends

    ends = {partition: end for partition, (_, end) in topics.offsets(bootstrap_servers, topic).items()}
    if state is not None:
        ends = look({partition: state.partitions.get(partition, 0) for partition in ends})
        if not state.is_clean:
            time.sleep(SETTLE_SECONDS)
            ends = look(ends)
    return ids, ends


def rest_seconds(look_seconds: float, until_idle_seconds: float | None) -> float:
    """How long to rest after a look that took so much of a core and found nothing."""
    most = MAX_LOOK_SECONDS if until_idle_seconds is None else until_idle_seconds / 2
    return max(LOOK_SECONDS, min(most, LOOK_REST * look_seconds))


@dataclass(frozen=True, slots=True)
class Destination:
    """Where events go, and how a line becomes one."""

    bootstrap_servers: str
    topic: str
    topic_id: str
    sender: Sender
    delivery: Delivery
    event: Callable[[Line, str, str], Event]
    event_id: Callable[[Event], str]
    is_parsed: Callable[[Event], bool]
    times: Times


class Follower:
    """Sends the lines that discovery finds, and saves their places. Set `is_stopping` to end `run`."""

    def __init__(
        self,
        discovery: Discovery,
        destination: Destination,
        state_file: StateFile,
        state: State | None,
        ids: Counter[str],
        ends: dict[int, int],
        count: Read,
    ) -> None:
        """`state` was saved; `ids` are those of the events that are in the topic behind it, up to `ends`; `count` is
        kept."""
        self.is_stopping = False
        self.passed_over = 0
        self._discovery, self._to, self._file, self._count = discovery, destination, state_file, count
        self._ids, self._ends = ids, ends
        # Until the lines in doubt are read again, another process would have to look for them from there, too.
        self._floor = state.partitions if state is not None and ids else {}
        in_doubt = list(discovery.live.values()) if self._floor else []
        self._in_doubt = {content: content.tail.number + MAX_UNSAVED + MAX_IN_FLIGHT for content in in_doubt}
        self._began = time.monotonic()
        self._in_flight = self._in_flight_bytes = self._unsaved = 0
        self._changed = True
        self._is_cut_short = False

    def run(self, until_idle_seconds: float | None, report: Callable[[], None]) -> None:
        """Follow until `is_stopping`, or until nothing new came for as long. `report` is called again and again.

        Raises ShardlakeError where the broker refuses an event for good; a broker that is away is waited for.
        """
        looked = saved = moved_on = float("-inf")
        rest = LOOK_SECONDS
        grew = time.monotonic()
        while not self.is_stopping:
            now = time.monotonic()
            if now - looked >= rest:
                looked = now
                has_found, rest = self._look(until_idle_seconds)
                # What is found is saved before anything of it is sent: a place keeps its identity.
                if has_found or (self._changed and now - saved >= SAVE_SECONDS):
                    self.save(is_clean=False)
                    saved = now
            is_new = self._read() or self._discovery.is_behind
            self._to.delivery.poll(0 if is_new else REST_SECONDS)
            self._end_doubt()
            self._raise_refused()
            report()
            if is_new or self._in_flight:
                grew = now
            elif until_idle_seconds is not None and now - grew >= until_idle_seconds:
                return
            elif self._changed is False and grew > moved_on and now - grew >= MOVE_ON_SECONDS:
                moved_on = now
                self._move_on(is_clean=False)

    def _look(self, until_idle_seconds: float | None) -> tuple[bool, float]:
        """Whether something is new or has moved, and the seconds until the next look."""
        began = time.thread_time()
        if self._discovery.look():
            return True, LOOK_SECONDS
        return False, rest_seconds(time.thread_time() - began, until_idle_seconds)

    def finish(self) -> None:
        """Send what could not be read later, wait for the reports, and save."""
        if not self._is_cut_short:
            self.is_stopping = False
            self._read(is_final=True)
        self._to.delivery.finish(STOP_SECONDS)
        if self._in_flight:
            self.save(is_clean=False)
        else:
            self._move_on(is_clean=True)
        self._file.close()

    def save(self, *, is_clean: bool) -> None:
        """Save the places of all contents, and from where on the topic has to be looked at."""
        contents = self._discovery.contents
        unsaved: dict[int, int] = {}
        for content in contents:
            for sent in content.sent:
                if sent.partition >= 0:
                    unsaved[sent.partition] = min(sent.offset, unsaved.get(sent.partition, sent.offset))
        partitions = {
            partition: min(unsaved.get(partition, end), self._floor.get(partition, end))
            for partition, end in self._ends.items()
        }
        places = [content.place for content in contents]
        self._file.save(State(self._to.topic, self._to.topic_id, partitions, places, is_clean))
        self._changed = False
        self._unsaved = 0

    def _read(self, *, is_final: bool = False) -> bool:
        is_new = False
        for content, piece in self._discovery.read(is_final=is_final):
            is_new = True
            if self._unsaved >= MAX_UNSAVED:
                self.save(is_clean=False)
            while self._in_flight >= MAX_IN_FLIGHT or self._in_flight_bytes >= MAX_IN_FLIGHT_BYTES:
                if self.is_stopping:
                    # The rest of the chunk is not sent, and so nothing behind it may be.
                    self._is_cut_short = True
                    return True
                self._to.delivery.poll(REST_SECONDS)
                self._raise_refused()
            self._send(content, piece)
        return is_new

    def _send(self, content: Content, piece: Piece) -> None:
        sent = content.send(piece)
        self._changed = True
        self._unsaved += 1
        if piece.raw is not None and not piece.raw.strip(b"\r"):
            content.settle(sent)
            return
        self._count.lines += 1
        name = text_of(content.path.name)
        place = f"{name}:{piece.number}"
        if piece.raw is None:
            self._count.refuse(place)
            content.settle(sent)
            return
        line = Line(content.identity, piece.start_bytes, piece.number, decoded(piece.raw))
        event = self._to.event(line, line.text or "", text_of(content.born.name).split(".")[0])
        if not self._to.is_parsed(event):
            self._count.not_parsed(place)
        self._to.times.look(event, place)
        if self._ids and self._is_in_topic(event):
            content.settle(sent)
            return
        size_bytes = len(piece.raw)
        self._in_flight += 1
        self._in_flight_bytes += size_bytes
        known = partial(self._acknowledged, content, sent, size_bytes)
        if not self._to.sender.send(event, known, (name, piece.number)):
            self._count.refuse(place)
            self._acknowledged(content, sent, size_bytes, -1, -1)

    def _is_in_topic(self, event: Event) -> bool:
        event_id = self._to.event_id(event)
        if event_id not in self._ids:
            return False
        self._ids[event_id] -= 1
        if not self._ids[event_id]:
            del self._ids[event_id]
        self.passed_over += 1
        return True

    def _end_doubt(self) -> None:
        # A file that is gone may just be being packed.
        is_patient = time.monotonic() - self._began < QUIET_SECONDS
        for content, number in list(self._in_doubt.items()):
            is_gone = content.key is None
            if content.tail.number >= number or (content.tail.is_at_end() and not (is_gone and is_patient)):
                del self._in_doubt[content]
        if not self._in_doubt:
            self._ids.clear()
            self._floor = {}

    def _acknowledged(self, content: Content, sent: Sent, size_bytes: int, partition: int, offset: int) -> None:
        self._in_flight -= 1
        self._in_flight_bytes -= size_bytes
        content.settle(sent, partition, offset)
        self._changed = True
        if partition >= 0:
            self._ends[partition] = offset + 1

    def _raise_refused(self) -> None:
        account = self._to.delivery.account
        if account.failed or account.unknown:
            self._is_cut_short = True
            msg = f"The broker refuses an event: {'; '.join(account.reasons)}."
            raise ShardlakeError(msg, "Nothing behind it counts as sent: start again when the cause is gone.")

    def _move_on(self, *, is_clean: bool) -> None:
        """Nothing is in flight and all is read: what others wrote to the topic meanwhile need not be looked at."""
        try:
            offsets: dict[int, Any] = topics.offsets(self._to.bootstrap_servers, self._to.topic)
        except Unavailable:
            self.save(is_clean=False)
            return
        self._ends = {partition: end for partition, (_, end) in offsets.items()}
        self.save(is_clean=is_clean)
