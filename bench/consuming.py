"""What `make bench-consumers` runs, each in a process of its own: the library's worker, or a plain loop.

Both have the same settings of librdkafka, the same decoder and the same handlers. Seconds are from the first record
handled to the last, CPU-seconds are the process's, librdkafka's threads and lanes that are processes with it.
"""

from __future__ import annotations

import resource
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer as Client
from confluent_kafka import Message

from shardlake.avro.codec import Decoder
from shardlake.avro.registry import Registry
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.shards.contract import Contract
from shardlake.shards.dead_letters import Source
from shardlake.shards.feed import Options
from shardlake.shards.handler import Consumer, Decode, Form, Handler
from shardlake.shards.process import ProcessHandler
from shardlake.shards.processor import Record
from shardlake.shards.shard import Shard
from shardlake.shards.worker import Worker, consumer_settings

IO_SECONDS = 0.005
PLAIN_BATCH = 500
Figures = dict[str, float]


class Watch:
    """Handlers that note when the first and the last record were handled."""

    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.latencies = array("q")
        self.waits = array("q")
        self.at(-1, lambda: None)

    def at(self, count: int, then: Callable[[], None]) -> None:
        """What to do when so many ages are known."""
        self._count, self._then = count, then

    def nothing(self, _: Any) -> None:
        """The record is done."""
        self.last = time.perf_counter()
        if not self.first:
            self.first = self.last

    def wait(self, _: Any) -> None:
        """As a request to somebody else."""
        if not self.first:
            self.first = time.perf_counter()
        time.sleep(IO_SECONDS)
        self.last = time.perf_counter()

    def age(self, record: Any) -> None:
        """How long ago it should have been sent, as its value says, and how much of that the broker waited for it."""
        if isinstance(record, Message):
            value, arrival_ms = record.value(), record.timestamp()[1]
        else:
            value, arrival_ms = record.value, int(record.approximate_arrival.timestamp() * 1000)
        self.latencies.append(time.time_ns() - int(value))
        self.waits.append(1_000_000 * arrival_ms - int(value))
        self.nothing(record)
        if len(self.latencies) == self._count:
            self._then()


def ours(
    settings: dict[str, Any], group: str, topic: str, handler: str, factor: int, schema_of: str | None, count: int
) -> Figures:
    """The library's worker until it has caught up, or has so many ages."""
    where, watch = Settings.read(**settings), Watch()
    decode = _decoder(where, schema_of)
    worker = Worker(
        consumer_settings(where.kafka_bootstrap_servers, group),
        topic,
        Consumer(Form.RECORD, getattr(watch, handler)),
        Options(make_handler=lambda c, s, k: Handler(c, s, decode, k), factor=factor),
        say=lambda _: None,
        owner="bench",
    )
    watch.at(count, worker.stop)
    cpu = _cpu()
    worker.run(until_caught_up=handler != "age")
    return _figures(watch, _cpu() - cpu, count)


def plain(
    settings: dict[str, Any], group: str, topic: str, handler: str, _: int, schema_of: str | None, count: int
) -> Figures:
    """A loop of confluent-kafka's: a batch, each record decoded and handled, the batch committed."""
    where, watch = Settings.read(**settings), Watch()
    decode, handle = _decoder(where, schema_of), getattr(watch, handler)
    consumer = Client(
        consumer_settings(where.kafka_bootstrap_servers, group)
        | {"auto.offset.reset": "earliest", "enable.partition.eof": False}
    )
    consumer.subscribe([topic])
    cpu, seen = _cpu(), 0
    while seen < count:
        batch = consumer.consume(PLAIN_BATCH, timeout=0.05)
        for message in batch:
            if decode is not None:
                decode(message.value())
            handle(message)
        seen += len(batch)
        if batch:
            consumer.commit(asynchronous=True)
    consumer.close()
    return _figures(watch, _cpu() - cpu, count)


def burn(record: Record) -> None:
    """Half a millisecond of a core, in Python."""
    total = 0
    for number in range(12_000):
        total += number ^ record.sequence_number


def burner() -> tuple[Consumer, Decode | None]:
    """The same, for a lane's process."""
    return Consumer(Form.RECORD, burn), None


def burning(processes: int, count: int) -> float:
    """Records a second of a shard whose records are all here already, with so many lanes that are processes."""
    shard = Shard(
        "bench-0",
        Source("bench", 0),
        0,
        Consumer(Form.RECORD, burn),
        Options(
            make_handler=lambda c, s, k: ProcessHandler(c, s, k, burner),
            contract=Contract(timeout_seconds=None),
            factor=processes,
            batch=50,
        ),
        None,
        lambda _: None,
    )
    messages = [
        Message(topic="bench", partition=0, offset=offset, key=b"%d" % offset, value=b"x", timestamp=(1, 1))
        for offset in range(count + 1000)
    ]
    _through(shard, messages[:1000])  # the processes are there, and warm
    began = time.perf_counter()
    _through(shard, messages[1000:])
    took = time.perf_counter() - began
    shard.request_end()
    shard.await_end(10)
    return count / took


def _through(shard: Shard, messages: list[Message]) -> None:
    shard.feed(messages)
    while shard.in_flight:
        time.sleep(0.001)


def _decoder(where: Settings, schema_of: str | None) -> Decode | None:
    if schema_of is None:
        return None
    pipeline = Pipeline.load(Path(schema_of))
    topic = pipeline.events_topic
    return Decoder(pipeline.schema_of(topic), Registry(where.schema_registry_url), topic.subject).decode


def _cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def _figures(watch: Watch, cpu_seconds: float, count: int) -> Figures:
    found = {"rate": count / (watch.last - watch.first), "cpu_us": 1e6 * cpu_seconds / count}
    if watch.latencies:
        found |= {"p50_ms": _percentile(watch.latencies, 50), "p99_ms": _percentile(watch.latencies, 99)}
        found["sent_late_p99_ms"] = _percentile(watch.waits, 99)
    return found


def _percentile(nanoseconds: array[int], share: int) -> float:
    in_order = sorted(nanoseconds)
    return in_order[min(len(in_order) - 1, int(len(in_order) * share / 100))] / 1e6


WAYS: dict[str, Callable[..., Figures]] = {"library": ours, "plain loop": plain}
