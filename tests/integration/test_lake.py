"""Produce, job, lake in S3, query: every value on the way is what the log says."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.integration.conftest import Way
from tests.support import ROOT, json_in

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

LOG = ROOT / "tests" / "data" / "access.log"


def test_a_log_is_in_s3_line_by_line(way: Way) -> None:
    way.containers.shardlake(*way.produce(str(LOG), "--service", "of-the-log", "--as-now"))
    way.await_accounted_for()
    lines = [line for line in LOG.read_text(errors="replace").splitlines() if line.strip()]
    # A line whose date is none is kept as it is, without fields.
    statuses = Counter(
        int(found[1]) for line in lines if "31/Feb" not in line and (found := re.search(r'" (\d{3}) ', line))
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
