"""A second version of the events, registered and sent while the first one is produced, and then written by the jobs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.conftest import Way
from tests.support import PATIENCE_SECONDS, Topic, copy_pipeline, event, json_in, wait_for, with_fields

# Last: what comes for windows that `jobs finish` has closed is late, and the jobs are another pipeline's then.
pytestmark = [pytest.mark.integration, pytest.mark.thorough, pytest.mark.last, pytest.mark.timeout(1200)]

REGION = {"name": "region", "type": ["null", "string"], "default": None, "doc": "Where it ran."}


def test_two_versions_flow_side_by_side(way: Way, tmp_path: Path) -> None:
    second = replace(way.containers, pipeline=with_fields(copy_pipeline(tmp_path / "second", 4), REGION))
    before = way.acknowledged()
    first_producing = way.containers.start(
        *way.produce("--synthetic", "--rate", "200", "--duration", "inf", "--seed", "41")
    )
    wait_for(lambda: way.acknowledged() > before, "the first version to flow")
    second.shardlake("schema", "register")
    second_producing = second.start(*way.produce("--synthetic", "--rate", "200", "--duration", "8", "--seed", "42"))
    assert first_producing.poll() is None
    assert json_in(second_producing.communicate(timeout=PATIENCE_SECONDS)[0])["acknowledged"] == 1600
    assert way.stopped(first_producing) > 0
    way.await_accounted_for()
    assert way.verify()["counts"] == {}

    # The jobs of the second version go on from the first one's savepoint, and the lake has the new column.
    way.containers.shardlake("jobs", "stop")
    second.shardlake("jobs", "run")
    now = datetime.now(UTC)
    Topic(second, way.run).send_events([event(number, event_time=now, region="north") for number in range(50)])
    way.await_accounted_for()
    found = second.shardlake("query", "--json", "SELECT region, count(*) AS n FROM app_logs GROUP BY 1 ORDER BY 1")
    assert json.loads(found)[0] == {"region": "north", "n": 50}
    assert [row["region"] for row in json.loads(found)] == ["north", None]
    ids = second.shardlake("query", "--json", "SELECT event_id FROM app_logs WHERE region = 'north'")
    assert {row["event_id"] for row in json.loads(ids)} == {f"event-{number}" for number in range(50)}

    # After all that was killed, every window has fired once, with what it must hold: counted again from S3.
    second.shardlake("jobs", "finish")
    checked = {check["check"]: check for check in replace(way, containers=second).verify()["checks"]}
    assert checked["service_health, counted again"]["checked"] > 0
    assert checked["the topic service-health, against the lake"]["anomalies"] == []
