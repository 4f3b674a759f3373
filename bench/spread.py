"""`make bench-spread`: what it costs the archive that event times are spread over many hours.

The same events in each of four topics, but for their times: an hour, 30 days and a year in order, and a year shuffled.
Each run is on a task manager of its own, the rounds interleaved. The cost is the CPU-seconds of broker, job manager and
task manager, start-up included, beside those of one hour in the same round.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.events import Spread, fill
from bench.jobs import MILLION, ROOT, make_topic, run, say
from bench.samples import write
from shardlake.lake.tables import VISIBLE
from shardlake.storage import find
from shardlake.testing.stack import RunningStack, running_stack

YEAR = 365 * 24
SPREADS = {
    "hour": Spread(1),
    "month": Spread(30 * 24),
    "year": Spread(YEAR),
    "year-shuffled": Spread(YEAR, shuffled=True),
}
JOBS = ("archive",)


def main() -> None:
    """Measure and print; raw samples go to a file."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--millions", type=float, default=0.2)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--checkpoint-seconds", type=float, default=5)
    arguments.add_argument("--only", choices=SPREADS, action="append", help="Again for more; all without it.")
    arguments.add_argument("--out", type=Path, default=ROOT / "bench-out" / "spread.json")
    chosen = arguments.parse_args()
    count = int(chosen.millions * MILLION)
    names = chosen.only or list(SPREADS)
    samples: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as state,
        running_stack(ROOT, Path(state), checkpoint_seconds=chosen.checkpoint_seconds, short_lived=False) as stack,
    ):
        for name in names:
            say(f"filling a topic with {count:,} events: {name}")
            make_topic(stack, f"bench-{name}")
            fill(stack.pipeline, stack.settings, f"bench-{name}", count, SPREADS[name])
        for number in range(chosen.rounds):
            for name in names if number % 2 == 0 else reversed(names):
                sample = {"round": number, "spread": name, **run(stack, f"bench-{name}", count, jobs=JOBS)}
                samples.append(sample | {"files": _files(stack), "peak_mb": _peak_mb(stack)})
                say(json.dumps(samples[-1]))
    write(chosen.out, samples, events=count)
    report(samples, names)


def _files(stack: RunningStack) -> int:
    return len(find(stack.settings.lake / "app_logs", VISIBLE))


def _peak_mb(stack: RunningStack) -> int:
    """The most memory that the task manager has had, by the kernel."""
    status = Path(f"/proc/{stack.stack.servers['taskmanager'].pid}/status").read_text()
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(found) // 1024


def report(samples: list[dict[str, Any]], names: list[str]) -> None:
    """Medians over the rounds."""
    table = Table("event times over", "CPU-s", "beside an hour", "wall s", "files", "peak MB", box=None)
    for name in names:
        found = [sample for sample in samples if sample["spread"] == name]
        base = {sample["round"]: sample["cpu_seconds"] for sample in samples if sample["spread"] == names[0]}
        ratio = statistics.median(sample["cpu_seconds"] / base[sample["round"]] for sample in found)
        median = {key: statistics.median(one[key] for one in found) for key in ("cpu_seconds", "seconds", "files")}
        table.add_row(
            name, f"{median['cpu_seconds']:.1f}", f"{ratio:.2f}", f"{median['seconds']:.1f}", f"{median['files']:,.0f}",
            f"{max(one['peak_mb'] for one in found):,}",
        )  # fmt: skip
    Console(highlight=False, width=100).print(table)


if __name__ == "__main__":
    main()
