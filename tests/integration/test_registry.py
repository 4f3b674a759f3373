"""The registry down for a while: what the jobs know goes on, a schema that they have not seen waits, none is lost."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shardlake import ledger, topics
from tests.integration.conftest import Way
from tests.support import PATIENCE_SECONDS, copy_pipeline, wait_for, with_fields

pytestmark = [pytest.mark.integration, pytest.mark.thorough, pytest.mark.timeout(1200)]

DOWN_SECONDS = 20
ZONE = {"name": "zone", "type": ["null", "string"], "default": None, "doc": "Where it ran."}
LINES = 20


def line(number: int) -> str:
    return json.dumps({"ts": datetime.now(UTC).isoformat(), "msg": f"line {number}"}) + "\n"


def followed(way: Way) -> int:
    """How many lines of the file were acknowledged."""
    files = [one for one in ledger.of_run(way.run) if any("zones.json" in source for source in one.sources)]
    return sum(len(one.acknowledged) for one in files)


def test_a_registry_that_is_away_makes_no_dead_letters(way: Way, tmp_path: Path) -> None:
    second = replace(way.containers, pipeline=with_fields(copy_pipeline(tmp_path / "second", 4), ZONE))
    second.shardlake("schema", "register")
    log = tmp_path / "zones.json"
    log.write_text("")
    ledgers = len(way.ledgers())
    following = second.start(
        *way.produce("--follow", str(log), "--format", "json", "--service", "zones"),
        "--state",
        str(tmp_path / "state"),
    )
    known = way.containers.start(*way.produce("--synthetic", "--rate", "100", "--duration", "inf", "--seed", "31"))
    dead = str(way.containers.pipeline.events_topic.dead_letters)
    letters = topics.offsets(way.servers, dead)
    before = way.acknowledged()
    wait_for(lambda: way.acknowledged() > before, "the known schema's events to be sent")
    wait_for(lambda: len(way.ledgers()) == ledgers + 2, "the other producer to have asked the registry")

    way.containers.kill("registry")
    down = time.monotonic()

    def rows() -> int:
        return int(way.rows("SELECT count(*) AS n FROM app_logs")[0]["n"])

    archived = rows()
    wait_for(lambda: rows() > archived + 200, "known schemas to go on")
    with log.open("a") as file:
        file.writelines(line(number) for number in range(LINES))
    wait_for(lambda: followed(way) == LINES, "the unknown schema's events to be sent")
    time.sleep(max(0.0, DOWN_SECONDS - (time.monotonic() - down)))
    assert way.rows("SELECT count(*) AS n FROM app_logs WHERE service = 'zones'") == [{"n": 0}]
    assert topics.offsets(way.servers, dead) == letters

    way.containers.start_again("registry")
    assert way.stopped(known) > 0
    following.send_signal(signal.SIGTERM)
    following.communicate(timeout=PATIENCE_SECONDS)
    way.await_accounted_for()
    assert way.rows("SELECT count(*) AS n FROM app_logs WHERE service = 'zones'") == [{"n": LINES}]
    assert topics.offsets(way.servers, dead) == letters
    assert way.verify()["counts"] == {}
