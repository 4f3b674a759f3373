"""`shardlake produce`: every line and every acknowledgement, also when the broker goes in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from producers.sample_log import lines_of_access_log
from shardlake import topics
from shardlake.avro.codec import Decoder
from shardlake.avro.registry import Registry
from shardlake.testing.stack import RunningStack
from tests.support import PATIENCE_SECONDS, ROOT, json_in, wait_for

pytestmark = pytest.mark.e2e

SAMPLE = ROOT / "tests" / "data" / "access.log"


def decoded(broker: RunningStack) -> list[dict[str, object]]:
    decoder = Decoder(
        broker.pipeline.schemas["app_log"], Registry(broker.settings.schema_registry_url), "app-logs-value"
    )
    return [decoder.decode(m.value()) for m in topics.read(broker.settings.kafka_bootstrap_servers, "app-logs")]


def ends(broker: RunningStack) -> int:
    return sum(end for _, end in topics.offsets(broker.settings.kafka_bootstrap_servers, "app-logs").values())


def summary_in(output: str) -> dict[str, int]:
    """The summary, after the lines that tell how it goes and before an error."""
    found: dict[str, int] = json.loads(output[output.index("{\n") : output.rindex("}\n") + 1])
    return found


def test_a_file_and_standard_input_arrive_line_by_line(broker: RunningStack) -> None:
    before = ends(broker)
    lines = SAMPLE.read_text().splitlines()
    summary = json_in(broker.shardlake("produce", str(SAMPLE), "--json"))
    assert (summary["lines"], summary["acknowledged"], summary["failed"]) == (len(lines), len(lines), 0)
    assert ends(broker) - before == len(lines)
    piped = subprocess.run(
        broker.command("produce", "-", "--service", "piped", "--json"),
        input=SAMPLE.read_text(),
        capture_output=True,
        text=True,
        env=broker.environment,
        check=True,
    )
    assert json.loads(piped.stdout)["acknowledged"] == len(lines)
    found = decoded(broker)
    assert sum(one["service"] == "piped" for one in found) == len(lines)
    unparsed = {one["raw"] for one in found if one["raw"] is not None and one["service"] == "piped"}
    assert len(unparsed) == summary["unparsed"] > 0
    assert unparsed <= set(lines)


def test_as_now_moves_all_times_by_one_constant(broker: RunningStack) -> None:
    broker.shardlake("produce", str(SAMPLE), "--service", "then")
    broker.shardlake("produce", str(SAMPLE), "--service", "now", "--as-now")
    found = decoded(broker)
    then, now = (
        sorted(one["event_time"].timestamp() for one in found if one["service"] == s and one["event_time"])  # type: ignore[attr-defined]
        for s in ("then", "now")
    )
    assert len({round(b - a, 3) for a, b in zip(then, now, strict=True)}) == 1
    assert 0 <= time.time() - now[-1] < 60


def test_a_broker_that_is_gone_for_a_while_costs_nothing(broker: RunningStack) -> None:
    producing = broker.start("produce", "--synthetic", "--rate", "500", "--duration", "12", "--json")
    wait_for(lambda: ends(broker) > 500, "the first events")
    kafka = broker.stack.servers["kafka"]
    os.kill(kafka.pid, signal.SIGKILL)
    time.sleep(3)
    broker.stack.restart("kafka")
    output = producing.communicate(timeout=PATIENCE_SECONDS)[0]
    assert producing.returncode == 0, output
    assert "the broker is gone" in output
    summary = summary_in(output)
    assert summary["acknowledged"] == summary["sent"] == 6_000
    ids = {one["event_id"] for one in decoded(broker)}
    assert len(ids) == ends(broker) == 6_000


def test_bad_files_are_refused_in_a_sentence(broker: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    (tmp_path / "binary.log").write_bytes(b"\x7fELF\x00\x01")
    before = ends(broker)
    for name, words in {
        "missing.log": "no file",
        "empty.log": "is empty",
        "binary.log": "binary file",
        ".": "is a folder",
    }.items():
        said = broker.shardlake("produce", str(tmp_path / name), exit_code=2)
        assert words in said
        assert "Traceback" not in said
    assert "either a log file or --synthetic" in broker.shardlake("produce", exit_code=2)
    assert ends(broker) == before


def test_a_line_of_ten_megabytes_is_named_and_the_others_arrive(broker: RunningStack, tmp_path: Path) -> None:
    before = ends(broker)
    good = SAMPLE.read_bytes().splitlines(keepends=True)[0]
    (tmp_path / "long.log").write_bytes(good + b"x" * 10_000_000 + b"\n" + b"caf\xe9 is Latin-1\n" + good)
    said = broker.shardlake("produce", str(tmp_path / "long.log"), exit_code=1)
    assert "long.log:2" in said
    assert ends(broker) - before == 3
    assert r"caf\xe9 is Latin-1" in {one["raw"] for one in decoded(broker)}


@pytest.mark.thorough
def test_a_file_is_whole_after_the_broker_was_gone(broker: RunningStack, tmp_path: Path) -> None:
    lines = 100_000
    log = tmp_path / "access.log"
    log.write_text("".join(f"{line}\n" for line in lines_of_access_log(lines, datetime.now(UTC))))
    producing = broker.start("produce", str(log), "--json")
    wait_for(lambda: ends(broker) > 1_000, "the first events")
    kafka = broker.stack.servers["kafka"]
    os.kill(kafka.pid, signal.SIGKILL)
    time.sleep(2)
    assert producing.poll() is None
    broker.stack.restart("kafka")
    output = producing.communicate(timeout=PATIENCE_SECONDS)[0]
    assert producing.returncode == 0, output
    summary = summary_in(output)
    assert summary["acknowledged"] == summary["sent"] == lines
    # Each value holds an id of its own; decoding them all would take longer than all else.
    values = [message.value() for message in topics.read(broker.settings.kafka_bootstrap_servers, "app-logs")]
    assert len(set(values)) == len(values) == lines


@pytest.mark.thorough
def test_a_broker_that_stays_away_is_given_up_and_nothing_is_called_acknowledged(
    broker: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARDLAKE_DELIVERY_SECONDS", "3")
    producing = broker.start("produce", "--synthetic", "--rate", "500", "--duration", "10", "--json")
    wait_for(lambda: ends(broker) > 500, "the first events")
    kafka = broker.stack.servers["kafka"]
    os.kill(kafka.pid, signal.SIGKILL)
    output = producing.communicate(timeout=PATIENCE_SECONDS)[0]
    assert producing.returncode == 1, output
    assert "the broker is gone" in output
    assert "Produce the file again" not in output
    summary = summary_in(output)
    assert summary["sent"] == 5_000
    assert summary["acknowledged"] + summary["failed"] + summary["unknown"] == 5_000
    assert summary["failed"] + summary["unknown"] > 2_000
    broker.stack.restart("kafka")
    wait_for(kafka.is_ready, "the broker")
    there = {one["event_id"] for one in decoded(broker)}
    assert len(there) == ends(broker)
    assert summary["acknowledged"] <= len(there) <= summary["acknowledged"] + summary["unknown"]


@pytest.mark.thorough
def test_a_registry_that_goes_in_the_middle_is_not_missed(broker: RunningStack) -> None:
    producing = broker.start("produce", "--synthetic", "--rate", "500", "--duration", "6", "--json")
    wait_for(lambda: ends(broker) > 500, "the first events")
    registry = broker.stack.servers["registry"]
    os.kill(registry.pid, signal.SIGKILL)
    output = producing.communicate(timeout=PATIENCE_SECONDS)[0]
    assert producing.returncode == 0, output
    assert summary_in(output)["acknowledged"] == 3_000
    assert "does not answer" in broker.shardlake("produce", str(SAMPLE), exit_code=3)
    broker.stack.restart("registry")
    wait_for(registry.is_ready, "the registry")
    assert len({one["event_id"] for one in decoded(broker)}) == ends(broker) == 3_000


def test_synthetic_events_come_twice_late_and_by_seed(broker: RunningStack) -> None:
    options = [f"--with={one}" for one in ("duplicates=0.1", "duplicate_seconds=0.2", "late=0.05", "day_seconds=2")]
    for seed in ("71", "72"):
        for _ in range(2):
            broker.shardlake("produce", "--synthetic", "--rate", "500", "--duration", "2", "--seed", seed, *options)
    by_id = Counter(str(one["event_id"]) for one in decoded(broker))
    for number in (71, 72):
        times = [count for one, count in by_id.items() if one.startswith(f"{number:x}-")]
        # Both runs sent the same, so each event is there twice, or four times where it was sent again.
        assert set(times) == {2, 4}
        assert 0.06 < times.count(4) / len(times) < 0.13
    assert "no option 'zip'" in broker.shardlake("produce", "--synthetic", "--with", "zip=1", exit_code=2)
