"""`shardlake produce --follow`: each line once, through rotations, kills, restarts and a broker that goes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.follow import run
from shardlake import topics
from shardlake.avro.codec import Decoder
from shardlake.avro.registry import Registry
from shardlake.errors import Unavailable
from shardlake.testing.stack import RunningStack
from tests.support import PATIENCE_SECONDS, json_in, wait_for

pytestmark = pytest.mark.e2e


def messages(broker: RunningStack, service: str) -> list[str]:
    """The raw lines of a service's events, sorted."""
    decoder = Decoder(
        broker.pipeline.schemas["app_log"], Registry(broker.settings.schema_registry_url), "app-logs-value"
    )
    found = (decoder.decode(m.value()) for m in topics.read(broker.settings.kafka_bootstrap_servers, "app-logs"))
    return sorted(one["raw"] for one in found if one["service"] == service)


def topics_end(broker: RunningStack) -> int:
    """How many records the topic has, -1 while the broker comes up."""
    try:
        return sum(end for _, end in topics.offsets(broker.settings.kafka_bootstrap_servers, "app-logs").values())
    except Unavailable:
        return -1


def lines(name: str, *numbers: int) -> list[str]:
    return [f"{name} {number:05}" for number in numbers]


def append(path: Path, more: list[str]) -> None:
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in more))


def follow(broker: RunningStack, pattern: Path, *more: str, exit_code: int = 0) -> Any:
    """Follow until idle; the summary."""
    state = str(pattern.parent / "state.json")
    command = ("produce", "--follow", str(pattern), "--state", state, "--until-idle", "1", "--json", *more)
    output = broker.shardlake(*command, exit_code=exit_code)
    return json_in(output) if exit_code == 0 else output


def test_rotations_and_kills_lose_nothing_and_double_nothing(broker: RunningStack, tmp_path: Path) -> None:
    result = run(broker, tmp_path, seconds=9, rate=1_000, rotations=5, kills=3, seed=1)
    assert (result.lost, result.doubled, result.ids_doubled) == (0, 0, 0)
    assert (result.lines, result.events, result.rotations) == (9_000, 9_000, 5)
    assert result.kills >= 3


@pytest.mark.thorough
def test_a_broker_that_is_gone_is_waited_for_also_over_a_kill(broker: RunningStack, tmp_path: Path) -> None:
    log, state = tmp_path / "gone.log", tmp_path / "state.json"
    append(log, lines("before", *range(100)))
    command = ("produce", "--follow", str(log), "--state", str(state), "--json")
    follower = broker.start(*command)
    wait_for(lambda: topics_end(broker) == 100, "the first lines are in the topic")
    kafka = broker.stack.servers["kafka"]
    os.kill(kafka.pid, signal.SIGKILL)
    append(log, lines("meanwhile", *range(50_000)))
    assert follower.stdout is not None
    assert any("the broker is gone" in line for line in follower.stdout)
    broker.stack.restart("kafka")
    wait_for(lambda: topics_end(broker) == 50_100, "all lines are in the topic")
    wait_for(lambda: json.loads(state.read_text())["places"][0]["lines"] == 50_100, "the place is saved")
    saved_ns = state.stat().st_mtime_ns
    os.kill(kafka.pid, signal.SIGKILL)
    append(log, lines("then", *range(100)))
    assert any("the broker is gone" in line for line in follower.stdout)
    wait_for(lambda: state.stat().st_mtime_ns != saved_ns, "what was sent and not acknowledged is not saved as sent")
    follower.kill()
    follower.communicate()
    broker.stack.restart("kafka")
    wait_for(lambda: topics_end(broker) >= 50_100, "the broker is back")
    assert follow(broker, log)["sent"] == 100
    expected = lines("before", *range(100)) + lines("meanwhile", *range(50_000)) + lines("then", *range(100))
    assert messages(broker, "gone") == expected


