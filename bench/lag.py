"""`make bench-lag`: what a scrape of 1,000 partitions and 20 groups costs, and how far off the ages are.

1. Cost: the exporter beside a plain probe (the same questions and 20,000 lines of text, nothing judged or kept), in
   turns; once while nothing moves, once with every group's offsets moved before each scrape, and all series at last.
2. Error: ages of four shards whose arrivals come in bursts, against the arrival times that the topic itself holds.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from rich.console import Console
from rich.table import Table

from bench.samples import write
from shardlake import topics
from shardlake.lag.broker import Broker
from shardlake.lag.exporter import Exporter
from shardlake.lag.reader import Reader
from shardlake.lag.sampling import EACH_TIME, Sampler
from shardlake.testing.stack import running_stack

ROOT = Path(__file__).parents[1]
WIDE, PARTITIONS, GROUPS, RECORDS = "wide", 1_000, 20, 200
AGED, SHARDS, AGE_SECONDS, SAMPLE_SECONDS = "aged", 4, 60, 2
LAG_ONLY = ["kafka_consumergroup_lag"]
say = Console(stderr=True, highlight=False).print


def cpu_seconds(asker: int | None) -> float:
    """Of this process, and of the one that asks."""
    total = time.process_time()
    if asker is not None:
        # Nanoseconds: psutil's are hundredths of a second.
        total += sum(
            int(file.read_text().split()[0]) for file in Path(f"/proc/{asker}/task").glob("*/schedstat")
        ) / 1e9  # fmt: skip
    return total


def make_wide(servers: str) -> None:
    """The topic, with records in every partition."""
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(WIDE, PARTITIONS)], request_timeout=60)[WIDE].result()
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    for number in range(PARTITIONS * RECORDS):
        producer.produce(WIDE, b"x" * 50, partition=number % PARTITIONS)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush()


class Groups:
    """Twenty groups, each with a commit in every partition."""

    def __init__(self, servers: str) -> None:
        self._consumers = [Consumer({"bootstrap.servers": servers, "group.id": f"g{n:02}"}) for n in range(GROUPS)]
        self._step = 0

    def move(self) -> None:
        """All of them, by one record a partition."""
        self._step += 1
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._commit, range(GROUPS)))

    def _commit(self, number: int) -> None:
        offsets = [TopicPartition(WIDE, n, (number + n) % 100 + self._step) for n in range(PARTITIONS)]
        self._consumers[number].commit(offsets=offsets, asynchronous=False)

    def close(self) -> None:
        """Leave nothing open."""
        for consumer in self._consumers:
            consumer.close()


def plain_probe(servers: str) -> Callable[[], str]:
    """The least that any exporter must do."""
    admin = AdminClient({"bootstrap.servers": servers})
    places = [TopicPartition(WIDE, number) for number in range(PARTITIONS)]

    def scrape() -> str:
        names = [group.group_id for group in admin.list_consumer_groups().result().valid]
        asked = [admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)]) for name in names]
        commits = {name: future.result() for one in asked for name, future in one.items()}
        ends: dict[tuple[str, int], int] = {}
        calls = [
            admin.list_offsets(
                dict.fromkeys(places[begin : begin + 100], OffsetSpec.latest()),
                isolation_level=IsolationLevel.READ_COMMITTED,
            )
            for begin in range(0, PARTITIONS, 100)
        ]
        for call in calls:
            for place, future in call.items():
                ends[place.topic, place.partition] = future.result().offset
        return "".join(
            f'lag{{group="{name}",topic="{WIDE}",partition="{p.partition}"}} {ends[WIDE, p.partition] - p.offset}\n'
            for name, found in commits.items()
            for p in found.topic_partitions
            if p.topic == WIDE
        )

    return scrape


def cost(servers: str, rounds: int) -> list[dict[str, Any]]:
    """In turns, the order changing."""
    broker, groups = Broker(servers), Groups(servers)
    groups.move()
    sampler = Sampler(broker, Reader(servers), Reader(servers, "read_uncommitted"))
    exporter = Exporter(lambda: sampler.sample(EACH_TIME))
    ways: dict[str, Callable[[], str]] = {
        "plain probe": plain_probe(servers),
        "exporter": lambda: exporter.text(LAG_ONLY),
        "exporter, all series": exporter.text,
    }
    for scrape in ways.values():
        scrape()
    samples = []
    for kind in ("still", "moving"):
        for number in range(rounds):
            for way in list(ways) if number % 2 == 0 else list(ways)[::-1]:
                if kind == "moving":
                    groups.move()
                    time.sleep(0.2)
                asker = None if way == "plain probe" else broker.pid
                cpu, began = cpu_seconds(asker), time.perf_counter()
                text = ways[way]()
                seconds, cpu = time.perf_counter() - began, cpu_seconds(asker) - cpu
                series = sum(1 for line in text.splitlines() if not line.startswith("#"))
                samples.append(
                    {"what": "cost", "kind": kind, "round": number, "way": way, "ms": 1000 * seconds,
                     "cpu_ms": 1000 * cpu, "series": series}
                )  # fmt: skip
    groups.close()
    sampler.close()
    return samples


def error(servers: str) -> list[dict[str, Any]]:
    """Bursts into each shard, a group that stays up to fifteen seconds behind, a sample every two."""
    admin = AdminClient({"bootstrap.servers": servers})
    config = {"message.timestamp.type": "LogAppendTime"}
    admin.create_topics([NewTopic(AGED, SHARDS, config=config)])[AGED].result()
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 0})
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "aged"})
    chance, ended = random.Random(15), threading.Event()
    sent = [0] * SHARDS

    def send() -> None:
        while not ended.is_set():
            shard = chance.randrange(SHARDS)
            for _ in range(chance.choice([1, 1, 1, 50, 200])):
                producer.produce(AGED, b"x", partition=shard)
                sent[shard] += 1
            producer.poll(0)
            ended.wait(chance.choice([0.01, 0.05, 1.5]))
        producer.flush()

    sender = threading.Thread(target=send)
    sender.start()
    sampler = Sampler.of(servers)
    found = []
    for _ in range(AGE_SECONDS // SAMPLE_SECONDS):
        behind = [max(0, count - chance.randrange(1, 1 + max(1, min(count, 900)))) for count in sent]
        consumer.commit(
            offsets=[TopicPartition(AGED, n, offset) for n, offset in enumerate(behind)], asynchronous=False
        )
        for shard in sampler.sample(EACH_TIME).of("aged"):
            if shard.records:
                found.append((shard.partition, shard.waiting, shard.now_ms, shard.measured_seconds,
                              shard.interpolated_seconds, shard.is_measured))  # fmt: skip
        time.sleep(SAMPLE_SECONDS)
    ended.set()
    sender.join()
    sampler.close()
    consumer.close()
    arrivals = {(m.partition(), m.offset()): m.timestamp()[1] for m in topics.read(servers, AGED)}
    return [
        {"what": "error", "truth": (now_ms - arrivals[partition, offset]) / 1000, "measured": measured,
         "interpolated": interpolated, "is_measured": is_measured}
        for partition, offset, now_ms, measured, interpolated, is_measured in found
    ]  # fmt: skip


def report(samples: list[dict[str, Any]]) -> None:
    """Medians, smallest and largest beside them."""
    table = Table("figure", "median", "smallest", "largest", box=None)

    def row(name: str, values: list[float], form: str = ".0f") -> None:
        table.add_row(name, *(f"{value:{form}}" for value in (statistics.median(values), min(values), max(values))))

    def costs(kind: str, way: str, figure: str) -> list[float]:
        return [one[figure] for one in samples if (one["what"], one.get("kind"), one.get("way")) == ("cost", kind, way)]

    for kind in ("still", "moving"):
        for way in ("plain probe", "exporter", "exporter, all series"):
            series = costs(kind, way, "series")[-1]
            row(f"ms, {way}, {series:,} series, offsets {kind}", costs(kind, way, "ms"))
            row(f"ms of CPU, {way}, offsets {kind}", costs(kind, way, "cpu_ms"))
        pairs = zip(costs(kind, "exporter", "cpu_ms"), costs(kind, "plain probe", "cpu_ms"), strict=True)
        row(f"CPU: exporter / plain probe, offsets {kind}", [one / other for one, other in pairs], ".2f")
    aged = [one for one in samples if one["what"] == "error"]
    for way in ("measured", "interpolated"):
        known = [one for one in aged if one[way] is not None and (way != "measured" or one["is_measured"])]
        row(
            f"ms of error, {way} age ({len(known)} of {len(aged)})",
            [1000 * abs(one[way] - one["truth"]) for one in known],
            ".1f",
        )
    row("s, the true age", [one["truth"] for one in aged], ".1f")
    Console(highlight=False, width=120).print(table)
    say(f"load average {os.getloadavg()[0]:.1f}; steal {psutil.cpu_times_percent().steal} %")


def main() -> None:
    """Measure and print; raw samples go to a file."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--out", type=Path, default=ROOT / "bench-out" / "lag.json")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as state, running_stack(ROOT, Path(state), short_lived=False) as stack:
        servers = stack.settings.kafka_bootstrap_servers
        samples = error(servers)
        make_wide(servers)
        samples += cost(servers, chosen.rounds)
    write(chosen.out, samples)
    report(samples)


if __name__ == "__main__":
    main()
