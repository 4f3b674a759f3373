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
from tests.support import ROOT, wait_for

pytestmark = pytest.mark.e2e

SAMPLE = ROOT / "tests" / "data" / "access.log"


def decoded(stack: RunningStack) -> list[dict[str, object]]:
    decoder = Decoder(stack.pipeline.schemas["app_log"], Registry(stack.settings.schema_registry_url))
    return [decoder.decode(m.value()) for m in topics.read(stack.settings.kafka_bootstrap_servers, "app-logs")]


def ends(stack: RunningStack) -> int:
    return sum(end for _, end in topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs").values())


def summary_in(output: str) -> dict[str, int]:
    """The summary, after the lines that tell how it goes and before an error."""
    found: dict[str, int] = json.loads(output[output.index("{\n") : output.rindex("}\n") + 1])
    return found


def test_a_file_and_standard_input_arrive_line_by_line(shardlake_stack: RunningStack) -> None:
    before = ends(shardlake_stack)
    lines = SAMPLE.read_text().splitlines()
    summary = json.loads(shardlake_stack.shardlake("produce", str(SAMPLE), "--json"))
    assert (summary["lines"], summary["acknowledged"], summary["failed"]) == (len(lines), len(lines), 0)
    assert ends(shardlake_stack) - before == len(lines)
    piped = subprocess.run(
        shardlake_stack.command("produce", "-", "--service", "piped", "--json"),
        input=SAMPLE.read_text(),
        capture_output=True,
        text=True,
        env=shardlake_stack.environment,
        check=True,
    )
    assert json.loads(piped.stdout)["acknowledged"] == len(lines)
    found = decoded(shardlake_stack)
    assert sum(one["service"] == "piped" for one in found) == len(lines)
    unparsed = {one["raw"] for one in found if one["raw"] is not None and one["service"] == "piped"}
    assert len(unparsed) == summary["unparsed"] > 0
    assert unparsed <= set(lines)


def test_as_now_moves_all_times_by_one_constant(shardlake_stack: RunningStack) -> None:
    shardlake_stack.shardlake("produce", str(SAMPLE), "--service", "then")
    shardlake_stack.shardlake("produce", str(SAMPLE), "--service", "now", "--as-now")
    found = decoded(shardlake_stack)
    then, now = (
        sorted(one["event_time"].timestamp() for one in found if one["service"] == s and one["event_time"])  # type: ignore[attr-defined]
        for s in ("then", "now")
    )
    assert len({round(b - a, 3) for a, b in zip(then, now, strict=True)}) == 1
    assert 0 <= time.time() - now[-1] < 60


def test_a_broker_that_is_gone_for_a_while_costs_nothing(stack: RunningStack) -> None:
    producing = stack.start("produce", "--synthetic", "--rate", "500", "--duration", "12", "--json")
    wait_for(lambda: ends(stack) > 500, 60, "the first events")
    broker = stack.stack.servers["kafka"]
    os.kill(broker.pid, signal.SIGKILL)
    time.sleep(3)
    broker.restart()
    output = producing.communicate(timeout=120)[0]
    assert producing.returncode == 0, output
    assert "the broker is gone" in output
    summary = summary_in(output)
    assert summary["acknowledged"] == summary["sent"] == 6_000
    ids = {one["event_id"] for one in decoded(stack)}
    assert len(ids) == ends(stack) == 6_000


def test_bad_files_are_refused_in_a_sentence(shardlake_stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    (tmp_path / "binary.log").write_bytes(b"\x7fELF\x00\x01")
    before = ends(shardlake_stack)
    for name, words in {
        "missing.log": "no file",
        "empty.log": "is empty",
        "binary.log": "binary file",
        ".": "is a folder",
    }.items():
        said = shardlake_stack.shardlake("produce", str(tmp_path / name), exit_code=2)
        assert words in said
        assert "Traceback" not in said
    assert "either a log file or --synthetic" in shardlake_stack.shardlake("produce", exit_code=2)
    assert ends(shardlake_stack) == before


def test_a_line_of_ten_megabytes_is_named_and_the_others_arrive(shardlake_stack: RunningStack, tmp_path: Path) -> None:
    before = ends(shardlake_stack)
    good = SAMPLE.read_bytes().splitlines(keepends=True)[0]
    (tmp_path / "long.log").write_bytes(good + b"x" * 10_000_000 + b"\n" + b"caf\xe9 is Latin-1\n" + good)
    said = shardlake_stack.shardlake("produce", str(tmp_path / "long.log"), exit_code=1)
    assert "long.log:2" in said
    assert ends(shardlake_stack) - before == 3
    assert r"caf\xe9 is Latin-1" in {one["raw"] for one in decoded(shardlake_stack)}


def test_a_file_is_whole_after_the_broker_was_gone(stack: RunningStack, tmp_path: Path) -> None:
    lines = 300_000
    log = tmp_path / "access.log"
    log.write_text("".join(f"{line}\n" for line in lines_of_access_log(lines, datetime.now(UTC))))
    producing = stack.start("produce", str(log), "--json")
    wait_for(lambda: ends(stack) > 1_000, 60, "the first events")
    broker = stack.stack.servers["kafka"]
    os.kill(broker.pid, signal.SIGKILL)
    time.sleep(2)
    assert producing.poll() is None
    broker.restart()
    output = producing.communicate(timeout=120)[0]
    assert producing.returncode == 0, output
    summary = summary_in(output)
    assert summary["acknowledged"] == summary["sent"] == lines
    # Each value holds an id of its own; decoding them all would take longer than all else.
    values = [message.value() for message in topics.read(stack.settings.kafka_bootstrap_servers, "app-logs")]
    assert len(set(values)) == len(values) == lines


def test_a_broker_that_stays_away_is_given_up_and_nothing_is_called_acknowledged(
    stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARDLAKE_DELIVERY_SECONDS", "3")
    producing = stack.start("produce", "--synthetic", "--rate", "500", "--duration", "10", "--json")
    wait_for(lambda: ends(stack) > 500, 60, "the first events")
    broker = stack.stack.servers["kafka"]
    os.kill(broker.pid, signal.SIGKILL)
    output = producing.communicate(timeout=60)[0]
    assert producing.returncode == 1, output
    assert "the broker is gone" in output
    assert "Produce the file again" not in output
    summary = summary_in(output)
    assert summary["sent"] == 5_000
    assert summary["acknowledged"] + summary["failed"] + summary["unknown"] == 5_000
    assert summary["failed"] + summary["unknown"] > 2_000
    broker.restart()
    wait_for(broker.is_ready, 90, "the broker")
    there = {one["event_id"] for one in decoded(stack)}
    assert len(there) == ends(stack)
    assert summary["acknowledged"] <= len(there) <= summary["acknowledged"] + summary["unknown"]


def test_a_registry_that_goes_in_the_middle_is_not_missed(stack: RunningStack) -> None:
    producing = stack.start("produce", "--synthetic", "--rate", "500", "--duration", "6", "--json")
    wait_for(lambda: ends(stack) > 500, 60, "the first events")
    registry = stack.stack.servers["registry"]
    os.kill(registry.pid, signal.SIGKILL)
    output = producing.communicate(timeout=60)[0]
    assert producing.returncode == 0, output
    assert summary_in(output)["acknowledged"] == 3_000
    assert "does not answer" in stack.shardlake("produce", str(SAMPLE), exit_code=3)
    registry.restart()
    wait_for(registry.is_ready, 90, "the registry")
    assert len({one["event_id"] for one in decoded(stack)}) == ends(stack) == 3_000


def test_synthetic_events_come_twice_late_and_by_seed(shardlake_stack: RunningStack) -> None:
    options = [f"--with={one}" for one in ("duplicates=0.1", "duplicate_seconds=0.2", "late=0.05", "day_seconds=2")]
    for seed in ("71", "72"):
        for _ in range(2):
            shardlake_stack.shardlake(
                "produce", "--synthetic", "--rate", "500", "--duration", "2", "--seed", seed, *options
            )
    by_id = Counter(str(one["event_id"]) for one in decoded(shardlake_stack))
    for number in (71, 72):
        times = [count for one, count in by_id.items() if one.startswith(f"{number:x}-")]
        # Both runs sent the same, so each event is there twice, or four times where it was sent again.
        assert set(times) == {2, 4}
        assert 0.06 < times.count(4) / len(times) < 0.13
    assert "no option 'zip'" in shardlake_stack.shardlake("produce", "--synthetic", "--with", "zip=1", exit_code=2)
