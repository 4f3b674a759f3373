"""What a checkpoint has precommitted and the broker has aborted since is lost, and named before jobs go on."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from shardlake.errors import BadInput, Unavailable
from shardlake.flink import precommitted as reading
from shardlake.flink.precommitted import ONGOING, Outcome, Precommitted, Step, outcome, partition_of, precommitted
from shardlake.flink.resume import STOPPED, LastEnd
from shardlake.flink.submit import Start
from shardlake.flink.taking_up import TakingUp
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from tests.support import ROOT

pytestmark = pytest.mark.unit

EMPTY, PREPARE_COMMIT, PREPARE_ABORT, COMPLETE_COMMIT, COMPLETE_ABORT = 0, 2, 3, 4, 5
ONE = Precommitted("service-health", "shardlake-service-health-0-1", 7, 21)
OPENED = [Step(7, 21, EMPTY), Step(7, 21, ONGOING), Step(7, 21, ONGOING)]


def committable(one: Precommitted) -> bytes:
    """As a checkpoint of Flink 2.3 with the connector 5.0 has it."""
    name = one.transactional_id.encode()
    body = struct.pack(">hqH", one.epoch, one.producer_id, len(name)) + name
    return struct.pack(">ii", 1, len(body)) + body


def in_writers_state(one: Precommitted) -> bytes:
    name = one.transactional_id.encode()
    return struct.pack(">iiiH", 2, 1, 1, len(name)) + name + struct.pack(">q", 26)


def test_committables_are_found_in_a_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    letters = Precommitted("app-logs.dlq", "shardlake-app-logs.dlq-1-0", 2**40, 300)
    (tmp_path / "_metadata").write_bytes(b"...".join([committable(ONE), in_writers_state(ONE), committable(ONE)]))
    (tmp_path / "f1a2").write_bytes(in_writers_state(letters) + committable(letters))
    assert precommitted(tmp_path, ["service-health", "app-logs.dlq", "alerts"]) == [letters, ONE]
    assert precommitted(tmp_path, ["service"]) == []


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (OPENED, Outcome.OPEN),
        # A client of Kafka 4 gets the next epoch at its commit, an older one keeps its own.
        ([*OPENED, Step(7, 22, PREPARE_COMMIT), Step(7, 22, COMPLETE_COMMIT)], Outcome.COMMITTED),
        ([*OPENED, Step(7, 21, PREPARE_COMMIT), Step(7, 21, COMPLETE_COMMIT)], Outcome.COMMITTED),
        # A time-out fences with the next epoch, and aborts.
        ([*OPENED, Step(7, 22, PREPARE_ABORT), Step(7, 22, COMPLETE_ABORT)], Outcome.ABORTED),
        # The id was used again: after its commit what became of others is of no matter.
        (
            [*OPENED, Step(7, 22, PREPARE_COMMIT), Step(7, 23, EMPTY), Step(7, 23, ONGOING), Step(7, 24, 3)],
            Outcome.COMMITTED,
        ),
        ([*OPENED, Step(7, 22, COMPLETE_ABORT), Step(7, 23, ONGOING), Step(7, 24, PREPARE_COMMIT)], Outcome.ABORTED),
        # What was before it, and another producer's.
        ([Step(7, 19, ONGOING), Step(7, 20, PREPARE_ABORT), *OPENED], Outcome.OPEN),
        ([Step(6, 21, ONGOING), Step(6, 22, PREPARE_ABORT)], Outcome.UNKNOWN),
        # The log has been compacted.
        ([Step(7, 22, COMPLETE_ABORT)], Outcome.UNKNOWN),
        ([], Outcome.UNKNOWN),
    ],
)
def test_the_steps_of_an_id_say_what_became_of_a_transaction(steps: list[Step], expected: Outcome) -> None:
    assert outcome(ONE, steps) is expected


@pytest.mark.parametrize(
    ("name", "partition"),
    [("shardlake-service-health-0-1", 1), ("shardlake-service-health-0-0", 2), ("shardlake-app-logs.dlq-1-0", 3)],
)
def test_an_id_is_in_the_partition_where_the_broker_has_it(name: str, partition: int) -> None:
    assert partition_of(name, 4) == partition  # as a broker with 4 had them


@pytest.fixture
def crashed(tmp_path: Path) -> tuple[TakingUp, Path]:
    """A `jobs run` after a crash, and the checkpoint."""
    state = tmp_path / "jobs" / "checkpoints" / "a" / "chk-1"
    state.mkdir(parents=True)
    (state / "_metadata").write_bytes(committable(ONE))
    settings = Settings.read(jobs_folder=str(tmp_path / "jobs"), lake_url=str(tmp_path / "lake"))
    return TakingUp(Pipeline.load(ROOT), settings, {}, {}, {}), state


def told(monkeypatch: pytest.MonkeyPatch, steps: Iterable[Step] | None) -> None:
    """Let the coordinator's log say this; it may not be read where that is None."""

    def ask(_: str, ids: set[str], since_ms: int) -> dict[str, list[Step]]:
        assert ids == {ONE.transactional_id}
        assert since_ms < time.time() * 1000
        if steps is None:
            raise Unavailable("not authorized")
        return {ONE.transactional_id: list(steps)}

    monkeypatch.setattr(reading, "_steps", ask)


def test_what_the_broker_has_aborted_is_refused(
    crashed: tuple[TakingUp, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    taking_up, state = crashed
    begin = Start(resume_from=f"file://{state}")
    told(monkeypatch, [*OPENED, Step(7, 22, PREPARE_ABORT)])
    with pytest.raises(BadInput, match="what the jobs wrote to service-health in shardlake-service-health-0-1") as no:
        taking_up.must_have_lost_nothing(begin, skip=False)
    assert "within 14 minutes" in no.value.message
    assert "--skip-lost" in no.value.hint
    assert "jobs rewind" in no.value.hint
    (said,) = taking_up.must_have_lost_nothing(begin, skip=True)
    assert said.startswith("going on without what the jobs wrote to service-health")
    for steps in (OPENED, [*OPENED, Step(7, 22, PREPARE_COMMIT)]):
        told(monkeypatch, steps)
        assert taking_up.must_have_lost_nothing(begin, skip=False) == []


def test_a_savepoint_of_a_stop_has_committed_what_it_names(
    crashed: tuple[TakingUp, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    taking_up, state = crashed
    told(monkeypatch, [*OPENED, Step(7, 22, PREPARE_ABORT)])
    LastEnd(STOPPED, f"file://{state}").write(taking_up.settings.jobs)
    assert taking_up.must_have_lost_nothing(Start(resume_from=f"file://{state}"), skip=False) == []


@pytest.mark.parametrize(("age_seconds", "is_said"), [(60, False), (900, True)])
def test_where_the_log_does_not_tell_it_is_said_of_old_state_and_not_refused(
    crashed: tuple[TakingUp, Path], monkeypatch: pytest.MonkeyPatch, age_seconds: int, is_said: bool
) -> None:
    taking_up, state = crashed
    told(monkeypatch, None)
    then = time.time() - age_seconds
    os.utime(state / "_metadata", (then, then))
    said = taking_up.must_have_lost_nothing(Start(resume_from=f"file://{state}"), skip=False)
    assert bool(said) == is_said
    assert not said or "cannot be told: shardlake-service-health-0-1" in said[0]
