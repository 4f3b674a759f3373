"""`make bench-verify`: a run of millions of events verified, beside one scan of the same files by DuckDB.

The events are sent by real producers with ledgers, and archived and windowed by the real jobs. Reading the topic again
is measured by itself; then scan and check alternate, over the same files: the lake's and those of what was read again.
The scan counts the values of every column.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import psutil
from rich.console import Console
from rich.table import Table

from bench.samples import write
from shardlake import pii
from shardlake.cli.lake import countings
from shardlake.flink.resume import ended_at
from shardlake.folders import running_stack as described
from shardlake.lake.evidence import Evidence, collect
from shardlake.lake.masks import Masks
from shardlake.lake.source import Source
from shardlake.lake.tables import LakeTable, lake_tables
from shardlake.lake.verdict import Verdict
from shardlake.lake.verify import Jobs, verify
from shardlake.testing.stack import RunningStack, running_stack

ROOT = Path(__file__).parents[1]
MILLION = 1_000_000
PRODUCERS = 2
RATE = 60_000
"""Of each producer; what it cannot reach only takes longer."""
JOBS = ("archive", "service_health", "sessions")
say = Console(stderr=True, highlight=False).print


def fill(stack: RunningStack, run: Path, events: int) -> None:
    """Send the events, with ledgers, and let the jobs work them off."""
    stack.shardlake("jobs", "run", *JOBS)
    seconds = str(events / PRODUCERS / RATE)
    producers = [
        stack.start(
            "produce", "--synthetic", "--rate", str(RATE), "--duration", seconds, "--seed", str(seed),
            "--poison", "500", "--ledger", str(run),
        )
        for seed in range(PRODUCERS)
    ]  # fmt: skip
    for producer in producers:
        told = producer.communicate()[0]
        if producer.returncode:
            sys.exit(told)
    finish = subprocess.run(
        stack.command("jobs", "finish", "--timeout", "1200"), env=stack.environment, capture_output=True, check=False
    )
    if finish.returncode:
        sys.exit(finish.stderr.decode())


def scan(evidence: Evidence, tables: list[LakeTable]) -> float:
    """Seconds that DuckDB takes to count the values of every column of the files."""
    began = time.monotonic()
    connection = duckdb.connect(config={"threads": 2})
    for files in (
        [str(file) for file in tables[0].files()], [evidence.topic_files], [evidence.dead_letter_files],
        *([str(file) for file in table.files()] for table in tables[1:]),
    ):  # fmt: skip
        if files:
            connection.execute("SELECT count(COLUMNS(*)) FROM read_parquet(?)", [files]).fetchall()
    return time.monotonic() - began


def check(stack: RunningStack, evidence: Evidence, run: Path) -> Verdict:
    """The checks of `shardlake verify` without its reading of the topic."""
    pipeline, lake = stack.pipeline, stack.settings.lake
    source = Source(pipeline.events_topic, evidence, (run,))
    return verify(pipeline, lake, lake_tables(lake, pipeline), [source], Jobs(countings(pipeline, [])), None)


def main() -> None:
    """Measure and print; raw samples go to a file."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--millions", type=float, default=10)
    arguments.add_argument("--pairs", type=int, default=3)
    arguments.add_argument("--out", type=Path, default=ROOT / "bench-out" / "verify.json")
    chosen = arguments.parse_args()
    samples: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(ROOT, Path(folder) / "state", short_lived=False) as stack,
    ):
        run = Path(folder) / "run"
        say(f"sending and archiving {chosen.millions:g} M events")
        began = time.monotonic()
        fill(stack, run, int(chosen.millions * MILLION))
        say(f"done after {time.monotonic() - began:.0f} s")
        topic, keys = stack.pipeline.events_topic, pii.known_keys(os.environ, described(stack.stack.state))
        masks = Masks(stack.pipeline.schema_of(topic), keys)
        covered = ended_at(Path(stack.settings.jobs_folder), topic.name)
        evidence = collect(stack.settings, stack.pipeline, topic, run / "evidence", masks, covered=covered, say=say)
        records = sum(evidence.end.values())
        say(f"read again: {records:,} records in {evidence.seconds:.1f} s, {records / evidence.seconds:,.0f}/s")
        tables = lake_tables(stack.settings.lake, stack.pipeline)
        for pair in range(chosen.pairs + 1):
            scanned = scan(evidence, tables)
            verdict = check(stack, evidence, run)
            if verdict.conclusion != "holds":
                sys.exit(json.dumps(verdict.as_json()))
            say(f"scan {scanned:.2f} s; checks {verdict.seconds}")
            if pair:  # the first warms up
                samples.append({"scan": scanned, **verdict.seconds, "load_average": os.getloadavg()[0]})
    write(chosen.out, samples, records=records, read_again_seconds=evidence.seconds)
    report(samples, records, evidence.seconds)


def report(samples: list[dict[str, Any]], records: int, read_seconds: float) -> None:
    """Medians, smallest and largest beside them."""
    table = Table("figure", "median", "smallest", "largest", box=None)

    def row(name: str, values: list[float], form: str = ".2f") -> None:
        table.add_row(name, *(f"{value:{form}}" for value in (statistics.median(values), min(values), max(values))))

    checks = [sum(one[name] for name in ("files", "ledger", "lake", "windows")) for one in samples]
    places = [one["files"] + one["ledger"] + one["lake"] for one in samples]
    scans = [one["scan"] for one in samples]
    row("scan, s", scans)
    for name in ("ledger", "lake", "windows"):
        row(f"check: {name}, s", [one[name] for one in samples])
    row("all checks, s", checks)
    row("all checks, records/s", [records / seconds for seconds in checks], ",.0f")
    row("speed of the checks without windows / scan", [b / a for a, b in zip(places, scans, strict=True)])
    row("speed of all checks / scan", [b / a for a, b in zip(checks, scans, strict=True)])
    row("reading the topic again, s", [read_seconds])
    row("reading again and all checks, s", [read_seconds + one for one in checks])
    Console(highlight=False, width=110).print(table)
    say(f"{records:,} records; load average {os.getloadavg()[0]:.1f}; steal {psutil.cpu_times_percent().steal} %")


if __name__ == "__main__":
    main()
