"""`make bench-producer`: one process encoding and sending with callbacks, ours and AvroSerializer in a plain loop.

Both send the same events to the same topic with the same settings of librdkafka, in interleaved pairs (A B B A …) in
one run. Counted are wall seconds from the first event to the last report, and the process's CPU-seconds, librdkafka's
threads with it. AvroSerializer is measured as it is fastest (the schema's id looked up once), and as its documentation
has it for schemas that only a set-up registers (`use.latest.version`).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from rich.console import Console
from rich.table import Table

from bench.samples import write
from shardlake.produce.delivery import producer_settings
from shardlake.produce.events import Event
from shardlake.produce.sending import Sending
from shardlake.testing.stack import RunningStack, running_stack

ROOT = Path(__file__).parents[1]
MILLION = 1_000_000
OURS, LEDGER = "shardlake", "shardlake, with a ledger"
PLAIN, LATEST = "AvroSerializer", "AvroSerializer, use.latest.version"
say = Console(stderr=True, highlight=False).print


def ours(stack: RunningStack, events: list[Event], ledger: Path | None = None) -> int:
    """Send as `shardlake produce` does; how many were acknowledged."""
    sending = Sending(stack.pipeline, stack.settings, stack.pipeline.events_topic, ledger, say)
    send = sending.sender.send
    for number, event in enumerate(events):
        send(event, None, ("bench", number))
    return sending.delivery.finish().total_acknowledged


def with_ledger(stack: RunningStack, events: list[Event]) -> int:
    """The same, with what becomes of each event written down."""
    with tempfile.TemporaryDirectory() as folder:
        return ours(stack, events, Path(folder))


def plain(stack: RunningStack, events: list[Event], **latest: bool) -> int:
    """The loop of confluent-kafka's examples, with a full queue waited for; how many were acknowledged."""
    topic = stack.pipeline.events_topic
    client = SchemaRegistryClient({"url": stack.settings.schema_registry_url})
    conf: dict[str, Any] = {"auto.register.schemas": False} | latest
    serialize = AvroSerializer(client, json.dumps(stack.pipeline.schema_of(topic)), conf=conf)
    context = SerializationContext(topic.name, MessageField.VALUE)
    producer = Producer(producer_settings(stack.settings.kafka_bootstrap_servers))
    acknowledged = 0

    def report(error: Any, _: Any) -> None:
        nonlocal acknowledged
        if error is None:
            acknowledged += 1

    for number, event in enumerate(events):
        value, key = serialize(event, context), event.get(str(topic.key))
        while True:
            try:
                producer.produce(topic.name, value, key, on_delivery=report)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush()
    return acknowledged


WAYS: dict[str, Callable[[RunningStack, list[Event]], int]] = {
    OURS: ours,
    LEDGER: with_ledger,
    PLAIN: plain,
    LATEST: lambda stack, events: plain(stack, events, **{"use.latest.version": True}),
}


def run(stack: RunningStack, events: list[Event], way: str) -> dict[str, float]:
    """One run; seconds and CPU-seconds. Exits where an event was not acknowledged."""
    began, cpu, broker = time.monotonic(), time.process_time(), _broker_cpu(stack)
    acknowledged = WAYS[way](stack, events)
    cost = {
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
        "broker_cpu_seconds": _broker_cpu(stack) - broker,
    }
    if acknowledged != len(events):
        sys.exit(f"{acknowledged} of {len(events)} events were acknowledged")
    return cost


def _broker_cpu(stack: RunningStack) -> float:
    times = psutil.Process(stack.stack.servers["kafka"].pid).cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Measure and print; raw samples go to a file."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--events", type=int, default=200_000)
    arguments.add_argument("--pairs", type=int, default=8)
    arguments.add_argument("--out", type=Path, default=ROOT / "bench-out" / "producer.json")
    chosen = arguments.parse_args()
    samples: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as state, running_stack(ROOT, Path(state), short_lived=False) as stack:
        synthetic = stack.pipeline.load_module("producers", "synthetic")
        events: list[Event] = list(islice(synthetic.events(1, datetime.now(UTC), 10_000), chosen.events))
        # Or every run would have all events looked at by the garbage collector, again and again.
        gc.collect()
        gc.freeze()
        say("a run of each to warm up, not counted")
        for way in WAYS:
            run(stack, events[: len(events) // 2], way)
        for pair in range(chosen.pairs):
            for way in list(WAYS) if pair % 2 == 0 else list(WAYS)[::-1]:
                cost = run(stack, events, way)
                samples.append({"pair": pair, "way": way, "load_average": os.getloadavg()[0], **cost})
                rate = len(events) / cost["seconds"]
                say(f"{way:<36} {rate:>9,.0f} events/s, {cost['cpu_seconds']:.2f} CPU-s")
    write(chosen.out, samples, events=len(events))
    report(samples, len(events))


def report(samples: list[dict[str, Any]], events: int) -> None:
    """Medians of the pairs, smallest and largest beside them."""

    def figures(way: str, name: str) -> list[float]:
        return [sample[name] for sample in samples if sample["way"] == way]

    table = Table("figure", "median", "smallest", "largest", box=None)

    def row(name: str, values: list[float], form: str = ".2f") -> None:
        table.add_row(name, *(f"{value:{form}}" for value in (statistics.median(values), min(values), max(values))))

    for way in WAYS:
        row(f"events/s, {way}", [events / seconds for seconds in figures(way, "seconds")], ",.0f")
    for way in WAYS:
        row(f"CPU-s per million, {way}", [cpu / events * MILLION for cpu in figures(way, "cpu_seconds")])
    row("broker's CPU-s per million", [s["broker_cpu_seconds"] / events * MILLION for s in samples])
    for way in (LEDGER, PLAIN, LATEST):
        for name in ("seconds", "cpu_seconds"):
            ratios = [b / a for a, b in zip(figures(OURS, name), figures(way, name), strict=True)]
            row(f"{name.replace('_', ' ')}: {way} / shardlake", ratios)
    same = figures(OURS, "cpu_seconds")
    row("CPU seconds: shardlake / itself, run after run", [b / a for a, b in pairwise(same)])
    Console(highlight=False, width=110).print(table)
    say(f"load average {os.getloadavg()[0]:.1f}; steal {psutil.cpu_times_percent().steal} %")


if __name__ == "__main__":
    main()
