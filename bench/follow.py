"""`make bench-follow`: lines written to a rotating log against events in the topic, with the follower killed.

The writer is the rotator, so that it knows that it loses nothing itself: it renames, or copies and truncates, in turn,
and packs what is older, as logrotate does. Meanwhile `shardlake produce --follow` is killed (-9) and started again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from rich.console import Console

from shardlake import topics
from shardlake.avro.codec import Decoder
from shardlake.avro.registry import Registry
from shardlake.testing.stack import RunningStack, running_stack

ROOT = Path(__file__).parents[1]
TICKS_PER_SECOND = 50
PACKED_FROM = 3
"""Of the rotated files, this one and older ones are packed."""
say = Console(stderr=True, highlight=False).print


class RotatingLog:
    """An access log whose lines carry their numbers, from 0."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = self.rotations = 0
        self._file: TextIO = path.open("a")

    def write(self, lines: int) -> None:
        """So many more; the last one is written in two parts."""
        now = datetime.now(UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
        text = "".join(
            f'10.0.{n % 7}.{n % 251} - - [{now}] "GET /line/{n} HTTP/1.1" 200 {n % 5000} "-" "curl/8.10.1"\n'
            for n in range(self.lines, self.lines + lines)
        )
        for part in (text[:-30], text[-30:]):
            self._file.write(part)
            self._file.flush()
        self.lines += lines

    def rotate(self) -> None:
        """By renaming and by copying and truncating, in turn."""
        for number in range(self.rotations, 0, -1):
            for ending in ("", ".gz"):
                old = self._rotated(number, ending)
                if old.exists():
                    old.rename(self._rotated(number + 1, ending))
        if self.rotations % 2 == 0:
            self.path.rename(self._rotated(1))
            self._file.close()
            self._file = self.path.open("a")
        else:
            shutil.copy(self.path, self._rotated(1))
            self._file.truncate(0)
        self.rotations += 1
        packed = self._rotated(PACKED_FROM)
        if packed.exists():
            with packed.open("rb") as file, gzip.open(self._rotated(PACKED_FROM, ".gz"), "wb") as into:
                shutil.copyfileobj(file, into)
            packed.unlink()

    def _rotated(self, number: int, ending: str = "") -> Path:
        return self.path.with_name(f"{self.path.name}.{number}{ending}")


@dataclass(frozen=True, slots=True)
class Result:
    """What was written, and what is in the topic of it."""

    lines: int
    rotations: int
    kills: int
    events: int
    lost: int
    doubled: int
    ids_doubled: int
    passed_over_last: int


def run(stack: RunningStack, folder: Path, seconds: float, rate: int, rotations: int, kills: int, seed: int) -> Result:
    """Write, rotate and kill; then let the follower end, and count. The stack's topic of events must be empty."""
    log = RotatingLog(folder / "app.log")
    done = threading.Event()
    writer = threading.Thread(target=_write, args=(log, seconds, rate, rotations, done))
    follow = ("produce", "--follow", str(folder / "app.log*"), "--format", "access")
    draw = random.Random(seed)
    writer.start()
    killed = 0
    try:
        while not done.is_set() or killed < kills:
            follower = stack.start(*follow)
            try:
                follower.wait(draw.uniform(0.5, 1.5) * seconds / kills)
                sys.exit(f"the follower ended by itself: {follower.stdout.read() if follower.stdout else ''}")
            except subprocess.TimeoutExpired:
                follower.send_signal(signal.SIGKILL)
                follower.communicate()
                killed += 1
                say(f"killed {killed} times; {log.lines:,} lines written, {log.rotations} rotations")
    finally:
        writer.join()
    summary = json.loads(_without_progress(stack.shardlake(*follow, "--until-idle", "3", "--json")))
    return _count(stack, log, killed, summary["already_there"])


def _write(log: RotatingLog, seconds: float, rate: int, rotations: int, done: threading.Event) -> None:
    ticks = round(seconds * TICKS_PER_SECOND)
    start = time.monotonic()
    for tick in range(ticks):
        log.write(rate // TICKS_PER_SECOND)
        if (tick + 1) * rotations // ticks > tick * rotations // ticks:
            log.rotate()
        time.sleep(max(0.0, start + (tick + 1) / TICKS_PER_SECOND - time.monotonic()))
    done.set()


def _without_progress(output: str) -> str:
    return output[output.index("{") : output.rindex("}") + 1]


def _count(stack: RunningStack, log: RotatingLog, killed: int, passed_over: int) -> Result:
    decoder = Decoder(stack.pipeline.schemas["app_log"], Registry(stack.settings.schema_registry_url), "app-logs-value")
    numbers: Counter[int] = Counter()
    ids: Counter[str] = Counter()
    for message in topics.read(stack.settings.kafka_bootstrap_servers, stack.pipeline.events_topic.name):
        event = decoder.decode(message.value())
        numbers[int(event["path"].removeprefix("/line/"))] += 1
        ids[event["event_id"]] += 1
    return Result(
        lines=log.lines,
        rotations=log.rotations,
        kills=killed,
        events=numbers.total(),
        lost=sum(number not in numbers for number in range(log.lines)),
        doubled=sum(count - 1 for count in numbers.values()),
        ids_doubled=sum(count - 1 for count in ids.values()),
        passed_over_last=passed_over,
    )


def main() -> None:
    """Run and print. Exit code 1 where a line was lost or doubled."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--rate", type=int, default=5_000)
    arguments.add_argument("--rotations", type=int, default=50)
    arguments.add_argument("--kills", type=int, default=10)
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(ROOT, Path(folder) / "state", short_lived=False) as stack,
    ):
        logs = Path(folder) / "logs"
        logs.mkdir()
        result = run(stack, logs, chosen.seconds, chosen.rate, chosen.rotations, chosen.kills, chosen.seed)
    for name, value in asdict(result).items():
        say(f"{name.replace('_', ' '):<18} {value:>10,}")
    sys.exit(1 if result.lost or result.doubled else 0)


if __name__ == "__main__":
    main()
