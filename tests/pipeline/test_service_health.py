"""`flink_jobs/service_health.py` in process: each cell of its windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shardlake.pipeline import Pipeline
from shardlake.testing.jobs import run_job
from tests.support import ROOT

pytestmark = pytest.mark.pipeline

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def at(seconds: float, service: str, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"{service}-{seconds}",
        "event_time": NOON + timedelta(seconds=seconds),
        "service": service,
        **fields,
    }


def test_windows_count_each_service_by_the_minute_of_the_event_time() -> None:
    events = [
        at(0, "api", status=200, response_bytes=10, latency_ms=1.0),
        at(59.999, "api", status=503, response_bytes=20, latency_ms=3.0),
        # Out of order, yet in time for its window.
        at(60, "api", status=500, latency_ms=5.0),
        at(30, "api", level="ERROR"),
        at(31, "api", level="FATAL", status=200),
        at(32, "api", level="WARN", status=499),
        at(5, "web", status=200),
    ]
    found = run_job(Pipeline.load(ROOT), "service_health", {"app-logs": events})
    assert set(found) == {"lake.service_health", "topics.`service-health`", "lake.late_events"}
    rows = {(row["service"], row["window_start"]): row for row in found["lake.service_health"]}
    assert set(rows) == {("api", NOON), ("api", NOON + timedelta(minutes=1)), ("web", NOON)}
    first = rows["api", NOON]
    assert first == {
        "window_start": NOON,
        "window_end": NOON + timedelta(minutes=1),
        "service": "api",
        "events": 5,
        "errors": 3,
        "error_ratio": pytest.approx(0.6),
        "response_bytes": 30,
        "latency_mean_ms": pytest.approx(2.0),
        "latency_p50_ms": pytest.approx(2.0),
        "latency_p95_ms": pytest.approx(2.9),
        "latency_p99_ms": pytest.approx(2.98),
    }
    second = rows["api", NOON + timedelta(minutes=1)]
    assert (second["events"], second["errors"], second["response_bytes"], second["latency_p99_ms"]) == (1, 1, None, 5.0)
    # What no event carried is null, not 0.
    lacking = ("response_bytes", "latency_mean_ms", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms")
    assert {name: rows["web", NOON][name] for name in lacking} == dict.fromkeys(lacking)
    # The topic gets the same.
    in_topic = {(row["service"], row["window_start"]): row for row in found["topics.`service-health`"]}
    assert in_topic == rows


def test_what_comes_for_a_minute_that_a_finish_has_closed_is_late() -> None:
    events = [at(seconds, "api") for seconds in (5, 100, 119.999, 120, 130, 86_400)]
    latest_ms = round((NOON.timestamp() + 70) * 1000)
    found = run_job(Pipeline.load(ROOT), "service_health", {"app-logs": events}, closed={"app-logs": latest_ms})
    minutes = [(row["window_start"], row["events"]) for row in found["lake.service_health"]]
    assert sorted(minutes) == [(NOON + timedelta(minutes=2), 2), (NOON + timedelta(days=1), 1)]
    closed = NOON + timedelta(minutes=2)
    late = [(row["event_id"], row["window_end"], row["closed_until"]) for row in found["lake.late_events"]]
    assert late == [
        ("api-5", NOON + timedelta(minutes=1), closed),
        ("api-100", closed, closed),
        ("api-119.999", closed, closed),
    ]
