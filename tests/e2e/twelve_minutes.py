"""Twelve minutes of one service on a stack: a burst of errors, a kill, late events right after it, a finish."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shardlake.flink.cluster import Cluster
from shardlake.testing.stack import RunningStack
from tests.e2e.lake import rows
from tests.support import Topic, copy_pipeline, event, wait_for

MINUTES = 12
BURST_MINUTE = 10
LATE = (30, 90, 150)
"""Seconds after START: of windows that have closed when these come."""
SET = ("--set", "sessions.gap_minutes=3")
SECRET = "203.0.113.211"
LINES = [
    f'{SECRET} - - [01/Mar/2026:12:00:0{n} +0000] "GET /a?secret={SECRET} HTTP/1.1" 200 1{n} "-" "-"' for n in (5, 7)
]
NULL, CUT, YEAR_9999, FIRST = 2, 3, 4, 5
"""Offsets of the one partition: two lines, then these, and from FIRST on an event a second for twelve minutes."""
FIRST_LATE = FIRST + MINUTES * 60
END = FIRST_LATE + len(LATE) + 60


def at(second: int, event_id: str) -> dict[str, Any]:
    """An event of the one service; all in the burst's minute are errors."""
    burst = BURST_MINUTE * 60 <= second < BURST_MINUTE * 60 + 60
    client = "visitor" if second < 120 else "regular"
    return event(second, event_id=event_id, service="api", status=500 if burst else 200, client_address=client)


@dataclass
class Ran:
    """A stack whose jobs have finished. `before` has what `trace` said of some records while windows were open."""

    stack: RunningStack
    topic: Topic
    run: Path
    before: dict[str, list[dict[str, Any]]]

    def trace(self, record: str, *more: str, exit_code: int = 0) -> list[dict[str, Any]]:
        """What `trace` says of a record."""
        said = self.stack.shardlake("trace", record, "--json", *SET, *more, exit_code=exit_code)
        assert SECRET not in said
        found: list[dict[str, Any]] = json.loads(said[: said.rindex("\n}") + 2])["traces"]
        return found

    def id_at(self, offset: int) -> str:
        """The id of the event at an offset."""
        return str(rows(self.stack, f'SELECT event_id FROM app_logs WHERE "offset" = {offset}')[0][0])


def twelve_minutes(shardlake_stack: RunningStack, folder: Path) -> Ran:
    """Nine minutes of windows have closed when late events come; one more minute comes after them."""
    stack = shardlake_stack.emptied(copy_pipeline(folder / "pipeline", partitions=1), parallelism=1)
    topic, run = Topic(stack), folder / "run"
    run.mkdir()
    ran = Ran(stack, topic, run, {})
    log = run / "web.log"
    log.write_text("\n".join([*LINES, ""]))
    stack.shardlake("produce", str(log), "--ledger", str(run / "ledgers"))
    whole = topic.encode(at(0, "cut-off"))
    far = topic.encode(event(0, event_id="far", event_time=datetime(9999, 1, 1, tzinfo=UTC)))
    topic.send([None, whole[:-1], far])
    stack.shardlake("jobs", "run", *SET)
    topic.send_events([at(second, f"e-{second}") for second in range(MINUTES * 60)])
    wait_for(lambda: rows(stack, "SELECT count(*) FROM service_health")[0][0] >= 10, "closed windows")
    # Before any new watermark: these are what Flink's own windows drop without a trace.
    stack.stack.restart("taskmanager")
    topic.send_events([at(second, f"e-{10_000 + second}") for second in LATE])
    wait_for(lambda: rows(stack, "SELECT count(*) FROM late_events")[0][0] > 0, "late events")
    cluster = Cluster(stack.settings.flink_rest_url)
    job_id = cluster.jobs()[0].job_id
    # Once for service_health, once for sessions.
    wait_for(lambda: cluster.late_events(job_id) == 2 * len(LATE), "the metric late_events")
    assert f" {2 * len(LATE)} " in stack.shardlake("jobs", "list")
    wait_for(lambda: rows(stack, "SELECT count(*) FROM app_logs") == [(FIRST_LATE,)], "the archive")
    ran.before.update({record: ran.trace(record) for record in ("e-700", "e-130")})
    topic.send_events([at(MINUTES * 60 + second, f"e-{20_000 + second}") for second in range(60)])
    stack.shardlake("jobs", "finish")
    return ran
