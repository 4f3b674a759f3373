"""Loads without jobs that are cut short, cannot be offered, or must not begin: what was sent is told, and kept."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from shardlake import ledger, topics
from shardlake.load.result import Result, read_samples
from shardlake.testing.stack import RunningStack
from tests.e2e.loading import load
from tests.support import PATIENCE_SECONDS, ROOT, small_disk, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]


@pytest.fixture(scope="module")
def empty(shardlake_stack: RunningStack) -> RunningStack:
    """A stack without jobs. Each load has a group of consumers and a report of its own."""
    return shardlake_stack.emptied(ROOT)


class Begun:
    """A load of 100 events a second without the jobs that is under way, five seconds old."""

    def __init__(self, stack: RunningStack, folder: Path, *arguments: str) -> None:
        self.folder = folder
        fixed = ("load", "--rate", "100", "--warm-up", "1", "--no-jobs", "--report", str(folder))
        self.process = subprocess.Popen(
            stack.command(*fixed, *arguments), env=stack.environment, text=True, stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        samples = folder / "samples.jsonl"
        wait_for(lambda: samples.exists() and samples.read_text().count("\n") > 5, "five seconds of load")

    def kill(self, that_writes: str) -> None:
        """The child that has a file of this name's end open is killed."""
        for child in psutil.Process(self.process.pid).children():
            files = [Path(file.path) for file in child.open_files()]
            if any(self.folder in file.parents and file.name.endswith(that_writes) for file in files):
                child.kill()
                return
        raise AssertionError(f"nobody writes {that_writes}")

    def end(self) -> tuple[int, str, Result]:
        """Its exit code, what it said, and what it left."""
        _, said = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, said, Result.read(self.folder)


def test_ctrl_c_leaves_a_partial_report_marked_so(empty: RunningStack, tmp_path: Path) -> None:
    begun = Begun(empty, tmp_path / "out", "--duration", "600")
    wait_for(lambda: sum(one.stat().st_size for one in begun.folder.glob("*.rows")), "records that were handled")
    begun.process.send_signal(signal.SIGINT)
    code, said, result = begun.end()
    assert code == 130, said
    assert result.partial.startswith("interrupted")
    assert 0 < result.events == result.acknowledged < 60_000
    assert result.latencies["consumed"].count > 0
    assert result.verified == "not checked"
    assert "partial" in (begun.folder / "report.md").read_text().lower()


def test_ctrl_c_after_the_load_keeps_what_was_sent(empty: RunningStack, tmp_path: Path) -> None:
    scenario = tmp_path / "slow.yaml"
    scenario.write_text("rate: 100\ntimeline:\n  - {at: 0, slow_consumer: {wait_us: 100000, for: 3600}}\n")
    begun = Begun(empty, tmp_path / "out", "--duration", "8", "--scenario", str(scenario))
    assert begun.process.stderr is not None
    while "the load is over" not in begun.process.stderr.readline():
        assert begun.process.poll() is None
    begun.process.send_signal(signal.SIGINT)
    code, said, result = begun.end()
    assert code == 130, said
    assert result.partial == "interrupted before all that was sent was read"
    assert (result.events, result.acknowledged, result.unknown) == (800, 800, 0)
    assert 0 < result.latencies["consumed"].count < 700  # a worker that waits 100 ms for each has read a tenth


def test_a_worker_that_is_killed_is_told_and_no_event_is_missed(empty: RunningStack, tmp_path: Path) -> None:
    begun = Begun(empty, tmp_path / "out", "--duration", "14")
    begun.kill("workers.log")
    code, said, result = begun.end()
    assert code == 1
    assert result.partial.startswith("worker 1 has ended: killed by SIGKILL")
    assert "load.traffic has not caught up, and is waited for no longer" in said
    assert read_samples(begun.folder)[-1].at_seconds < 50  # for a reader that lives it would be 88 s
    assert (result.events, result.acknowledged, result.verified) == (1400, 1400, "holds")
    consumed = result.latencies["consumed"]
    assert consumed.count + consumed.unknown == 1300
    assert consumed.unknown > 0


def test_a_producer_that_is_killed_is_told_and_its_ledger_stays(empty: RunningStack, tmp_path: Path) -> None:
    begun = Begun(empty, tmp_path / "out", "--duration", "600")
    begun.kill(".ledger")
    code, said, result = begun.end()
    assert code == 1, said
    assert "A producer of the load has died (exit code -9)" in result.partial
    assert result.verified == "not checked"
    assert list(begun.folder.glob("*.ledger"))


def test_a_full_disk_under_the_report_is_named_and_no_sent_event_is_without_its_line(
    empty: RunningStack, tmp_path: Path
) -> None:
    folder = tmp_path / "disk"
    servers = empty.settings.kafka_bootstrap_servers
    before = {partition: end for partition, (_, end) in topics.offsets(servers, "app-logs").items()}
    with small_disk(folder, 1):
        report = folder / "out"
        alone = ("--no-jobs", "--workers", "0", "--report", str(report))
        process = load(empty, "--rate", "2000", "--duration", "30", *alone)
        assert process.returncode == 3, process.stderr
        assert f"The disk is full: {report}" in process.stderr
        (found,) = ledger.of_run(report)
    sent = [ledger.digest(message.key(), message.value()) for message in topics.read(servers, "app-logs", before)]
    assert 0 < len(sent) < 2000 * 30
    assert set(sent) <= set(found.digests.tolist())


def test_what_cannot_be_is_refused_before_anything_is_sent(empty: RunningStack, tmp_path: Path) -> None:
    stack, report = empty, tmp_path / "full"
    report.mkdir()
    (report / "report.md").touch()
    before = topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs")
    full = load(empty, "--rate", "5", "--report", str(report))
    assert (full.returncode, "is not empty" in full.stderr) == (2, True)
    typo = tmp_path / "typo.yaml"
    typo.write_text("rate: 5\nduraton: 9\n")
    told = load(empty, "--scenario", str(typo), "--report", str(tmp_path / "a"))
    assert told.returncode == 2
    assert "typo.yaml:2" in told.stderr
    assert "Did you mean duration?" in told.stderr
    typo.write_text("rate: 5\ntimeline:\n  - {at: 1, restart_broker: }\n")
    others = load(empty, "--scenario", str(typo), "--report", str(tmp_path / "b"))
    assert (others.returncode, "restart_broker is for the stack of" in others.stderr) == (2, True)
    nobody = load(empty, "--rate", "5", "--consumer", "nobody", "--report", str(tmp_path / "c"))
    assert (nobody.returncode, "There is no consumer 'nobody'" in nobody.stderr) == (2, True)
    assert topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs") == before
    assert not [name for name in "abc" if (tmp_path / name).exists()]


def test_a_rate_that_cannot_be_made_voids_the_latencies(empty: RunningStack, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    arguments = ("--rate", "500000", "--duration", "4", "--warm-up", "1", "--workers", "0", "--no-jobs")
    told = load(empty, *arguments, "--report", str(folder))
    assert told.returncode == 1
    assert "was not offered as intended, and the latencies are void" in told.stderr
    result = Result.read(folder)
    assert result.schedule is not None
    assert not result.schedule.kept
    assert result.schedule.reached_per_second < 0.9 * 500_000
    assert result.verified == "holds"  # what was sent is there all the same
