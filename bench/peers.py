"""`make bench-peers`: the archive beside Quix Streams and beside a loop by hand (confluent-kafka, fastavro, pyarrow).

All read the same topic of Avro events with the same settings and write Parquet by the hour of event time, with where
each record came from. PII is left unmasked, since only ours would mask it. First what that costs: CPU-seconds of all
processes but the broker, in rounds that interleave, at two sizes, whose difference is free of start-up. Then what is
lost or doubled where the process is killed (-9), and what twenty kinds of poison do, counted in the files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.events import fill
from bench.jobs import MILLION, ROOT, make_topic, say
from bench.peer_costs import OURS, our_cost, peer_cost
from bench.peer_faults import KINDS, our_kills, our_poison, peer_kills, peer_poison, send_with_poison
from bench.peer_lake import compare, sent
from bench.peer_process import PEERS, SKIPPING
from shardlake.pipeline import FOLDERS
from shardlake.testing.stack import RunningStack, running_stack

CHECKPOINT_SECONDS = 5
"""Of ours, and how often the peers commit: our default, and Quix Streams'."""
FAULT_CHECKPOINT_SECONDS = 1
"""So that each life between two kills has some."""
TOPIC = "app-logs"
PARTS = ("costs", "kills", "poison")


def pipeline_without_pii(folder: Path) -> Path:
    """A copy of the pipeline whose schemas mark no field as PII."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder / "schemas").glob("*.avsc"):
        schema = json.loads(path.read_text())
        for field in schema["fields"]:
            field.pop("pii", None)
        path.write_text(json.dumps(schema))
    return folder


@contextmanager
def fresh_stack(folder: Path, name: str, checkpoint_seconds: float) -> Iterator[RunningStack]:
    """A stack of its own for one part of the bench."""
    pipeline = pipeline_without_pii(folder / name / "pipeline")
    with running_stack(
        pipeline, folder / name / "state", checkpoint_seconds=checkpoint_seconds, short_lived=False
    ) as stack:
        yield stack


def costs(folder: Path, sizes: list[int], rounds: int) -> list[dict[str, Any]]:
    """Every program over each size in each round, the next round in the other order."""
    samples: list[dict[str, Any]] = []
    with fresh_stack(folder, "costs", CHECKPOINT_SECONDS) as stack:
        for size in sizes:
            say(f"filling a topic with {size:,} events")
            make_topic(stack, f"bench-{size}")
            fill(stack.pipeline, stack.settings, f"bench-{size}", size)
        for number in range(rounds):
            for size in sizes:
                for peer in (None, *PEERS) if number % 2 == 0 else (*reversed(PEERS), None):
                    work = folder / f"cost{number}_{size}_{peer.folder if peer else 'ours'}"
                    if peer is None:
                        cost = our_cost(stack, f"bench-{size}", size)
                    else:
                        cost = peer_cost(stack, peer, f"bench-{size}", size, work)
                        shutil.rmtree(work)
                    name = peer.name if peer else OURS
                    load = os.getloadavg()[0]
                    samples.append({"round": number, "events": size, "name": name, "load": load, **cost})
                    say(f"{name:<13} {size:>10,} events: {cost['cpu_seconds']:6.1f} CPU-s, {cost['seconds']:5.1f} s")
    return samples


def kills(folder: Path, size: int) -> list[dict[str, Any]]:
    """Every program killed over the same topic."""
    samples = []
    with fresh_stack(folder, "kills", FAULT_CHECKPOINT_SECONDS) as stack:
        say(f"filling a topic with {size:,} events, for kills")
        fill(stack.pipeline, stack.settings, TOPIC, size)
        topic = sent(stack, TOPIC, values=False)
        for peer in (None, *PEERS):
            if peer is None:
                files, went = our_kills(stack, TOPIC)
            else:
                files, went = peer_kills(stack, peer, TOPIC, folder / f"kills_{peer.folder}")
            found = compare(topic, files)
            one = {"name": peer.name if peer else OURS, **went, **asdict(found), "unreadable": len(files.unreadable)}
            samples.append(one)
            say(f"killed: {one}")
    return samples


def poisoned(folder: Path, healthy: int) -> list[dict[str, Any]]:
    """Every program over the same topic of healthy records and poison; peers also with what they offer against it."""
    samples = []
    with fresh_stack(folder, "poison", FAULT_CHECKPOINT_SECONDS) as stack:
        say(f"filling a topic with {healthy:,} events and {len(KINDS)} kinds of poison")
        send_with_poison(stack, TOPIC, healthy)
        topic = sent(stack, TOPIC, values=True)
        for peer in (None, *PEERS, *SKIPPING):
            if peer is None:
                files, letters, how = our_poison(stack, TOPIC)
            else:
                place = folder / f"poison_{peer.folder}_{peer.skips_poison}"
                (files, how), letters = peer_poison(stack, peer, TOPIC, place), []
            found = compare(topic, files, letters)
            one = {"name": peer.name if peer else OURS, "process": how, **asdict(found)}
            samples.append(one)
            say(f"poison: {one}")
    return samples


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--millions", type=float, nargs=2, default=[0.5, 1.5], metavar=("SMALL", "LARGE"))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--kill-millions", type=float, default=1.5)
    arguments.add_argument("--healthy", type=int, default=200_000, help="records that poison is put among")
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments.add_argument("--json", type=Path, help="a file for the raw samples")
    chosen = arguments.parse_args()
    for peer in PEERS:
        say(f"{peer.name}: {peer.python.parent.parent.name}")
    sizes = [int(millions * MILLION) for millions in chosen.millions]
    load = os.getloadavg()[0]
    measured: dict[str, Any] = {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "load_before": load,
        "sizes": sizes,
        "healthy": chosen.healthy,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
            "costs": lambda: costs(folder, sizes, chosen.rounds),
            "kills": lambda: kills(folder, int(chosen.kill_millions * MILLION)),
            "poison": lambda: poisoned(folder, chosen.healthy),
        }
        for part in chosen.parts:
            measured[part] = parts[part]()
            if chosen.json:
                chosen.json.parent.mkdir(parents=True, exist_ok=True)
                chosen.json.write_text(json.dumps(measured, indent=1))
    report(measured, sizes, chosen.healthy)
    busy = ", ".join(f"{sample['load']:.1f}" for sample in measured.get("costs", []))
    say(f"load average before {load:.1f}, after each run {busy}; steal {psutil.cpu_times_percent().steal} %")


def report(measured: dict[str, Any], sizes: list[int], healthy: int) -> None:
    """One table, a column for each program: medians with the smallest and the largest, then the counts."""
    names = [OURS, *(peer.name for peer in (*PEERS, *SKIPPING))]
    table = Table("", *names, box=None)
    small, large = sizes

    def figures(name: str, size: int, key: str) -> list[float]:
        return [one[key] for one in measured.get("costs", []) if (one["name"], one["events"]) == (name, size)]

    def marginal(name: str, key: str) -> list[float]:
        pairs = zip(figures(name, large, key), figures(name, small, key), strict=True)
        return [(more - less) / (large - small) * MILLION for more, less in pairs]

    def spread(values: list[float], form: str = ".1f") -> str:
        if not values:
            return ""
        return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"

    def counts(part: str, key: str) -> list[str]:
        found = {one["name"]: one[key] for one in measured.get(part, [])}
        return [f"{found[name]:,}" if isinstance(found.get(name), int) else found.get(name, "") for name in names]

    millions, total = f"{large / MILLION:g} M", len(KINDS)
    table.add_row("CPU-s per million, marginal", *(spread(marginal(name, "cpu_seconds")) for name in names))
    with_start = {name: [cpu / large * MILLION for cpu in figures(name, large, "cpu_seconds")] for name in names}
    table.add_row(f"the same with start-up, {millions}", *(spread(with_start[name]) for name in names))
    table.add_row("the broker's, marginal", *(spread(marginal(name, "broker_cpu_seconds")) for name in names))
    table.add_row(
        f"seconds, {millions}, start-up included", *(spread(figures(n, large, "seconds"), ".0f") for n in names)
    )
    per_row = {name: [size / large for size in figures(name, large, "bytes")] for name in names}
    table.add_row("bytes a row", *(spread(per_row[name], ".0f") for name in names))
    table.add_row(f"files, {millions}", *(spread(figures(name, large, "files"), ".0f") for name in names))
    table.add_section()
    table.add_row("killed (-9), times", *counts("kills", "kills"))
    table.add_row("  records lost", *counts("kills", "lost"))
    table.add_row("  rows too many", *counts("kills", "twice"))
    table.add_row("  unreadable files, after kills", *counts("kills", "unreadable_after_kills"))
    table.add_row("  unreadable files, in the end", *counts("kills", "unreadable"))
    table.add_section()
    table.add_row(f"{total} poison among {healthy:,}: process", *counts("poison", "process"))
    table.add_row("  healthy records not in the files", *counts("poison", "lost"))
    table.add_row("  healthy rows with wrong values", *counts("poison", "wrong"))
    table.add_row("  poison as dead letters", *counts("poison", "poison_as_dead_letters"))
    table.add_row("  poison as rows of the lake", *counts("poison", "poison_as_rows"))
    table.add_row("  poison that is nowhere", *counts("poison", "poison_without_trace"))
    Console(highlight=False, width=160).print(table)


if __name__ == "__main__":
    main()
