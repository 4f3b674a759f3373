"""Runs of load as they are kept, made up."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram

from shardlake.load.result import (
    SAMPLES_FILE,
    Act,
    Capacities,
    Capacity,
    Handler,
    Latency,
    Probe,
    Result,
    Sample,
    Schedule,
    Slope,
    Usage,
)

ROLES = ("kafka", "registry", "jobmanager", "taskmanager", "s3", "producers", "consumers", "measuring")


def a_latency(values_us: Sequence[int], note: str = "made up", unknown: int = 0) -> Latency:
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for value in values_us:
        histogram.record_value(value)
    ordered = sorted(values_us)

    def at(share: float) -> float:
        return ordered[math.ceil(share * len(ordered)) - 1] / 1000 if ordered else 0.0

    return Latency(
        count=len(values_us), unknown=unknown, p50_ms=at(0.5), p90_ms=at(0.9), p99_ms=at(0.99), p999_ms=at(0.999),
        max_ms=at(1), histogram=histogram.encode().decode(), note=note,
    )  # fmt: skip


def some_us(middle_ms: float, count: int = 2000, seed: int = 1) -> list[int]:
    drawn = random.Random(seed)
    return [max(1, int(1000 * middle_ms * drawn.lognormvariate(0, 0.6))) for _ in range(count)]


def a_slope(group: str = "traffic", conclusion: str = "holds", **values: float) -> Slope:
    found = {"records_per_second": 3.2, "low": -0.9, "high": 7.3, "share": 0.0016, "mean_lag": 420.0, "max_lag": 910.0}
    return Slope(group=group, conclusion=conclusion, **{**found, **values})


def a_result(**changed: Any) -> Result:
    whole = Result(
        command="shardlake load --scenario burst.yaml --report out/001",
        began="2026-11-26T16:40:27+00:00",
        seconds=120.0,
        warm_up_seconds=30.0,
        events=240_000,
        acknowledged=239_998,
        failed=0,
        unknown=2,
        bytes_per_event=312.4,
        machine={"cpu": "x86-64", "cores": 2, "load": {"before": 0.41}},
        versions={"shardlake": "0.1.0", "kafka": "4.4.0"},
        settings={"scenario": {"rate": 2000, "duration": 120, "seed": 1, "timeline": []}, "partitions": 4},
        schedule=Schedule(
            slip=a_latency(some_us(0.3, seed=5), "handed over, after the intended time"),
            offered_per_second=2000.0, reached_per_second=1999.2, kept=True, why="",
        ),
        latencies={
            "acknowledged": a_latency(some_us(4, seed=2), "the broker's answer"),
            "consumed": a_latency(some_us(35, seed=3), "the end of the call that had it", unknown=7),
            "visible in the lake": a_latency(some_us(6200, seed=4), "asked once a second"),
        },
        lag=[a_slope("archive", conclusion="holds", mean_lag=10_050.0), a_slope("traffic")],
        usage=[
            Usage(role=role, processes=1 + (role == "consumers"), cpu_seconds=9.0 + place,
                  cpu_us_per_event=50.0 + place, max_memory_mb=200.0 + 50 * place)
            for place, role in enumerate(ROLES)
        ],
        handlers=[Handler(consumer="traffic", records=180_000, us_per_record=21.5)],
        acts=[
            Act(at_seconds=40.0, name="burst (factor 5, for 10)", said="10,000 events a second"),
            Act(at_seconds=80.0, name="restart_broker (down 1)", said="answers again after 2.1 s"),
        ],
        verified="holds",
    )  # fmt: skip
    return replace(whole, **changed)


def some_samples(seconds: int = 120, groups: Sequence[str] = ("archive", "traffic"), shards: int = 4) -> list[Sample]:
    drawn = random.Random(7)
    return [
        Sample(
            at_seconds=float(at), sent=2000 + drawn.randrange(-60, 60) + 8000 * (40 <= at < 50),
            lag={
                group: {
                    f"app-logs-{shard}": (at % 10) * 500 + drawn.randrange(40) if group == "archive"
                    else drawn.randrange(90, 130) + 4 * max(0, 60 - at) * (at > 40)
                    for shard in range(shards)
                }
                for group in groups
            },
            cpu_seconds={role: 0.05 + 0.03 * place + drawn.random() / 20 for place, role in enumerate(ROLES)},
            memory_mb={role: 200.0 + 50 * place + at / 10 for place, role in enumerate(ROLES)},
        )
        for at in range(1, seconds + 1)
    ]  # fmt: skip


def keep(folder: Path, result: Result, samples: Sequence[Sample] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    result.write(folder)
    (folder / SAMPLES_FILE).write_text("".join(json.dumps(asdict(sample)) + "\n" for sample in samples))
    return folder


def a_capacity(count: int, rate: float, name: str = "traffic", kind: str = "consumers", **changed: Any) -> Capacity:
    found = Capacity(
        kind=kind, name=name, count=count, rate=rate, bounds=(rate, 1.05 * rate), limit="lag", confirmed=5, repeats=5,
        cpu_us_per_event=180.0, verified="holds",
        probes=[
            Probe(rate=rate, slope=a_slope(), reached_per_second=rate - 1, slip_p99_ms=0.8, conclusion="holds"),
            Probe(rate=1.05 * rate, slope=a_slope(conclusion="grows", records_per_second=61.25, low=55.5, high=67.0,
                  share=0.0291), reached_per_second=1.05 * rate, slip_p99_ms=1.1, conclusion="grows"),
            Probe(rate=2 * rate, slope=None, reached_per_second=1.4 * rate, slip_p99_ms=812.0,
                  conclusion="not offered"),
        ],
    )  # fmt: skip
    return replace(found, **changed)


def some_capacities(**changed: Any) -> Capacities:
    found = Capacities(
        command="shardlake load --find-max --report out/max",
        began="2026-11-26T17:00:00+00:00",
        machine={"cores": 2},
        versions={"kafka": "4.4.0"},
        settings={"repeats": 5},
        found=[
            a_capacity(1, 2100.0), a_capacity(2, 4000.0), a_capacity(4, 6300.0),
            a_capacity(1, 900.0, "enrich"), a_capacity(2, 1750.0, "enrich"), a_capacity(4, 3400.0, "enrich"),
            a_capacity(1, 90_000.0, "archive", "jobs"), a_capacity(2, 150_000.0, "archive", "jobs"),
            a_capacity(1, 120_000.0, "synthetic", "producers", limit="the load itself"),
        ],
    )  # fmt: skip
    return replace(found, **changed)
