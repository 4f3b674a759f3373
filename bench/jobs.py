"""`make bench-jobs`: what archive and service_health cost with our decoder and with Flink's own `avro-confluent`.

Both read the same topics to their end on the same stack with the same settings, in interleaved pairs, each run on a
task manager of its own. The cost is the CPU-seconds of broker, job manager and task manager. Two sizes, so that
start-up cancels in the difference: marginal CPU-seconds per million events.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
from rich.console import Console
from rich.table import Table

from bench.events import fill
from bench.samples import write
from shardlake.flink.cluster import Cluster
from shardlake.lake.accounting import rows_by_partition
from shardlake.pipeline import Pipeline
from shardlake.storage import remove
from shardlake.testing.stack import RunningStack, running_stack

ROOT = Path(__file__).parents[1]
MILLION = 1_000_000
JOBS = ("archive", "service_health")
say = Console(stderr=True, highlight=False).print


def plain(statement: str) -> str:
    """The same tables with Flink's own format: no dead letters, and times without a zone, which is all that it
    reads."""
    if statement.startswith("CREATE TABLE decoded."):
        for column in (
            "error STRING METADATA FROM 'value.error' VIRTUAL, ",
            "error_message STRING METADATA FROM 'value.error_message' VIRTUAL, ",
            "raw_value BYTES METADATA FROM 'value.raw' VIRTUAL, ",
        ):
            assert column in statement
            statement = statement.replace(column, "")
        for name in ("event_id", "service"):
            statement = statement.replace(f"`{name}` STRING", f"`{name}` STRING NOT NULL")
        fields, watermark = statement.split("WATERMARK FOR ", 1)
        fields = fields.replace("`event_time` TIMESTAMP_LTZ(3)", "`event_time` TIMESTAMP(3)")
        columns, options = watermark.split(") WITH (", 1)
        columns = columns.replace("`event_time`", "`event_moment`")
        computed = "`event_moment` AS CAST(`event_time` AS TIMESTAMP_LTZ(3)), "
        statement = f"{fields}{computed}WATERMARK FOR {columns}) WITH ({options}"
        return statement.replace("avro-dead-letter", "avro-confluent")
    if statement.startswith("CREATE TEMPORARY VIEW"):
        head, tail = statement.split(" FROM ", 1)
        head = head.replace("`event_time`", "`event_moment` AS `event_time`")
        tail = tail.replace("error IS NULL AND ", "").replace("`event_time`", "`event_moment`")
        return f"{head} FROM {tail}"
    return statement


def run(
    stack: RunningStack, topic: str, count: int, *, ours: bool = True, jobs: Sequence[str] = JOBS
) -> dict[str, float]:
    """One run over a topic to its end; CPU-seconds and wall seconds. Exits where rows are missing."""
    remove(stack.settings.lake)
    stack.settings.lake.mkdir()
    stack.stack.restart("taskmanager")
    while not stack.stack.servers["taskmanager"].is_ready():
        time.sleep(0.1)
    before, began = _cpu(stack), time.monotonic()
    submit(stack, topic, ours=ours, jobs=jobs)
    await_finished(stack)
    cost = {"cpu_seconds": _cpu(stack) - before, "seconds": time.monotonic() - began}
    rows = sum(rows.distinct for rows in rows_by_partition(stack.settings.lake, "app_logs").values())
    if rows != count:
        sys.exit(f"{rows} rows of {count} are in the lake")
    return cost


def submit(stack: RunningStack, topic: str, *, ours: bool = True, jobs: Sequence[str] = JOBS) -> float:
    """Start the jobs over a topic up to its present end; CPU-seconds of the client. Exits where they do not start."""
    environment = {"BENCH_TOPIC": topic, "BENCH_OURS": str(int(ours)), "BENCH_JOBS": ",".join(jobs)}
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # the client's JVM needs an environment of its own
        os.environ.update(environment)
        _submit(stack)
        client = psutil.Process()
        times = [one.cpu_times() for one in (client, *client.children(recursive=True))]
        os.write(writer, json.dumps(sum(one.user + one.system for one in times)).encode())
        os._exit(0)
    os.close(writer)
    if os.waitpid(pid, 0)[1]:
        sys.exit("the jobs could not be started")
    with os.fdopen(reader) as answer:
        return float(answer.read(64))


def await_finished(stack: RunningStack) -> None:
    """Wait for the end of the jobs that were started last. Exits where they fail."""
    cluster = Cluster(stack.settings.flink_rest_url)
    job_id = cluster.jobs()[0].job_id
    while (state := cluster.state(job_id)) not in ("FINISHED", "FAILED", "CANCELED"):
        time.sleep(0.2)
    if state != "FINISHED":
        sys.exit(f"the jobs {state}: {cluster.exception(job_id)}")


def _submit(stack: RunningStack) -> None:
    """Run as the client: the application's own code, over another topic, bounded, with either format."""
    from shardlake.flink import application, inserts
    from shardlake.flink.job import Tables
    from shardlake.flink.submit import REMOTE
    from shardlake.flink.tables import table_definitions
    from shardlake.planner import planning_environment

    os.environ.update({**planning_environment(), **REMOTE})
    ours, topic = os.environ["BENCH_OURS"] == "1", os.environ["BENCH_TOPIC"]
    chosen: dict[str, dict[str, str]] = {job: {} for job in os.environ["BENCH_JOBS"].split(",")}

    def bounded(*arguments: Any) -> Iterator[str]:
        for statement in table_definitions(*arguments):
            changed = statement if ours else plain(statement)
            yield changed.replace("'topic' = 'app-logs'", f"'topic' = '{topic}', 'scan.bounded.mode' = 'latest-offset'")

    def without_dead_letters(environment: Any, pipeline: Pipeline, jobs: Sequence[str]) -> list[Any]:
        tables = Tables(environment, pipeline)
        return [(job, insert) for job in jobs for insert in pipeline.load_module("flink_jobs", job).build(tables)]

    changes: dict[str, Any] = {"table_definitions": bounded} | ({} if ours else {"built": without_dead_letters})
    with patch.multiple(inserts, **changes):
        environment, compiled, _ = application.application(stack.pipeline, stack.settings, chosen)
    inserts.execute(environment, compiled)


