"""`flink_jobs/archive.py` in process: every field kept, PII masked."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shardlake.errors import BadInput
from shardlake.pipeline import Pipeline
from shardlake.testing.jobs import KEY, run_job
from tests.support import ROOT, copy_pipeline

pytestmark = pytest.mark.pipeline

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
ARRIVAL = datetime(2026, 11, 3, 12, 0, 1, 250_000, tzinfo=UTC)
EVENT = {
    "event_id": "1", "event_time": NOON, "service": "web", "host": "web-1", "level": "INFO", "message": "hello ünï",
    "method": "GET", "path": "/a/b?token=secret#top", "status": 200, "response_bytes": 5, "latency_ms": 1.5,
    "client_address": "203.0.113.7", "user_agent": "curl", "referrer": "https://a.example/?mail=x@y", "raw": None,
    "topic": "app-logs", "partition": 3, "offset": 42, "arrival_time": ARRIVAL,
}  # fmt: skip


def keyed_hash(value: str) -> str:
    return hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()[:32]


def test_an_event_is_archived_with_every_field_and_its_pii_masked() -> None:
    sparse = {"event_id": "2", "event_time": NOON, "service": "web", "raw": "what?", "arrival_time": ARRIVAL}
    found = run_job(Pipeline.load(ROOT), "archive", {"app-logs": [EVENT, sparse]})["lake.app_logs"]
    rows = {row["event_id"]: row for row in found}
    assert rows["1"] == {
        **EVENT,
        "message": keyed_hash("hello ünï"),
        "path": "/a/b",
        "client_address": keyed_hash("203.0.113.7"),
        "referrer": "https://a.example/",
    }
    assert rows["2"]["raw"] == keyed_hash("what?")
    assert {name for name, value in rows["2"].items() if value is None} == (
        set(EVENT) - {"event_id", "event_time", "service", "raw", "arrival_time"}
    )


def test_a_record_without_its_event_time_is_refused_in_process() -> None:
    with pytest.raises(BadInput, match="lacks its event_time"):
        run_job(Pipeline.load(ROOT), "archive", {"app-logs": [EVENT, {**EVENT, "event_time": None}]})


def test_a_job_whose_columns_are_not_its_sinks_is_refused(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path / "p", partitions=4)
    job = (folder / "flink_jobs" / "archive.py").read_text()
    (folder / "flink_jobs" / "lacking.py").write_text(job.replace("`partition`, `offset`, ", ""))
    with pytest.raises(BadInput, match=r"into lake\.app_logs, whose columns are"):
        run_job(Pipeline.load(folder), "lacking", {"app-logs": [EVENT]})
