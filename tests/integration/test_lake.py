"""Produce, job, lake in S3, query: every value on the way is what the log says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.conftest import Way
from tests.support import ROOT, json_in

pytestmark = [pytest.mark.integration, pytest.mark.thorough, pytest.mark.timeout(1200)]

LOG = ROOT / "tests" / "data" / "access.log"


def test_a_log_is_in_s3_line_by_line(way: Way, tmp_path: Path) -> None:
    # Jobs that have just been restarted know no watermark: an event an hour behind the others would be late by chance.
    lines = [line for line in LOG.read_bytes().splitlines(keepends=True) if line.strip() and b"+0100" not in line]
    log = tmp_path / LOG.name
    log.write_bytes(b"".join(lines))
    way.containers.shardlake(*way.produce(str(log), "--service", "of-the-log", "--as-now"))
    way.await_accounted_for()
    # A line whose date is none is kept as it is, without fields.
    statuses = Counter(
        int(found[1]) for line in lines if b"31/Feb" not in line and (found := re.search(rb'" (\d{3}) ', line))
    )
    rows = way.rows("SELECT status, count(*) AS n FROM app_logs WHERE service = 'of-the-log' GROUP BY 1")
    assert Counter({row["status"]: row["n"] for row in rows if row["status"] is not None}) == statuses
    assert sum(row["n"] for row in rows) == len(lines)
    assert way.containers.settings.lake_url.startswith("s3://")
    assert way.verify()["checks"][0]["check"] == "the lake's files"


def test_poison_is_a_dead_letter_and_its_neighbours_are_in_s3(way: Way) -> None:
    before = way.rows("SELECT count(*) AS n FROM app_logs")[0]["n"]
    sent = way.containers.shardlake(
        *way.produce("--synthetic", "--rate", "200", "--duration", "5", "--seed", "7", "--poison", "40")
    )
    summary = json_in(sent)
    way.await_accounted_for()
    assert way.rows("SELECT count(*) AS n FROM app_logs")[0]["n"] - before == summary["sent"] - 40 == 1000
    assert way.verify()["counts"] == {}