def _cpu(stack: RunningStack) -> float:
    """Of the servers, and of the Python workers that have ended, which are the task manager's children."""
    times = [psutil.Process(server.pid).cpu_times() for server in stack.stack.servers.values()]
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)


def main() -> None:
    """Measure and print; raw samples go to a file."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--millions", type=float, nargs=2, default=[2, 8], metavar=("SMALL", "LARGE"))
    arguments.add_argument("--pairs", type=int, default=3)
    arguments.add_argument("--out", type=Path, default=ROOT / "bench-out" / "jobs.json")
    chosen = arguments.parse_args()
    sizes = [int(millions * MILLION) for millions in chosen.millions]
    samples: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as state,
        running_stack(ROOT, Path(state), checkpoint_seconds=10, short_lived=False) as stack,
    ):
        for size in sizes:
            say(f"filling a topic with {size:,} events")
            make_topic(stack, f"bench-{size}")
            fill(stack.pipeline, stack.settings, f"bench-{size}", size)
        say("a run of each to warm up, not counted")
        for ours in (True, False):
            run(stack, f"bench-{sizes[0]}", sizes[0], ours=ours)
        for pair in range(chosen.pairs):
            for size in sizes:
                for ours in (True, False) if pair % 2 == 0 else (False, True):
                    cost = run(stack, f"bench-{size}", size, ours=ours)
                    samples.append({"pair": pair, "events": size, "ours": ours, **cost})
                    name = "avro-dead-letter" if ours else "avro-confluent"
                    say(f"{name:<17} {size:>10,} events: {cost['cpu_seconds']:6.1f} CPU-s, {cost['seconds']:5.1f} s")
    write(chosen.out, samples)
    report(samples, sizes)


def report(samples: list[dict[str, Any]], sizes: list[int]) -> None:
    """Medians of the pairs, smallest and largest beside them."""

    def cpu(pair: int, size: int, ours: bool) -> float:
        costs = [s["cpu_seconds"] for s in samples if (s["pair"], s["events"], s["ours"]) == (pair, size, ours)]
        return float(costs[0])

    pairs = sorted({sample["pair"] for sample in samples})
    small, large = sizes
    table = Table("figure", "median", "smallest", "largest", box=None)

    def row(name: str, values: list[float]) -> None:
        table.add_row(name, f"{statistics.median(values):.2f}", f"{min(values):.2f}", f"{max(values):.2f}")

    for size in sizes:
        ratios = [cpu(pair, size, True) / cpu(pair, size, False) for pair in pairs]
        row(f"CPU-seconds, ours / avro-confluent, {size / MILLION:g} M events", ratios)
    for ours in (True, False):
        name = "ours" if ours else "avro-confluent"
        marginal = [(cpu(p, large, ours) - cpu(p, small, ours)) / (large - small) * MILLION for p in pairs]
        row(f"marginal CPU-s per million, {name}", marginal)
        with_start = [cpu(p, large, ours) / large * MILLION for p in pairs]
        row(f"CPU-s per million with start-up, {large / MILLION:g} M, {name}", with_start)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    Console(highlight=False, width=100).print(table)
    say(f"load average {load}; steal {psutil.cpu_times_percent().steal} %")


def make_topic(stack: RunningStack, name: str) -> None:
    """As the pipeline's topic of events."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": stack.settings.kafka_bootstrap_servers})
    config = {"message.timestamp.type": "LogAppendTime"}
    partitions = Pipeline.load(ROOT).events_topic.partitions
    for future in admin.create_topics([NewTopic(name, num_partitions=partitions, config=config)]).values():
        future.result()


if __name__ == "__main__":
    main()
