"""Bugs planted in producers, in a worker's start and in how jobs are resumed: `verify` sees each under its name."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from shardlake import topics
from shardlake.flink.resume import LastEnd
from shardlake.flink.submit import Submission
from shardlake.ledger import read
from shardlake.produce.delivery import Delivery
from shardlake.produce.sending import open_ledger
from shardlake.testing.stack import RunningStack
from tests.e2e.checking import by_hand, ended, verify
from tests.support import PATIENCE_SECONDS, ROOT, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

EVENTS, POISON = 1_000, 20


def produce(stack: RunningStack, run: Path, *more: str) -> Path:
    """A thousand events, with a ledger in the run's folder."""
    load = ("--synthetic", "--rate", str(EVENTS), "--duration", "1")
    stack.shardlake("produce", *load, "--ledger", str(run), *more)
    return run


def archived(stack: RunningStack, run: Path) -> Path:
    """A run that the jobs have read to its end."""
    stack.shardlake("jobs", "run", "archive")
    produce(stack, run, "--poison", str(POISON))
    stack.shardlake("jobs", "finish")
    verify(stack, 0, [run])
    return run


def test_a_worker_that_begins_at_the_latest(stack: RunningStack, tmp_path: Path) -> None:
    stack.shardlake("jobs", "run", "archive")  # verify asks of a lake what the jobs have read
    before, lake = produce(stack, tmp_path / "before"), tmp_path / "lake"
    worker = by_hand(stack, "reset-to-latest", lake)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "assigned\n"
    after = produce(stack, tmp_path / "after")
    assert ended(worker) == 0
    stack.shardlake("jobs", "finish")
    verify(stack, 0, [before, after])
    assert verify(stack, 1, [before, after], lake)["counts"] == {"lost-write": EVENTS}


def test_a_producer_that_asks_for_no_acknowledgement(stack: RunningStack, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ["produce", "--synthetic", "--rate", "2000", "--duration", "6", "--ledger", str(run)]
    command = [sys.executable, "-m", "tests.planted.produce_acks_0", "--pipeline", str(ROOT), *arguments]
    producer = subprocess.Popen(
        command, cwd=ROOT, env=stack.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def sent() -> int:
        """As its ledger says, which has its header a moment after it is made."""
        return sum(len(read(path).digests) for path in run.glob("*.ledger") if path.stat().st_size)

    wait_for(lambda: sent() > 4_000, "events on their way")
    # While it is stopped, what comes stays in the socket, and goes with it.
    os.kill(stack.stack.servers["kafka"].pid, signal.SIGSTOP)
    at_stop = sent()
    wait_for(lambda: sent() > at_stop + 1_000, "events that go into the socket")
    stack.stack.servers["kafka"].kill()
    stack.stack.restart("kafka")
    producer.wait(PATIENCE_SECONDS)
    assert ended(by_hand(stack, "none", stack.settings.lake)) == 0
    counts = verify(stack, 1, [run])["counts"]
    (ledger,) = [read(path) for path in run.glob("*.ledger")]
    assert 0 < counts["lost-write"] < len(ledger.digests)


def test_dead_letters_that_were_sent_again_twice(stack: RunningStack, tmp_path: Path) -> None:
    first, run = archived(stack, tmp_path / "first"), tmp_path / "run"
    servers = stack.settings.kafka_bootstrap_servers
    letters = list(topics.read(servers, "app-logs.dlq"))
    assert len(letters) == POISON
    for is_noted in (True, False):
        delivery = Delivery(servers, "app-logs", lambda _: None, 60)
        delivery.ledger = open_ledger(servers, "app-logs", run) if is_noted else None
        for letter in letters:
            delivery.send(letter.value(), letter.key())
        assert delivery.finish().is_complete
    checks = verify(stack, 1, [first, run])["checks"]
    found = [one["name"] for check in checks for one in check["anomalies"] if one["name"] != "lost-write"]
    assert found == ["duplicate"] * POISON


def test_jobs_resumed_from_an_older_savepoint(
    stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.shardlake("jobs", "run", "archive")
    runs = [produce(stack, tmp_path / "one")]
    stack.shardlake("jobs", "stop")
    older = LastEnd.read(stack.settings.jobs)
    assert older is not None
    runs.append(produce(stack, tmp_path / "two"))
    stack.shardlake("jobs", "run", "archive")
    stack.shardlake("jobs", "finish")
    refused = stack.shardlake("jobs", "run", "--from", older.savepoint, exit_code=2)
    assert "is older than the lake" in refused
    verify(stack, 0, runs)

    def written() -> int:
        files = (stack.settings.lake / "app_logs").rglob("[!._]*.parquet")
        return sum(pq.read_metadata(file).num_rows for file in files)

    before, log = written(), stack.stack.state / "older.log"
    monkeypatch.setenv("SHARDLAKE_STATE", str(stack.stack.state))
    Submission(stack.pipeline, stack.settings, {"archive": {}}, log).submit(f"file://{older.savepoint}")
    wait_for(lambda: written() == before + EVENTS, "rows that are there already")
    stack.shardlake("jobs", "stop")
    assert verify(stack, 1, runs)["counts"] == {"duplicate": EVENTS}


def test_without_the_broker_what_was_read_before_is_used(stack: RunningStack, tmp_path: Path) -> None:
    run = archived(stack, tmp_path / "run")
    first = min((stack.settings.lake / "app_logs").rglob("[!._]*.parquet"))
    rows = pq.read_metadata(first).num_rows
    first.unlink()
    refused = stack.shardlake("verify", str(tmp_path), exit_code=2)
    assert "is not the folder of a run" in refused
    half = tmp_path / "half"
    half.mkdir()
    shutil.copyfile(run / "run.json", half / "run.json")
    assert "There is no ledger in" in stack.shardlake("verify", str(half), exit_code=2)
    stack.stack.servers["kafka"].kill()
    assert verify(stack, 1, [run])["counts"]["lost-write"] == rows
    bare = tmp_path / "bare"
    shutil.copytree(run, bare, ignore=shutil.ignore_patterns("evidence"))
    assert "only its ledgers are left" in stack.shardlake("verify", str(bare), exit_code=3)
