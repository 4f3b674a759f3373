"""A disk that is full under the lake, the checkpoints, the broker: named as the cause, and nothing lost or doubled."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.stack.stack import Stack
from shardlake.testing.stack import RunningStack, free_port_base
from tests.e2e.lake import all_accounted_for, has_rows
from tests.support import PATIENCE_SECONDS, ROOT, Topic, event, small_disk, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BLOCK = b"x" * 65_536


def fill(folder: Path) -> Path:
    """A file that takes all the space that is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(BLOCK)
        except OSError:
            return ballast


def amiss(stack: RunningStack, check: str) -> str:
    """What the doctor says of a check, '' where it is all right or not looked at."""
    done = subprocess.run(
        stack.command("doctor", "--json"),
        capture_output=True,
        text=True,
        env=stack.environment,
        check=False,
    )
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    return " ".join(f"{one['found']} → {one['fix']}" for one in findings if one["check"] == check and not one["ok"])


@contextmanager
def launched(stack: RunningStack, output: Path) -> Iterator[None]:
    """`shardlake up --data` in the foreground, stopped at the end; what it says is added to `output`."""
    arguments = ["up", "--port-base", str(stack.stack.ports.kafka - 2), "--data", str(stack.stack.data)]
    with output.open("ab") as file:
        launcher = subprocess.Popen(stack.command(*arguments), stdout=file, stderr=file, env=stack.environment)

    def is_ready() -> bool:
        try:
            return bool(json.loads((stack.stack.state / "stack.json").read_text())["provisioned"])
        except FileNotFoundError:
            assert launcher.poll() is None, output.read_text()
            return False

    try:
        wait_for(is_ready, "a stack that is ready")
        yield
    finally:
        launcher.terminate()
        launcher.wait(PATIENCE_SECONDS)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RunningStack]:
    """A stack that is yet to be launched, its lake, checkpoints and broker on small disks."""
    data = tmp_path / "data"
    with small_disk(data / "lake", 16), small_disk(data / "jobs", 16), small_disk(data / "kafka", 64):
        stack = Stack(tmp_path / "state", port_base=free_port_base(), data=data)
        yield RunningStack(Pipeline.load(ROOT), Settings.read(**stack.settings, checkpoint_seconds=1), stack, 2)


def test_full_disks_lose_and_double_nothing(stack: RunningStack, tmp_path: Path) -> None:
    data, output = stack.stack.data, tmp_path / "launcher.log"
    with launched(stack, output):
        topic = Topic(stack)
        stack.shardlake("jobs", "run")
        topic.send_events([event(number) for number in range(200)])
        wait_for(has_rows(stack, 200), "the first rows")

        ballast = fill(data / "lake")
        topic.send_events([event(number) for number in range(200, 400)])
        said = wait_for(lambda: amiss(stack, "jobs"), "jobs that cannot write the lake")
        assert "No space left on device" in said
        assert "full: no space left at" in amiss(stack, "disk of the lake")
        ballast.unlink()
        wait_for(has_rows(stack, 400), "the rows after space was made in the lake")

        ballast = fill(data / "jobs")
        topic.send_events([event(number) for number in range(400, 600)])
        said = wait_for(lambda: amiss(stack, "checkpoints"), "checkpoints that cannot be written")
        assert "full: no space left at" in amiss(stack, "disk of the checkpoints")
        ballast.unlink()
        wait_for(has_rows(stack, 600), "the rows after space was made for checkpoints")

        producer = stack.start("produce", "--synthetic", "--rate", "1000", "--duration", "10")
        wait_for(has_rows(stack, 601), "the producer's first rows")
        ballast = fill(data / "kafka")
        wait_for(lambda: "kafka is down" in output.read_text(), "the launcher's word of the broker")
        assert "No space left on device" in output.read_text()
        for said in (stack.shardlake("status", exit_code=3), amiss(stack, "kafka")):
            assert "exit code 1: No space left on device" in said
            assert "Free some space" in said
        ballast.unlink()
    with launched(stack, output):
        assert "resumed from" in stack.shardlake("jobs", "run")
        told = producer.communicate(timeout=PATIENCE_SECONDS)[0]
        assert producer.returncode == 0, told
        stack.shardlake("jobs", "finish")
        assert all_accounted_for(stack)
        assert has_rows(stack, 10_600)()
