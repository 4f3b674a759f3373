"""Order through rebalances and kills: what workers have handled, against the topic, and how long shards stood still.

A topic of keys that come often is consumed by one to three workers with eight lanes a shard, while workers are added,
stopped and killed at random. The handler writes each record down when it is done with it (one append a record, so that
a kill loses none that was handled), sleeps now and then, and always for some keys. Then the history of all workers is
merged by time and checked: every record of the topic, each key in order, and nothing twice but what a killed worker
had handled and not committed. The history is kept beside the figures; a break and a loss planted in it must be found.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Producer
from rich.console import Console
from rich.table import Table

from shardlake import topics
from shardlake.pipeline import FOLDERS
from shardlake.shards.order import Verdict, check
from shardlake.testing.stack import RunningStack, running_stack

ROOT = Path(__file__).parents[1]
TOPIC, PARTITIONS, KEYS = "ordered", 8, 4_000
LINE = struct.Struct("<QHQH")
"""Nanoseconds since 1970, shard, sequence number, key."""
HANDLER = '''
"""Writes down what it has handled."""
import os, random, struct, time

FILE = os.open(os.path.join(os.environ["RECORDED"], str(os.getpid())), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
LINE = struct.Struct("<QHQH")

def process_record(record):
    key = int(record.partition_key)
    if key % 500 == 7:
        time.sleep(0.002)
    elif random.random() < 0.002:
        time.sleep(random.random() * 0.01)
    shard = int(record.shard_id.rpartition("-")[2])
    os.write(FILE, LINE.pack(time.time_ns(), shard, record.sequence_number, key))
'''
Handled = tuple[int, int, int, int, int]
"""As LINE, and the worker's process."""
say = Console(stderr=True, highlight=False).print


