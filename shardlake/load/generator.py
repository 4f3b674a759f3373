"""One producer of a load, a process of its own: events at their intended times, whatever the system does.

An event is encoded seconds before it is due, so that at its time it is only handed over. What is late is
sent at once, never left out and never moved: the schedule does not slow down with the system.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shardlake.child import die_with_parent
from shardlake.errors import ShardlakeError
from shardlake.load.scenario import HOT_KEY, LATE, POISON, Scenario, Step
from shardlake.load.schedule import due, total
from shardlake.pipeline import Pipeline
from shardlake.produce.delivery import BATCH_VALUES
from shardlake.settings import Settings
from shardlake.shards.handler import Count

if TYPE_CHECKING:
    from shardlake.load.times import TimedLedger
    from shardlake.produce.delivery import Delivery
    from shardlake.produce.sending import Sending

AHEAD_SECONDS = 5.0
TICK_NS = 1_000_000
"""What is due within one is sent together."""

ENCODED_AT_ONCE = 16
"""Few enough that it takes less than a tick."""

PRIORITY = -10
GRACE_SECONDS = 5
"""After the load's duration nothing more is sent: a rate that cannot be made must not last for as long as it would
take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one of `of` producers does. Events are encoded so long before they are due."""

    pipeline: Path
    settings: dict[str, Any]
    topic: str
    folder: Path
    scenario: Scenario
    number: int
    of: int
    ahead_seconds: float = AHEAD_SECONDS


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a producer's events, as far as it knows; `value_bytes` are of those that it made."""

    events: int
    acknowledged: int
    failed: int
    unknown: int
    value_bytes: int
    reasons: tuple[str, ...]


@dataclass(slots=True)
class _Encoded:
    """An event that waits for its time."""

    due_ns: int
    key: bytes | None
    value: bytes


class _Events:
    """The events of a share, encoded, in order of their times."""

    def __init__(self, share: Share, sending: Sending, begin_ns: int) -> None:
        self._share = share
        self._sender = sending.sender
        self._topic = sending.topic
        self._begin_ns = begin_ns
        self._begin = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=begin_ns // 1000)
        self._hot = tuple(share.scenario.steps(HOT_KEY))
        self._late = tuple(share.scenario.steps(LATE))
        self._times = self._merged()
        module = sending.pipeline.load_module("producers", "synthetic")
        seed = share.scenario.seed * 1000 + share.number
        self._generated = module.events(seed, self._begin, max(share.scenario.rate, 0.001), module.Load.of(()))
        self._poison = []
        if any(share.scenario.steps(POISON)):
            schema = sending.pipeline.schema_of(sending.topic)
            make = sending.pipeline.load_module("producers", "poison").poison
            self._poison = [value for _, value in make(self._sender.encode, schema)]
        self.ahead_ns = int(share.ahead_seconds * 1e9)
        self.give_up_ns = begin_ns + int((share.scenario.duration + GRACE_SECONDS) * 1e9)
        self._hot_key: str | None = None
        self._counts = dict.fromkeys((HOT_KEY, LATE, POISON), 0)
        self.value_bytes = 0

    def next(self, count: int) -> Iterator[_Encoded]:
        """So many more, fewer at the end."""
        for _ in range(count):
            found = next(self._times, None)
            if found is None:
                return
            yield self._poisoned(found[0]) if found[1] else self._healthy(found[0])

    def _merged(self) -> Iterator[tuple[float, bool]]:
        """Times in seconds, and whether it is poison's."""
        share = self._share
        poison = deque(
            step.at + step.values["for"] * number / step.values["count"]
            for step in share.scenario.steps(POISON)
            for number in range(share.number, int(step.values["count"]), share.of)
        )
        for times in due(share.scenario, share.number, share.of):
            for second in times.tolist():
                while poison and poison[0] <= second:
                    yield poison.popleft(), True
                yield second, False
        yield from ((second, True) for second in poison if second < share.scenario.duration)

    def _poisoned(self, second: float) -> _Encoded:
        value = self._poison[self._drawn(POISON) % len(self._poison)]
        return _Encoded(self._begin_ns + int(second * 1e9), None, value)

    def _healthy(self, second: float) -> _Encoded:
        event, topic = next(self._generated), self._topic
        happened = second
        if self._late and (step := _now(self._late, second)) and self._chosen(LATE, step.values["share"]):
            happened -= step.values["by"]
        if topic.event_time:
            event[topic.event_time] = self._begin + timedelta(seconds=happened)
        key = event.get(topic.key) if topic.key else None
        if self._hot and key is not None:
            self._hot_key = self._hot_key or str(key)
            if (step := _now(self._hot, second)) and self._chosen(HOT_KEY, step.values["share"]):
                event[str(topic.key)] = key = self._hot_key
        value = self._sender.encode(event)
        self.value_bytes += len(value)
        return _Encoded(self._begin_ns + int(second * 1e9), None if key is None else str(key).encode(), value)

    def _drawn(self, what: str) -> int:
        self._counts[what] += 1
        return self._counts[what] - 1

    def _chosen(self, what: str, share: float) -> bool:
        """Evenly: of every n in a row, n · share."""
        number = self._drawn(what)
        return int((number + 1) * share) > int(number * share)


