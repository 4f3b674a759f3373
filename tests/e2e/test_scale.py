"""Workers as lag asks for: the demo of it, and a shard that is stuck, for which nobody is added."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shardlake import topics
from shardlake.testing.stack import free_port_base, running_stack
from tests.support import ROOT, Topic, copy_pipeline, event, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

STUCK = '''
"""Hangs at one record of its key, and takes its time with the others."""
import time

def process_record(record):
    time.sleep(0.002)
    if record.data["event_id"] == "event-60":
        time.sleep(1000)
'''


def test_the_demo_of_scaling_ends_with_the_sum(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "shardlake", "demo-scale", "--port-base", str(free_port_base())],
        cwd=ROOT,
        env={**os.environ, "SHARDLAKE_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for words in ("2 workers instead of 1", "3 workers instead of 2", "kill -9", "is started again"):
        assert words in done.stderr
    last = done.stdout.splitlines()[-1]
    _, _, seen, _, _, _, produced, _, _, breaks = last.split()
    assert seen == produced.rstrip(",")
    assert int(seen.replace(",", "")) > 25_000
    assert breaks == "0"


def test_a_stuck_shard_is_named_and_scales_nothing(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path / "pipeline", partitions=4)
    (folder / "consumers" / "stuck.py").write_text(STUCK)
    with running_stack(folder, tmp_path / "state") as stack:
        Topic(stack).send_events([event(number) for number in range(3000)])
        scaling = stack.start(
            "scale", "stuck", "--max-workers", "4", "--timeout", "0", "--drain-seconds", "20",
            "--cooldown-seconds", "4", "--stuck-seconds", "8", "--hold-seconds", "5",
        )  # fmt: skip
        servers = stack.settings.kafka_bootstrap_servers

        def left() -> int:
            ends, committed = topics.offsets(servers, "app-logs"), topics.committed(servers, "stuck", "app-logs")
            return sum(committed.get(number, 0) < end for number, (_, end) in ends.items())

        wait_for(lambda: left() == 1, 90, "all shards but the stuck one")
        assert scaling.stdout is not None
        lines: list[str] = []
        while not any("is stuck" in line for line in lines):
            lines.append(scaling.stdout.readline())
        held = json.loads(stack.shardlake("leases", "stuck", "--json"))
        assert [one["state"] for one in held] == ["held"] * 4
        assert len({one["owner"] for one in held}) == 1
        (behind,) = (one for one in held if one["behind"])
        assert behind["in_flight"] == behind["behind"]
        assert f"{behind['shard']} is stuck" in lines[-1]
        scaling.kill()  # the hung handler would be waited for
        scaling.communicate(timeout=30)
        assert not any("instead of 1" in line for line in lines), lines
        assert "There is no consumer group 'nobody'" in stack.shardlake("leases", "nobody", exit_code=2)