@dataclass
class Run:
    """A group at work, and what was done to it."""

    stack: RunningStack
    protocol: str
    history: Path
    workers: list[subprocess.Popen[str]] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)
    uncommitted: int = 0
    """Records that killed workers had handled and not committed."""

    def start(self) -> None:
        """One more worker."""
        environment = {**self.stack.environment, "RECORDED": str(self.history)}
        arguments = ("consume", "ordered", "--topic", TOPIC, "--group", self.group, "--factor", "8")
        command = self.stack.command(*arguments, "--protocol", self.protocol)
        self.workers.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, text=True))

    @property
    def group(self) -> str:
        """By its protocol."""
        return f"ordered-{self.protocol}"

    def committed(self) -> dict[int, int]:
        """What the broker says."""
        return topics.committed(self.stack.settings.kafka_bootstrap_servers, self.group, TOPIC)

    def disturb(self, chance: random.Random) -> None:
        """Add a worker, or stop one, or kill one; there is always one left."""
        if len(self.workers) == 1:
            self.start()
            return
        what = chance.choice(["add", "stop", "kill", "kill"] if len(self.workers) < 3 else ["stop", "kill"])
        if what == "add":
            self.start()
        elif what == "stop":
            worker = self.workers.pop(chance.randrange(len(self.workers)))
            worker.terminate()
            worker.wait(60)
        else:
            worker = self.workers.pop(chance.randrange(len(self.workers)))
            pids = [one.pid for one in psutil.Process(worker.pid).children()]
            held = {pid for pid in pids if (self.history / str(pid)).exists()}
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            worker.wait(60)
            self._count_uncommitted(held)
            self.start()

    def _count_uncommitted(self, pids: set[int]) -> None:
        committed = self.committed()
        self.killed |= pids
        for pid in pids:
            self.uncommitted += sum(
                number >= committed.get(shard, 0) for _, shard, number, _ in lines(self.history / str(pid))
            )

    def end(self) -> None:
        """Stop all."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(90)


def lines(file: Path) -> Iterator[tuple[int, int, int, int]]:
    """One worker's history; a line that a kill has cut is none."""
    data = file.read_bytes()
    return LINE.iter_unpack(data[: len(data) // LINE.size * LINE.size])


def merged(history: Path) -> Iterator[Handled]:
    """All workers', by time."""

    def of(file: Path) -> Iterator[Handled]:
        pid = int(file.name)
        # Lanes write side by side, so that neighbours may have changed places.
        return ((*line, pid) for line in sorted(lines(file)))

    return heapq.merge(*(of(file) for file in history.iterdir()))


def fill(servers: str, count: int) -> None:
    """A tenth of the records have one of ten keys, the others one of thousands."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50, "queue.buffering.max.messages": 4_000_000})
    chance = random.Random(1)
    for number in range(count):
        key = chance.randrange(10) if chance.random() < 0.1 else chance.randrange(KEYS)
        while True:
            try:
                producer.produce(TOPIC, b"x" * 50, b"%d" % key)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush()


def verdict(ends: dict[int, tuple[int, int]], handled: Iterator[Handled]) -> Verdict:
    """What the checker says of a history."""
    produced = ((str(shard), number) for shard, (first, end) in ends.items() for number in range(first, end))
    return check(produced, ((str(shard), b"%d" % key, number) for _, shard, number, key, _ in handled))


def pauses(handled: Iterator[Handled], killed: set[int]) -> tuple[list[float], list[float]]:
    """Seconds between the last record of a shard's old owner and the first of its new one: after a hand-over, and after
    a kill."""
    last: dict[int, tuple[int, int]] = {}
    graceful: list[float] = []
    after_kill: list[float] = []
    for at, shard, _, _, pid in handled:
        before = last.get(shard)
        if before is not None and before[1] != pid:
            (after_kill if before[1] in killed else graceful).append((at - before[0]) / 1e9)
        last[shard] = at, pid
    return sorted(graceful), sorted(after_kill)


def share(values: list[float], part: float) -> float:
    """A percentile, of sorted values."""
    return values[min(len(values) - 1, int(len(values) * part))] if values else float("nan")


def run(stack: RunningStack, protocol: str, seed: int, every_seconds: float, history: Path) -> dict[str, Any]:
    """Consume the whole topic with disturbances; figures."""
    servers, chance = stack.settings.kafka_bootstrap_servers, random.Random(seed)
    ends = topics.offsets(servers, TOPIC)
    total = sum(end - first for first, end in ends.values())
    history.mkdir(parents=True)
    group = Run(stack, protocol, history)
    began = disturbed = time.monotonic()
    disturbances = done_then = 0
    group.start()
    try:
        while (done := sum(group.committed().values())) < total:
            if time.monotonic() - began > 1500:
                sys.exit(f"{done:,} of {total:,} records are committed after 25 minutes")
            time.sleep(0.5)
            # Not before it goes on: a group that is never left alone does nothing.
            if time.monotonic() - disturbed > every_seconds and done > done_then:
                group.disturb(chance)
                disturbed, disturbances = time.monotonic(), disturbances + 1
                done_then = sum(group.committed().values())
                say(f"{protocol}: {done:>9,} of {total:,} committed, {len(group.workers)} workers")
    finally:
        group.end()
    seconds = time.monotonic() - began
    found = verdict(ends, merged(history))
    graceful, after_kill = pauses(merged(history), group.killed)
    return {
        "protocol": protocol, "records": total, "seconds": seconds, "disturbances": disturbances,
        "kills": len(group.killed), "seen": found.seen, "lost": found.lost, "unknown": found.unknown,
        "breaks": found.breaks, "duplicates": found.duplicates, "uncommitted_at_kills": group.uncommitted,
        "hand_overs": len(graceful), "pause_p50": share(graceful, 0.5), "pause_p99": share(graceful, 0.99),
        "after_kill_p50": share(after_kill, 0.5), "after_kill_p99": share(after_kill, 0.99),
    }  # fmt: skip


def planted(ends: dict[int, tuple[int, int]], history: Path) -> dict[str, int]:
    """What the checker finds where two records of a key have changed places, and where one is left out."""
    handled = list(merged(history))
    of_key: dict[tuple[int, int], int] = {}
    for index, (_, shard, number, key, _) in enumerate(handled):
        other = of_key.get((shard, key))
        if other is not None and handled[other][2] < number and index > len(handled) // 2:
            break
        of_key[shard, key] = index
    else:
        sys.exit("no key comes twice")
    swapped = list(handled)
    assert other is not None
    swapped[other], swapped[index] = swapped[index], swapped[other]
    without = [line for line in handled if line[1:3] != handled[index][1:3]]
    return {"breaks": verdict(ends, iter(swapped)).breaks, "lost": verdict(ends, iter(without)).lost}


def main() -> None:
    """Run and print; exit code 1 where something was lost, doubled beyond what a kill explains, or out of order."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--records", type=int, default=5_000_000)
    arguments.add_argument("--every", type=float, default=8, help="seconds between disturbances")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--out", type=Path, default=ROOT / "bench-out" / "order")
    chosen = arguments.parse_args()
    shutil.rmtree(chosen.out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Path(folder) / "pipeline"
        for name in FOLDERS:
            shutil.copytree(ROOT / name, pipeline / name)
        (pipeline / "consumers" / "ordered.py").write_text(HANDLER)
        with (pipeline / "schemas" / "topics.toml").open("a") as file:
            file.write(f"\n[{TOPIC}]\npartitions = {PARTITIONS}\n")
        with running_stack(pipeline, Path(folder) / "state") as stack:
            fill(stack.settings.kafka_bootstrap_servers, chosen.records)
            ends = topics.offsets(stack.settings.kafka_bootstrap_servers, TOPIC)
            figures = [
                run(stack, protocol, chosen.seed, chosen.every, chosen.out / protocol)
                for protocol in ("consumer", "classic")
            ]
    found = planted(ends, chosen.out / "classic")
    (chosen.out / "order.json").write_text(json.dumps({"figures": figures, "planted": found}, indent=1))
    table = Table("figure", *(one["protocol"] for one in figures), box=None)
    for name in [name for name in figures[0] if name != "protocol"]:
        values = [one[name] for one in figures]
        table.add_row(
            name.replace("_", " "), *(f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" for value in values)
        )
    Console(highlight=False, width=100).print(table)
    say(f"planted: one swap makes {found['breaks']} order breaks, one record left out {found['lost']} lost")
    wrong = any(
        one["lost"] or one["unknown"] or one["breaks"] or one["duplicates"] > one["uncommitted_at_kills"]
        for one in figures
    )
    sys.exit(1 if wrong or not found["breaks"] or found["lost"] != 1 else 0)


if __name__ == "__main__":
    main()
