"""`make bench-load`: what the load's own instruments cost, and whether they see what is there.

- the schedule's slip at 20,000 events a second, with nobody who reads
- CPU of a worker that is watched beside one that is not, over the same records, in interleaved pairs
- a handler that takes 20 % longer, planted, as `load compare` sees it beside three runs without
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.events import fill
from shardlake.load.handled import Watched
from shardlake.load.result import Result
from shardlake.pipeline import Pipeline
from shardlake.shards.contract import Contract
from shardlake.shards.workers import Work, start_worker
from shardlake.testing.stack import RunningStack, running_stack

ROOT = Path(__file__).parents[1]
say = Console(stderr=True, highlight=False).print
BURNS = """
def process_record(record):
    total, own = 0, record.sequence_number
    for number in range(2_000):
        total += number ^ own
"""
RATE, SECONDS, WARM_UP = 1500, 30, 10
"""With a fifth more the worker is still far from busy: what waits behind it would be seen as its handler's."""


def load(stack: RunningStack, folder: Path, *arguments: str) -> Result:
    """One run; what it found, whatever it concluded."""
    command = stack.command("load", *arguments, "--report", str(folder))
    done = subprocess.run(command, env=stack.environment, text=True, capture_output=True, check=False)
    if not (folder / "load.json").exists():
        raise SystemExit(done.stderr)
    return Result.read(folder)


def slip(stack: RunningStack, folder: Path, seconds: int) -> None:
    """Nobody reads: broker, registry and an idle Flink."""
    table = Table("run", "offered/s", "reached/s", "slip p50 ms", "p99", "p99.9", "max", "producer's CPU", box=None)
    for number in (1, 2, 3):
        found = load(
            stack, folder / f"slip-{number}", "--rate", "20000", "--duration", str(seconds), "--warm-up",
            str(seconds // 3), "--workers", "0", "--no-jobs",
        )  # fmt: skip
        assert found.schedule is not None
        one = found.schedule.slip
        cost = next(usage.cpu_us_per_event for usage in found.usage if usage.role == "producers")
        shares = (one.p50_ms, one.p99_ms, one.p999_ms, one.max_ms)
        rates = (f"{found.schedule.offered_per_second:,.0f}", f"{found.schedule.reached_per_second:,.0f}")
        table.add_row(str(number), *rates, *(f"{ms:.2f}" for ms in shares), f"{cost:.1f} µs an event")
    Console(highlight=False, width=110).print(table)


def watched(stack: RunningStack, folder: Path, events: int, pairs: int) -> None:
    """CPU-seconds of one worker over a full topic, traffic as it is and watched."""
    fill(stack.pipeline, stack.settings, "app-logs", events)
    ratios = []
    for pair in range(pairs):
        cost = {}
        for is_watched in (True, False) if pair % 2 else (False, True):
            notes = folder / f"notes-{pair}-{is_watched}"
            notes.mkdir()
            cost[is_watched] = _drain(stack, f"bench-{pair}-{is_watched}", Watched(notes) if is_watched else None)
        ratios.append(cost[True] / cost[False])
        say(f"pair {pair}: {1e6 * cost[False] / events:.2f} µs a record, watched {1e6 * cost[True] / events:.2f}")
    Console(highlight=False).print(
        f"CPU of a worker, watched / not: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


def _drain(stack: RunningStack, group: str, around: Watched | None) -> float:
    work = Work(
        pipeline=stack.pipeline.folder, settings=stack.settings.model_dump(), consumer="traffic", topic="app-logs",
        group=group, until_caught_up=True, contract=Contract(), around=around,
    )  # fmt: skip
    process = start_worker(work, 1)
    seen, cpu = psutil.Process(process.pid), 0.0
    while process.is_alive():
        try:
            times = seen.cpu_times()
            cpu = times.user + times.system
        except psutil.NoSuchProcess:
            break
        time.sleep(0.05)
    process.join()
    return cpu


def planted(stack: RunningStack, folder: Path) -> None:
    """Three runs without, three with; in turn."""
    scenario = folder / "planted.yaml"
    base = f"rate: {RATE}\nduration: {SECONDS}\nwarm_up: {WARM_UP}\njobs: false\nconsumer: burns\n"
    scenario.write_text(base + "timeline:\n  - {at: 0, slow_consumer: {factor: 1.2}}\n")
    plain = folder / "plain.yaml"
    plain.write_text(base)
    for number, kind in enumerate("abbaab"):
        chosen = plain if kind == "a" else scenario
        say(f"run {number + 1} of 6: {'planted' if kind == 'b' else 'as it is'}")
        load(stack, folder / kind / str(number), "--scenario", str(chosen))
    done = subprocess.run(
        stack.command("load", "compare", str(folder / "a"), str(folder / "b")), env=stack.environment, check=True,
        text=True, capture_output=True,
    )  # fmt: skip
    Console(highlight=False, width=200).print(done.stdout)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--only", choices=("slip", "watched", "planted"))
    arguments.add_argument("--seconds", type=int, default=60)
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument("--pairs", type=int, default=5)
    chosen = arguments.parse_args()
    steps: dict[str, Any] = {
        "slip": lambda stack, folder: slip(stack, folder, chosen.seconds),
        "watched": lambda stack, folder: watched(stack, folder, chosen.events, chosen.pairs),
        "planted": planted,
    }
    for name, step in steps.items():
        if chosen.only in (None, name):
            with tempfile.TemporaryDirectory() as own:
                pipeline = _pipeline(Path(own) / "pipeline")
                (Path(own) / "out").mkdir()
                with running_stack(pipeline.folder, Path(own) / "state", short_lived=False) as stack:
                    step(stack, Path(own) / "out")
    load_average = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    say(f"load average {load_average}; steal {psutil.cpu_times_percent().steal} %; {json.dumps(vars(chosen))}")


def _pipeline(target: Path) -> Pipeline:
    """Ours, with a consumer that works for a tenth of a millisecond."""
    for name in ("schemas", "producers", "flink_jobs", "consumers"):
        (target / name).mkdir(parents=True)
        for path in (ROOT / name).glob("*.*"):
            (target / name / path.name).write_bytes(path.read_bytes())
    (target / "consumers" / "burns.py").write_text(f'"""Works for a while."""\n{BURNS}')
    return Pipeline.load(target)


if __name__ == "__main__":
    main()