def _now(steps: tuple[Step, ...], second: float) -> Step | None:
    return next((step for step in steps if step.at <= second < step.end), None)


def run(share: Share, pipe: Connection, sent: Count, parent: int) -> None:
    """The process: says by the pipe that it is ready, is told when to begin, and answers with its Summary; where it
    fails, with the error. SIGTERM ends the load early, with everything that was sent accounted for."""
    die_with_parent(parent)()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    try:
        # A process that only sleeps and sends must not wait behind those that it measures.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
        sending, ledger = _open(share)
        pipe.send(None)
        begin_ns: int = pipe.recv()
        events = _Events(share, sending, begin_ns)
        # Nothing here is part of a cycle, and a collection would stop the schedule for milliseconds.
        gc.freeze()
        gc.disable()
        reasons = _send(events, sending.delivery, ledger, sent, stop)
        account = sending.delivery.account
        counts = (account.handed_over, account.total_acknowledged, account.failed, account.unknown)
        pipe.send(Summary(*counts, events.value_bytes, reasons))
    except (ShardlakeError, OSError) as error:
        pipe.send(error)


def _open(share: Share) -> tuple[Sending, TimedLedger]:
    from shardlake.load.times import TimedLedger
    from shardlake.produce.sending import Sending, join_run

    pipeline, settings = Pipeline.load(share.pipeline), Settings.read(**share.settings)
    topic = pipeline.topic(share.topic)
    sending = Sending(pipeline, settings, topic, None, lambda _: None, linger_ms=share.scenario.linger_ms)
    run_id = join_run(settings.kafka_bootstrap_servers, topic.name, share.folder).topic_id
    poison = sum(int(step.values["count"]) for step in share.scenario.steps(POISON))
    # A Poisson process has as many as it has: ten standard deviations above the mean are more than ever come.
    expected = (total(share.scenario) + poison) / share.of
    most = int(expected + 10 * expected**0.5) + 1000
    name = f"load-{share.number}-{os.getpid()}"
    ledger = sending.delivery.ledger = TimedLedger(share.folder, name, topic.name, run_id, most)
    return sending, ledger


def _send(events: _Events, delivery: Delivery, ledger: TimedLedger, sent: Count, stop: list[bool]) -> tuple[str, ...]:
    ahead: deque[_Encoded] = deque(events.next(ENCODED_AT_ONCE))
    more = True
    while ahead and not stop and (now_ns := time.time_ns()) < events.give_up_ns:
        count = 0
        while ahead and ahead[0].due_ns <= now_ns and count < BATCH_VALUES:
            one = ahead.popleft()
            ledger.due_ns = one.due_ns
            delivery.send(one.value, one.key)
            count += 1
        delivery.poll()
        if count:
            ledger.handed_over(count)
            sent.value = ledger.sent
        next_ns = ahead[0].due_ns if ahead else now_ns
        left_ns = max(next_ns, now_ns + TICK_NS) - time.time_ns()
        if more and (not ahead or (left_ns > TICK_NS // 2 and ahead[-1].due_ns - now_ns < events.ahead_ns)):
            before = len(ahead)
            ahead.extend(events.next(ENCODED_AT_ONCE))
            more = len(ahead) - before == ENCODED_AT_ONCE
        elif left_ns > 0:
            # Never for longer: reports are noted when they are taken in.
            time.sleep(min(left_ns, TICK_NS) / 1e9)
    return tuple(delivery.finish().reasons)
