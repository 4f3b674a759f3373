"""Order through rebalances and kills: what workers have handled, against the topic, and how long shards stood still.

A topic of keys that come often is consumed by one to three workers with eight lanes a shard, while workers are added,
stopped and killed at random. The handler writes each record down when it is done with it (one append a record, so that
a kill loses none that was handled), sleeps now and then, and always for some keys. Then the history of all workers is
merged by time and checked: every record of the topic, each key in order, and nothing twice but what a killed worker
had handled and not committed. The history is kept beside the figures; a break and a loss planted in it must be found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable
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
from shardlake.shards.record_file import Line, read_lines
from shardlake.testing.stack import RunningStack, running_stack

ROOT = Path(__file__).parents[1]
TOPIC, PARTITIONS, KEYS = "ordered", 8, 4_000
HANDLER = '''
"""Writes down what it has handled."""
import os, random, time
from pathlib import Path
from shardlake.shards.record_file import RecordFile

FILE = RecordFile(Path(os.environ["RECORDED"]))

def process_record(record):
    key = int(record.partition_key)
    if key % 500 == 7:
        time.sleep(0.002)
    elif random.random() < 0.002:
        time.sleep(random.random() * 0.01)
    FILE.write(record)
'''
say = Console(stderr=True, highlight=False).print


@dataclass
class Run:
    """A group at work, and what was done to it."""

    stack: RunningStack
    protocol: str
    history: Path
    workers: list[subprocess.Popen[str]] = field(default_factory=list)
    killed: dict[int, dict[str, int]] = field(default_factory=dict)
    """What was committed of each shard when a process was killed, the command's own among them."""

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
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            worker.wait(60)
            committed = {f"{TOPIC}-{number}": offset for number, offset in self.committed().items()}
            self.killed |= dict.fromkeys(pids, committed)
            self.start()

    def end(self) -> None:
        """Stop all."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(90)


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


def verdict(ends: dict[int, tuple[int, int]], handled: Iterable[Line]) -> Verdict:
    """What the checker says of a history."""
    produced = ((f"{TOPIC}-{shard}", number) for shard, (first, end) in ends.items() for number in range(first, end))
    return check(produced, ((line.shard, line.key, line.number) for line in handled))


def pauses(handled: Iterable[Line], killed: Collection[int]) -> tuple[list[float], list[float]]:
    """Seconds between the last record of a shard's old owner and the first of its new one: after a hand-over, and after
    a kill."""
    last: dict[str, Line] = {}
    graceful: list[float] = []
    after_kill: list[float] = []
    for line in handled:
        before = last.get(line.shard)
        if before is not None and before.process != line.process:
            (after_kill if before.process in killed else graceful).append((line.at_ns - before.at_ns) / 1e9)
        last[line.shard] = line
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
    found = verdict(ends, read_lines(history))
    of_killed = [line for line in read_lines(history) if line.process in group.killed]
    uncommitted = sum(line.number >= group.killed[line.process].get(line.shard, 0) for line in of_killed)
    graceful, after_kill = pauses(read_lines(history), group.killed)
    return {
        "protocol": protocol, "records": total, "seconds": seconds, "disturbances": disturbances,
        "kills": len({line.process for line in of_killed}),
        "seen": found.seen, "lost": found.lost, "unknown": found.unknown,
        "breaks": found.breaks, "duplicates": found.duplicates, "uncommitted_at_kills": uncommitted,
        "hand_overs": len(graceful), "pause_p50": share(graceful, 0.5), "pause_p99": share(graceful, 0.99),
        "after_kill_p50": share(after_kill, 0.5), "after_kill_p99": share(after_kill, 0.99),
    }  # fmt: skip


def planted(ends: dict[int, tuple[int, int]], history: Path) -> dict[str, int]:
    """What the checker finds where two records of a key have changed places, and where one is left out."""
    handled = list(read_lines(history))
    of_key: dict[tuple[str, bytes | None], int] = {}
    for index, line in enumerate(handled):
        other = of_key.get((line.shard, line.key))
        if other is not None and handled[other].number < line.number and index > len(handled) // 2:
            break
        of_key[line.shard, line.key] = index
    else:
        sys.exit("no key comes twice")
    assert other is not None
    swapped = list(handled)
    swapped[other], swapped[index] = line, handled[other]
    without = [one for one in handled if (one.shard, one.number) != (line.shard, line.number)]
    return {"breaks": verdict(ends, swapped).breaks, "lost": verdict(ends, without).lost}


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
        with running_stack(pipeline, Path(folder) / "state", short_lived=False) as stack:
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
