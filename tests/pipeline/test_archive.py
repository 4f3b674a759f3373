"""`flink_jobs/archive.py` in process: every field kept, PII masked."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import random
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


ADDRESSES = {
    "203.0.113.77": "203.0.113.0/24",
    "0.0.0.0": "0.0.0.0/24",
    "1.2.3.4:80": "1.2.3.0/24",
    "::1": "::/48",
    "::": "::/48",
    "2001:DB8:ABCD:12::7": "2001:db8:abcd::/48",
    "2001:db8:0:12:1:2:3:4": "2001:db8::/48",
    "2001:0:1::": "2001:0:1::/48",
    "::2:3:4:5:6:7:8": "0:2:3::/48",
    "1:2:3:4:5:6:7::": "1:2:3::/48",
    "[2001:db8:1::7]:443": "2001:db8:1::/48",
    "[2001:db8:1::7]": "2001:db8:1::/48",
    "fe80::1%eth0": "fe80::/48",
    "[fe80::1%25eth0]:80": "fe80::/48",
    "::ffff:203.0.113.77": "203.0.113.0/24",
    "::FFFF:cb00:714d": "203.0.113.0/24",
    "64:ff9b::203.0.113.77": "64:ff9b::/48",
    # 6to4: the first 48 bits are all of 203.0.113.77.
    "2002:cb00:714d::1": "2002:cb00:7100::/40",
}
NO_ADDRESSES = [
    "", " ", ".", ":", "client.example", "localhost", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1.2.3.256",
    "1.2.3.04", "1.2.3.4 ", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4, 5.6.7.8", "1.2.3.4/32", "3405803853", "0x7f.0.0.1",
    ":1", "1:", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2:3:4:5:6:7:8", "1::2::3", "12345::", "g::", "::1.2.3",
    "1:2:3:4:5:6:7:1.2.3.4", "fe80::1%", "[::1", "[::1]x", "[1.2.3.4]", "[]", "::1]", "alice@example.com", "ünï::1",
]  # fmt: skip


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
    expected = {
        "/a?b=c@d": "/a", "/a#b?c": "/a", "/mail/x@y": "/mail/x@y", "": "", "?": "", "//u@h/": "//u@h/",
        "https://u:p@h/a@b?c": "https://h/a@b", "https://u:p@q@h:80": "https://h:80", "http://u@h?x@y": "http://h",
        "android-app://u@h/": "android-app://h/", "https://h/u:p@x": "https://h/u:p@x", "http://": "http://",
        "/http://u:p@h": "/http://u:p@h", "://u@h": "://u@h", "http:u@h": "http:u@h", "ü://u@h": "ü://u@h",
    }  # fmt: skip
    events = [{**EVENT, "event_id": text, "path": text} for text in expected]
    found = run_job(Pipeline.load(ROOT), "archive", {"app-logs": events})["lake.app_logs"]
    assert {row["event_id"]: row["path"] for row in found} == expected


def test_a_record_without_its_event_time_is_refused_in_process() -> None:
    with pytest.raises(BadInput, match="lacks its event_time"):
        run_job(Pipeline.load(ROOT), "archive", {"app-logs": [EVENT, {**EVENT, "event_time": None}]})


def test_a_job_whose_columns_are_not_its_sinks_is_refused(tmp_path: Path) -> None:
    folder = copy_pipeline(tmp_path / "p", partitions=4)
    job = (folder / "flink_jobs" / "archive.py").read_text()
    (folder / "flink_jobs" / "lacking.py").write_text(job.replace("`partition`, `offset`, ", ""))
    with pytest.raises(BadInput, match=r"into lake\.app_logs, whose columns are"):
        run_job(Pipeline.load(folder), "lacking", {"app-logs": [EVENT]})
