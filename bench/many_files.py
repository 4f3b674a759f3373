"""`make bench-files`: thread CPU time of `--follow` for many files, for packed ones, and for a gzip bomb; no broker.

All that `shardlake produce --follow` does but for the parsers and Kafka: files are found and read, places are saved.
"""

from __future__ import annotations

import argparse
import gzip
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from shardlake.produce.discovery import Discovery
from shardlake.produce.events import Read, Times
from shardlake.produce.follow import Destination, Follower
from shardlake.produce.positions import StateFile

LINES = 20
MIB = 1 << 20
IDLE_SECONDS = 10.0
SETTLING_SECONDS = 4.0


class NoBroker:
    """A stand-in for the delivery to a broker: it acknowledges each value at once."""

    account = SimpleNamespace(failed=0, unknown=0)
    sent = 0

    def poll(self, seconds: float = 0) -> None:
        """Waits as the real one does."""
        time.sleep(seconds)

    def send(self, event: Any, acknowledged: Callable[[int, int], None], place: Any) -> bool:
        """True, as all are sent."""
        self.sent += 1
        acknowledged(0, self.sent)
        return True


def follower(pattern: Path, state: Path) -> tuple[Follower, NoBroker]:
    """One of these files, with places of its own."""
    count, broker = Read(), NoBroker()
    broker_: Any = broker
    to = Destination(
        "", "app-logs", "", broker_, broker_, lambda line, text, service: {"id": text}, lambda event: str(event["id"]),
        lambda event: True, Times(None, count, print),
    )  # fmt: skip
    found = Discovery([str(pattern)], [], lambda line: print(line.rpartition("/")[2]))
    return Follower(found, to, StateFile(state), None, Counter(), {}, count), broker


def cpu_seconds(one: Follower, idle_seconds: float) -> float:
    """Follow the files until nothing has come for a while, and return what that cost."""
    began = time.thread_time()
    one.run(idle_seconds, lambda: None)
    return time.thread_time() - began


def many(folder: Path, files: int, first: str) -> None:
    """The start with so many files and their idling. `first` is the line that all begin with, if any."""
    folder.mkdir()
    for number in range(files):
        text = "".join(f"2026-11-03T12:00:{n:02}Z web {number} request {n} of {LINES}\n" for n in range(LINES))
        (folder / f"{number}.log").write_text(first + text)
    one, broker = follower(folder / "*.log", folder / "state.json")
    start = cpu_seconds(one, 0.0)
    cpu_seconds(one, SETTLING_SECONDS)
    idle = cpu_seconds(one, IDLE_SECONDS)
    said = "begin alike" if first else "of their own"
    print(f"{files:>6} files {said:<13} start {start:>7.2f} s, idle {100 * idle / IDLE_SECONDS:>6.2f} % of a core, "
          f"{broker.sent:,} lines", flush=True)  # fmt: skip


def packed(folder: Path, unpacked_mib: int) -> None:
    """A file of lines of a log, packed."""
    folder.mkdir()
    draw = random.Random(1)
    with gzip.open(folder / "a.gz", "wt", compresslevel=1) as file:
        for number in range(unpacked_mib * MIB // 100):
            file.write(f"2026-11-03T12:00:00Z web {number:>12} {draw.getrandbits(208):>063}\n")
    one, broker = follower(folder / "a.gz", folder / "state.json")
    print(
        f"{unpacked_mib:>6} MiB in a .gz           {cpu_seconds(one, 0.0):>7.2f} s, {broker.sent:,} lines", flush=True
    )


def bomb(folder: Path, unpacked_mib: int) -> None:
    """A file of one letter, packed."""
    folder.mkdir()
    with gzip.open(folder / "a.gz", "wb") as file:
        for _ in range(unpacked_mib):
            file.write(MIB * b"x")
    size_mib = (folder / "a.gz").stat().st_size / MIB
    one, broker = follower(folder / "a.gz", folder / "state.json")
    took = cpu_seconds(one, 0.0)
    print(f"{unpacked_mib:>6} MiB in {size_mib:.1f} MiB           {took:>7.2f} s, {broker.sent:,} lines", flush=True)


def main() -> None:
    """Follow folders of many files, and print what a start and an idle second cost."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--files", type=int, nargs="*", default=[750, 1_500, 3_000])
    arguments.add_argument("--packed", type=int, nargs="*", default=[16, 32, 64], metavar="MIB")
    arguments.add_argument("--bombs", type=int, nargs="*", default=[512, 1024], metavar="MIB")
    chosen = arguments.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        for files in chosen.files:
            many(Path(folder) / f"own{files}", files, "")
        for files in chosen.files:
            many(Path(folder) / f"alike{files}", files, "#Software: a server that begins each of its logs alike\n")
        for unpacked_mib in chosen.packed:
            packed(Path(folder) / f"packed{unpacked_mib}", unpacked_mib)
        for unpacked_mib in chosen.bombs:
            bomb(Path(folder) / f"bomb{unpacked_mib}", unpacked_mib)


if __name__ == "__main__":
    main()
