"""`make bench-consumers`: the library of shards beside a plain loop, its lanes beside one lane, in one run.

1. Overhead: factor 1 and a plain confluent-kafka loop, both decoding the same Avro events, in interleaved pairs.
2. Latency: the same two at a fixed rate, from when each record should have been sent.
3. Waiting handlers (5 ms), one shard: factors 1, 10 and 100.
4. Handlers that do nothing, factor 10: what the lanes themselves cost.
5. Handlers of the CPU in one and two processes, on records that are here already.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from bench.consuming import IO_SECONDS, WAYS, burning
from bench.events import fill
from bench.samples import write
from shardlake.testing.stack import RunningStack, running_stack

ROOT = Path(__file__).parents[1]
RATE, RATE_SECONDS = 2_000, 10
SENT_LATE_MS = 50
"""A round of which more than one record in a hundred reached the broker later than this is void."""
TRIES = 5
IO_RECORDS = {1: 1_000, 10: 10_000, 100: 100_000}
IDLE_RECORDS = 2_000_000
CPU_RECORDS = 8_000
say = Console(stderr=True, highlight=False).print


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def topic_of_bytes(stack: RunningStack, name: str, count: int = 0) -> str:
    """One shard, of so many records with different keys; their times are the broker's."""
    servers = stack.settings.kafka_bootstrap_servers
    admin = AdminClient({"bootstrap.servers": servers})
    for future in admin.create_topics([NewTopic(name, 1, config={"message.timestamp.type": "LogAppendTime"})]).values():
        future.result()
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50, "queue.buffering.max.messages": 4_000_000})
    for number in range(count):
        producer.produce(name, b"x" * 100, b"%d" % number)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush()
    return name


def pace(servers: str, group: str, topic: str, rate: int, seconds: float) -> None:
    """Send at a fixed rate once the group has its shard; a record's value is when it should have been sent, in ns since
    1970."""
    admin = AdminClient({"bootstrap.servers": servers})
    while not _holds_a_shard(admin, group):
        time.sleep(0.1)
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 0})
    began = time.time_ns() + 500_000_000
    for number in range(int(rate * seconds)):
        due = began + number * 1_000_000_000 // rate
        while (early := due - time.time_ns()) > 0:
            producer.poll(min(early / 1e9, 0.001))
        producer.produce(topic, str(due).encode(), b"%d" % number)
    producer.flush()


def _holds_a_shard(admin: AdminClient, group: str) -> bool:
    try:
        described = admin.describe_consumer_groups([group])[group].result()
    except KafkaException:  # not there yet
        return False
    return any(member.assignment and member.assignment.topic_partitions for member in described.members)


def new_group() -> str:
    """Nothing is committed in it."""
    return f"bench-{uuid4().hex[:8]}"


def overhead(stack: RunningStack, events: int, pairs: int) -> list[dict[str, Any]]:
    """Interleaved pairs over the same events."""
    topic = stack.pipeline.events_topic.name
    fill(stack.pipeline, stack.settings, topic, events)
    samples = []
    for pair in range(pairs):
        for way in list(WAYS) if pair % 2 == 0 else list(WAYS)[::-1]:
            settings = stack.settings.model_dump()
            found = alone(WAYS[way], settings, new_group(), topic, "nothing", 1, str(ROOT), events)
            samples.append({"what": "overhead", "pair": pair, "way": way, **found})
            say(f"{way:<12} {found['rate']:>9,.0f} records/s, {found['cpu_us']:.1f} µs of CPU a record")
    return samples


def latency(stack: RunningStack, pairs: int) -> list[dict[str, Any]]:
    """The consumers are there before the first record is due. A round in which records reached the broker late says
    nothing of consumers, and is done again: a broker that has just begun takes too long for each of 2,000 requests a
    second."""
    samples = []
    servers, count = stack.settings.kafka_bootstrap_servers, RATE * RATE_SECONDS
    for pair in range(pairs):
        for way in list(WAYS) if pair % 2 == 0 else list(WAYS)[::-1]:
            for _ in range(TRIES):
                topic, group = topic_of_bytes(stack, f"paced-{uuid4().hex[:8]}"), new_group()
                sender = multiprocessing.get_context("spawn").Process(
                    target=pace, args=(servers, group, topic, RATE, RATE_SECONDS)
                )
                sender.start()
                found = alone(WAYS[way], stack.settings.model_dump(), group, topic, "age", 1, None, count)
                sender.join()
                if found["sent_late_p99_ms"] <= SENT_LATE_MS:
                    break
                say(f"{way:<12} void: records reached the broker {found['sent_late_p99_ms']:.0f} ms late (p99)")
            samples.append({"what": "latency", "pair": pair, "way": way, **found})
            say(f"{way:<12} at {RATE}/s: p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms")
    return samples


