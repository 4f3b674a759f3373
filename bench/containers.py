"""From a broker's acknowledgement to a file that readers see: containers and S3 beside the local stack and files.

Both in one run, with the same jobs, load and checkpoint interval. Then a broker of three is killed under load.

    make bench-containers
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from shardlake.lake.accounting import account
from shardlake.lake.query import connect
from shardlake.lake.sql import quoted
from shardlake.lake.tables import VISIBLE, lake_tables
from shardlake.stack.containers import containers, memory_bytes
from shardlake.storage import Folder, find
from shardlake.testing.containers import RunningContainers, running_containers
from shardlake.testing.running import Running
from shardlake.testing.stack import running_stack

ROOT = Path(__file__).parents[1]
CHECKPOINT_SECONDS = 2.0
RATE, SECONDS = 200, 60
POLL_SECONDS = 0.1


class Watch(threading.Thread):
    """When each file of a table was seen first, in seconds since 1970."""

    def __init__(self, table: Folder) -> None:
        super().__init__(daemon=True)
        self._table = table
        self.seen: dict[str, float] = {}
        self.ended = threading.Event()

    def run(self) -> None:
        """Until it is told to end."""
        while not self.ended.wait(POLL_SECONDS):
            for file in find(self._table, VISIBLE):
                self.seen.setdefault(str(file.path), time.time())


def latencies(stack: Running) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds from a row's arrival in the topic until its file was seen, for all rows of a load."""
    topic = stack.pipeline.events_topic
    stack.shardlake("jobs", "run")
    watch = Watch(stack.settings.lake / str(topic.lake_table))
    watch.start()
    stack.shardlake("produce", "--synthetic", "--rate", str(RATE), "--duration", str(SECONDS))
    time.sleep(4 * CHECKPOINT_SECONDS)
    watch.ended.set()
    watch.join()
    connection = connect(lake_tables(stack.settings.lake, stack.pipeline))
    names = ", ".join(quoted(name) for name in watch.seen)
    rows = connection.execute(
        f"SELECT filename, epoch(arrival_time) FROM read_parquet([{names}], filename = true)"
    ).fetchall()
    assert len(rows) == RATE * SECONDS, f"{len(rows)} rows"
    return np.array([watch.seen[name] - arrival for name, arrival in rows])


def broker_killed(stack: RunningContainers) -> dict[str, float]:
    """A broker of three killed under load: what was acknowledged, lost, and how long no event came."""
    topic, servers = stack.pipeline.events_topic, stack.settings.kafka_bootstrap_servers
    began = time.time()
    producing = stack.start("produce", "--synthetic", "--rate", "300", "--duration", "40", "--seed", "9", "--json")
    time.sleep(15)
    stack.kill("kafka-1")
    time.sleep(10)
    stack.start_again("kafka-1")
    output, _ = producing.communicate(timeout=180)
    deadline = time.monotonic() + 60
    while not all(one.holds for one in account(servers, topic, stack.settings.lake)) and time.monotonic() < deadline:
        time.sleep(1)
    accounts = account(servers, topic, stack.settings.lake)
    rows = connect(lake_tables(stack.settings.lake, stack.pipeline)).execute(
        f'SELECT "partition", epoch(arrival_time) FROM {topic.lake_table} '
        f"WHERE arrival_time >= to_timestamp({began}) ORDER BY ALL"
    )
    gaps = [b - a for (p, a), (q, b) in pairwise(rows.fetchall()) if p == q]
    summary = json.loads(output[output.index("{") :])
    return {
        "sent": summary["sent"],
        "acknowledged": summary["acknowledged"],
        "lost": sum(one.difference for one in accounts),
        "doubled": sum(one.doubled for one in accounts),
        "longest_stall_seconds": max(gaps),
    }


def main() -> None:
    """Print it all, a line a figure."""
    with tempfile.TemporaryDirectory() as folder:
        with running_stack(
            ROOT, Path(folder) / "local", checkpoint_seconds=CHECKPOINT_SECONDS, short_lived=False
        ) as local:
            _show("local stack, files", latencies(local))
        began = time.monotonic()
        with running_containers(ROOT, Path(folder) / "compose", checkpoint_seconds=CHECKPOINT_SECONDS) as compose:
            print(f"containers with topics and schemas after {time.monotonic() - began:.1f} s")
            project = compose.variables["COMPOSE_PROJECT_NAME"]
            names = {one.name: one.service for one in containers(ROOT, project)}
            for name, memory in sorted(memory_bytes(list(names)).items()):
                print(f"  {names[name]:<14} {memory}")
            _show("containers, S3", latencies(compose))
            for what, value in broker_killed(compose).items():
                print(f"a broker killed: {what} {value:,.1f}")


def _show(name: str, seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    p50, p99 = np.percentile(seconds, [50, 99])
    print(f"{name:<20} topic to lake: p50 {p50:.2f} s, p99 {p99:.2f} s, {len(seconds):,} rows")


if __name__ == "__main__":
    main()
