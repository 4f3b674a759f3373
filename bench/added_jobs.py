"""What each job adds to one application: archive, + windows, + sessions, + alerts, over the same topic.

Each round runs all four in turn, the next round in the other order; the figure is the median over the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.events import fill
from bench.jobs import MILLION, ROOT, make_topic, run, say
from bench.samples import write
from shardlake.testing.stack import running_stack

STEPS = ("archive", "service_health", "sessions", "error_alerts")
TOPIC = "bench-added"


def main() -> None:
    """Measure and print; raw samples go to a file."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--millions", type=float, default=4)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--out", type=Path, default=ROOT / "bench-out" / "added_jobs.json")
    chosen = arguments.parse_args()
    count = int(chosen.millions * MILLION)
    samples: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as state,
        running_stack(ROOT, Path(state), checkpoint_seconds=10, short_lived=False) as stack,
    ):
        say(f"filling a topic with {count:,} events")
        make_topic(stack, TOPIC)
        fill(stack.pipeline, stack.settings, TOPIC, count)
        say("a run to warm up, not counted")
        run(stack, TOPIC, count)
        for number in range(chosen.rounds):
            numbers = range(1, len(STEPS) + 1)
            for jobs in numbers if number % 2 == 0 else reversed(numbers):
                cost = run(stack, TOPIC, count, jobs=STEPS[:jobs])
                samples.append({"round": number, "jobs": jobs, **cost})
                say(f"{', '.join(STEPS[:jobs])}: {cost['cpu_seconds']:.1f} CPU-s, {cost['seconds']:.1f} s")
    write(chosen.out, samples, events=count)
    report(samples, count)


def report(samples: list[dict[str, Any]], count: int) -> None:
    """Medians over the rounds, start-up included, and what the last job of each step adds."""
    table = Table("jobs", "CPU-s per million", "smallest", "largest", "added", "wall s", box=None)
    before = 0.0
    for number in range(1, len(STEPS) + 1):
        costs = [sample["cpu_seconds"] / count * MILLION for sample in samples if sample["jobs"] == number]
        seconds = statistics.median(sample["seconds"] for sample in samples if sample["jobs"] == number)
        median = statistics.median(costs)
        name = f"{'+ ' if number > 1 else ''}{STEPS[number - 1]}"
        added = f"{median - before:+.2f}" if number > 1 else ""
        table.add_row(name, f"{median:.2f}", f"{min(costs):.2f}", f"{max(costs):.2f}", added, f"{seconds:.1f}")
        before = median
    Console(highlight=False, width=100).print(table)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    say(f"start-up included; load average {load}; steal {psutil.cpu_times_percent().steal} %")


if __name__ == "__main__":
    main()
