"""`flink_jobs/archive.py` in process: every field kept, PII masked."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from shardlake.errors import BadInput
from shardlake.lake.masks import Masks
from shardlake.pipeline import Pipeline
from shardlake.testing.jobs import KEY, run_job
from tests.pii_cases import ADDRESSES, NO_ADDRESSES, TARGETS
from tests.support import ROOT, copy_pipeline

pytestmark = pytest.mark.pipeline

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
ARRIVAL = datetime(2026, 11, 3, 12, 0, 1, 250_000, tzinfo=UTC)
EVENT = {
    "event_id": "1", "event_time": NOON, "service": "web", "host": "web-1", "level": "INFO", "message": "hello ünï",
    "method": "GET", "path": "/a/b?token=secret#top", "status": 200, "response_bytes": 5, "latency_ms": 1.5,
    "client_address": "203.0.113.7", "user_agent": "curl", "raw": None,
    "referrer": "https://user:pass@a.example/x@y?mail=x@y",
    "topic": "app-logs", "partition": 3, "offset": 42, "arrival_time": ARRIVAL,
}  # fmt: skip


KEY_ID = "aae24849"
"""printf %s "$KEY" | sha256sum | cut -c1-8"""


def keyed_hash(value: str) -> str:
    return f"{KEY_ID}:{hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()[:32]}"


def network(address: str, bits: int) -> str:
    return str(ipaddress.ip_network((address, bits), strict=False))


def test_an_event_is_archived_with_every_field_and_its_pii_masked() -> None:
    sparse = {"event_id": "2", "event_time": NOON, "service": "web", "raw": "what?", "arrival_time": ARRIVAL}
    found = run_job(Pipeline.load(ROOT), "archive", {"app-logs": [EVENT, sparse]})["lake.app_logs"]
    rows = {row["event_id"]: row for row in found}
    assert rows["1"] == {
        **EVENT,
        "message": keyed_hash("hello ünï"),
        "path": "/a/b",
        "client_address": keyed_hash("203.0.113.7"),
        "user_agent": keyed_hash("curl"),
        "referrer": "https://a.example/x@y",
    }
    assert rows["2"]["raw"] == keyed_hash("what?")
    assert {name for name, value in rows["2"].items() if value is None} == (
        set(EVENT) - {"event_id", "event_time", "service", "raw", "arrival_time"}
    )


def test_a_job_in_process_leaves_the_environment_as_it_was() -> None:
    before = dict(os.environ)
    run_job(Pipeline.load(ROOT), "archive", {"app-logs": [EVENT]})
    assert dict(os.environ) == before


def test_addresses_are_truncated_to_their_networks_and_what_is_none_is_hashed(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path / "p", partitions=4)
    schema = folder / "schemas" / "app_log.avsc"
    text = schema.read_text().replace(
        '"pii": "hash", "doc": "The client', '"pii": "truncate_network", "doc": "The client'
    )
    schema.write_text(text.replace('"pii": "hash", "doc": "User', '"pii": "drop", "doc": "User'))
    random.seed(11)
    many = [ipaddress.IPv6Address(random.getrandbits(128) & random.getrandbits(128)) for _ in range(200)]
    expected = ADDRESSES | {text: keyed_hash(text) for text in NO_ADDRESSES}
    expected |= {str(one): network(str(one), 48) for one in many}
    expected |= {one.exploded.upper(): network(str(one), 48) for one in many}
    events = [{**EVENT, "event_id": address, "client_address": address} for address in expected]
    events.append({**EVENT, "event_id": "none", "client_address": None})
    found = run_job(Pipeline.load(folder), "archive", {"app-logs": events})["lake.app_logs"]
    assert {row["event_id"]: row["client_address"] for row in found} == {**expected, "none": None}
    assert {row["user_agent"] for row in found} == {None}
    assert {row["host"] for row in found} == {"web-1"}


def test_queries_users_and_passwords_are_cut_off_and_nothing_else_is() -> None:
    events = [{**EVENT, "event_id": text, "path": text} for text in TARGETS]
    found = run_job(Pipeline.load(ROOT), "archive", {"app-logs": events})["lake.app_logs"]
    assert {row["event_id"]: row["path"] for row in found} == TARGETS


def test_the_masks_that_check_the_jobs_are_the_jobs_for_any_text(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path / "p", partitions=4)
    schema = folder / "schemas" / "app_log.avsc"
    schema.write_text(
        schema.read_text().replace('"pii": "hash", "doc": "The cl', '"pii": "truncate_network", "doc": "The cl')
    )
    pipeline = Pipeline.load(folder)
    draw = random.Random(7)

    def text(*parts: str) -> str:
        return "".join(draw.choice(parts) for _ in range(draw.randrange(14)))

    urls = ("http", "://", "/", "@", ":", "?", "#", "a", "é", "+", "-", ".", "1", "𝄞", "")
    pieces = ("0", "1", "25", "ff", "2002", "ffff", ":", ":", "::", ".", "%", "[", "]", "é", "10.0.0.7", "")

    def nearly_an_address() -> str:
        one = draw.choice((ipaddress.IPv4Address(draw.getrandbits(32)), ipaddress.IPv6Address(draw.getrandbits(128))))
        cut = sorted(draw.choices(range(len(str(one)) + 1), k=2))
        return f"{str(one)[: cut[0]]}{draw.choice(pieces)}{str(one)[draw.choice(cut) :]}"

    events = [
        {**EVENT, "event_id": str(n), "path": text(*urls), "client_address": address, "message": text(*urls)}
        for n, address in enumerate([text(*pieces) for _ in range(1_500)] + [nearly_an_address() for _ in range(1_500)])
    ]
    found = run_job(pipeline, "archive", {"app-logs": events})["lake.app_logs"]
    rows = {row["event_id"]: row for row in found}
    masks = Masks(pipeline.schemas["app_log"], [KEY])
    for name in ("path", "client_address", "message", "referrer", "service"):
        (column,) = masks.apply(name, pa.array([event[name] for event in events], pa.string())).values()
        for event, expected in zip(events, column.to_pylist(), strict=True):
            assert rows[str(event["event_id"])][name] == expected, event[name]
    networks = [row["client_address"] for row in found if "/" in row["client_address"]]
    assert 100 < len(networks) < 2_000
    assert len(set(networks)) > 100


def test_a_record_without_its_event_time_is_refused_in_process() -> None:
    with pytest.raises(BadInput, match="lacks its event_time"):
        run_job(Pipeline.load(ROOT), "archive", {"app-logs": [EVENT, {**EVENT, "event_time": None}]})


def test_a_job_whose_columns_are_not_its_sinks_is_refused(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path / "p", partitions=4)
    job = (folder / "flink_jobs" / "archive.py").read_text()
    (folder / "flink_jobs" / "lacking.py").write_text(job.replace("`partition`, `offset`, ", ""))
    with pytest.raises(BadInput, match=r"into lake\.app_logs, whose columns are"):
        run_job(Pipeline.load(folder), "lacking", {"app-logs": [EVENT]})