def waiting(stack: RunningStack, rounds: int) -> list[dict[str, Any]]:
    """Factors in turn, each over a topic of its own that takes it ten seconds at most."""
    samples = []
    topics = {factor: topic_of_bytes(stack, f"io-{factor}", count) for factor, count in IO_RECORDS.items()}
    idle = topic_of_bytes(stack, "idle", IDLE_RECORDS)
    for number in range(rounds):
        for factor, count in IO_RECORDS.items():
            found = alone(
                WAYS["library"], stack.settings.model_dump(), new_group(), topics[factor], "wait", factor, None, count
            )
            samples.append({"what": "waiting", "pair": number, "factor": factor, **found})
            say(f"5 ms, factor {factor:>3}: {found['rate']:>9,.1f} records/s, {found['cpu_us']:.1f} µs of CPU a record")
        found = alone(
            WAYS["library"], stack.settings.model_dump(), new_group(), idle, "nothing", 10, None, IDLE_RECORDS
        )
        samples.append({"what": "nothing", "pair": number, "factor": 10, **found})
        say(f"no work, factor 10: {found['rate']:>9,.0f} records/s, {found['cpu_us']:.1f} µs of CPU a record")
    return samples


def processes(rounds: int) -> list[dict[str, Any]]:
    """One and two, in turn."""
    samples = []
    for number in range(rounds):
        for factor in (1, 2) if number % 2 == 0 else (2, 1):
            rate = alone(burning, factor, CPU_RECORDS)
            samples.append({"what": "processes", "pair": number, "factor": factor, "rate": rate})
            say(f"CPU, {factor} processes: {rate:>9,.0f} records/s")
    return samples


def main() -> None:
    """Measure and print; raw samples go to a file."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--events", type=int, default=300_000)
    arguments.add_argument("--pairs", type=int, default=5)
    arguments.add_argument("--out", type=Path, default=ROOT / "bench-out" / "consumers.json")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as state, running_stack(ROOT, Path(state), short_lived=False) as stack:
        samples = overhead(stack, chosen.events, chosen.pairs)
        samples += latency(stack, chosen.pairs)
        samples += waiting(stack, chosen.pairs)
    samples += processes(chosen.pairs)
    write(chosen.out, samples, events=chosen.events)
    report(samples)


def report(samples: list[dict[str, Any]]) -> None:
    """Medians of the pairs, smallest and largest beside them."""

    def figures(what: str, name: str, **which: Any) -> list[float]:
        found = [one for one in samples if one["what"] == what and all(one[key] == which[key] for key in which)]
        return [one[name] for one in sorted(found, key=lambda one: one["pair"])]

    table = Table("figure", "median", "smallest", "largest", box=None)

    def row(name: str, values: list[float], form: str = ".2f") -> None:
        table.add_row(name, *(f"{value:{form}}" for value in (statistics.median(values), min(values), max(values))))

    def ratios(above: list[float], below: list[float]) -> list[float]:
        return [one / other for one, other in zip(above, below, strict=True)]

    for way in WAYS:
        row(f"Avro records/s, {way}", figures("overhead", "rate", way=way), ",.0f")
    for way in WAYS:
        row(f"µs of CPU a record, {way}", figures("overhead", "cpu_us", way=way), ".1f")
    library, loop = ({"way": way} for way in WAYS)
    row(
        "time: library / plain loop",
        ratios(figures("overhead", "rate", **loop), figures("overhead", "rate", **library)),
    )
    row(
        "CPU: library / plain loop",
        ratios(figures("overhead", "cpu_us", **library), figures("overhead", "cpu_us", **loop)),
    )
    for way in WAYS:
        for share in ("p50_ms", "p99_ms"):
            row(f"ms behind at {RATE:,}/s, {share[:3]}, {way}", figures("latency", share, way=way), ".1f")
        row(f"ms late at the broker, p99, {way}", figures("latency", "sent_late_p99_ms", way=way), ".1f")
    one_lane = figures("waiting", "rate", factor=1)
    for factor in IO_RECORDS:
        rates = figures("waiting", "rate", factor=factor)
        row(f"records/s, {IO_SECONDS * 1000:.0f} ms handler, factor {factor}", rates, ",.1f")
        row(f"µs of CPU a record, factor {factor}", figures("waiting", "cpu_us", factor=factor), ".1f")
        if factor > 1:
            row(f"factor {factor} / factor 1", ratios(rates, one_lane))
    row("records/s, no work, factor 10", figures("nothing", "rate"), ",.0f")
    row("µs of CPU a record, no work, factor 10", figures("nothing", "cpu_us"), ".1f")
    row("CPU-bound: 2 processes / 1", ratios(*(figures("processes", "rate", factor=factor) for factor in (2, 1))))
    Console(highlight=False, width=110).print(table)
    say(f"load average {os.getloadavg()[0]:.1f}; steal {psutil.cpu_times_percent().steal} %")


if __name__ == "__main__":
    main()