@pytest.mark.parametrize(("signal_number", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stop_saves_the_place_and_the_next_start_goes_on(
    broker: RunningStack, tmp_path: Path, signal_number: int, exit_code: int
) -> None:
    log = tmp_path / f"stop{exit_code}.log"
    append(log, lines("a", *range(10)))
    state = str(tmp_path / "state.json")
    follower = broker.start("produce", "--follow", str(tmp_path / "*.log"), "--state", state)
    wait_for(lambda: len(messages(broker, log.stem)) == 10, "the lines are in the topic")
    refused = broker.shardlake("produce", "--follow", str(log), "--state", state, exit_code=3)
    assert f"Another follower, process {follower.pid}" in refused
    follower.send_signal(signal_number)
    output = follower.communicate(timeout=PATIENCE_SECONDS)[0]
    assert follower.returncode == exit_code, output
    append(log, lines("b", *range(5)))
    assert follow(broker, tmp_path / "*.log")["sent"] == 5
    assert messages(broker, log.stem) == lines("a", *range(10)) + lines("b", *range(5))


def test_lines_that_were_acknowledged_and_not_saved_do_not_come_twice(broker: RunningStack, tmp_path: Path) -> None:
    log, state = tmp_path / "unsaved.log", tmp_path / "state.json"
    append(log, lines("a", *range(10)))
    follow(broker, log)
    shutil.copy(state, tmp_path / "before.json")
    append(log, lines("b", *range(1_000)))
    assert follow(broker, log)["sent"] == 1_000
    for _ in range(2):
        # As if the process had been killed before it saved anything of the last run.
        saved = json.loads((tmp_path / "before.json").read_text())
        state.write_text(json.dumps({**saved, "is_clean": False}))
        log.rename(tmp_path / "unsaved.log.1")
        summary = follow(broker, tmp_path / "unsaved.log.1")
        assert (summary["sent"], summary["already_there"]) == (0, 1_000)
        (tmp_path / "unsaved.log.1").rename(log)
    append(log, lines("c", 1))
    assert follow(broker, log)["sent"] == 1
    assert messages(broker, "unsaved") == [
        *lines("a", *range(10)), *lines("b", *range(1_000)), *lines("c", 1)
    ]  # fmt: skip


def test_files_that_are_deleted_or_truncated_cost_no_other_line(broker: RunningStack, tmp_path: Path) -> None:
    for name in ("cut", "lost", "kept"):
        append(tmp_path / f"{name}.log", lines(name, *range(100)))
    state = str(tmp_path / "state.json")
    follower = broker.start("produce", "--follow", str(tmp_path / "*.log"), "--state", state)
    wait_for(lambda: len(messages(broker, "lost")) == 100, "the lines are in the topic")
    (tmp_path / "lost.log").unlink()
    os.truncate(tmp_path / "cut.log", 0)
    append(tmp_path / "cut.log", lines("cut", 100, 101))
    append(tmp_path / "kept.log", lines("kept", 100))
    wait_for(lambda: len(messages(broker, "cut")) == 102, "the new lines are in the topic")
    follower.send_signal(signal.SIGTERM)
    output = follower.communicate(timeout=PATIENCE_SECONDS)[0]
    assert "cut.log was truncated" in output
    assert follow(broker, tmp_path / "*.log")["sent"] == 0
    assert messages(broker, "kept") == lines("kept", *range(101))
    assert messages(broker, "cut") == lines("cut", *range(102))
    assert messages(broker, "lost") == lines("lost", *range(100))


def test_bad_input_is_refused_in_a_sentence(broker: RunningStack, tmp_path: Path) -> None:
    log, state = tmp_path / "bad.log", tmp_path / "state.json"
    append(log, lines("bad", 1))
    os.mkfifo(tmp_path / "fifo")
    assert "is a FIFO" in follow(broker, tmp_path / "fifo", exit_code=2)
    assert "is a folder" in broker.shardlake("produce", "--follow", str(tmp_path), exit_code=2)
    assert "--follow is for files" in broker.shardlake("produce", "--follow", "-", exit_code=2)
    state.write_text("{")
    assert "is damaged" in follow(broker, log, exit_code=2)
    state.unlink()
    follow(broker, log)
    saved = json.loads(state.read_text())
    state.write_text(json.dumps({**saved, "topic_id": "another"}))
    assert "made anew, or is in another cluster" in follow(broker, log, exit_code=2)
    saved["places"][0] |= {"path": "/nowhere/a.log", "inode": 1}
    state.write_text(json.dumps(saved))
    assert follow(broker, log)["sent"] == 0
    assert messages(broker, "bad") == lines("bad", 1)


def test_a_line_that_is_too_long_is_named_and_the_others_arrive(broker: RunningStack, tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    append(log, [*lines("long", 1), "x" * 5_000_000, *lines("long", 2)])
    said = follow(broker, log, exit_code=1)
    assert "long.log:2" in said
    assert messages(broker, "long") == lines("long", 1, 2)


def test_json_lines_come_from_standard_input_with_fields_by_option(broker: RunningStack) -> None:
    sent = [{"when": 1793707200.5, "severity": "warning", "msg": f"line {n}", "n": n} for n in range(3)]
    text = "\n".join([json.dumps(one) for one in sent] + ["no JSON"])
    options = ("--format", "json", "--field", "event_time=when", "--service", "mapped", "--json")
    piped = subprocess.run(
        broker.command("produce", "-", *options), input=text, capture_output=True, text=True,
        env=broker.environment, check=True,
    )  # fmt: skip
    summary = json.loads(piped.stdout)
    assert (summary["unparsed"], summary["unparsed_places"]) == (1, ["stdin:4"])
    decoder = Decoder(
        broker.pipeline.schemas["app_log"], Registry(broker.settings.schema_registry_url), "app-logs-value"
    )
    values = topics.read(broker.settings.kafka_bootstrap_servers, "app-logs")
    found = [one for one in (decoder.decode(m.value()) for m in values) if one["service"] == "mapped"]
    assert sorted(one["message"] for one in found if one["raw"] is None) == [f'line {n} {{"n":{n}}}' for n in range(3)]
    assert {one["level"] for one in found if one["raw"] is None} == {"WARN"}
    assert [one["raw"] for one in found if one["raw"]] == ["no JSON"]


def test_format_options_that_are_wrong_are_refused(broker: RunningStack, tmp_path: Path) -> None:
    append(tmp_path / "a.log", ["a"])
    refused = broker.shardlake("produce", str(tmp_path / "a.log"), "--log-format", "%h %Y", exit_code=2)
    assert "directive %Y is not known" in refused
