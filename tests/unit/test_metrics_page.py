"""The page of all metrics, and their names as Prometheus wants them."""

from __future__ import annotations

import re

import pytest

from shardlake.cli.metrics_page import exported, page
from shardlake.metric import Kind, Metric
from tests.support import ROOT

pytestmark = pytest.mark.unit


def test_the_page_is_made_from_the_code() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == page(), "run `make metrics-page`"


@pytest.mark.parametrize("metric", exported(), ids=lambda metric: metric.name)
def test_a_name_says_what_it_is(metric: Metric) -> None:
    assert f"| `{metric.name}` |" in page()
    assert re.fullmatch(r"(kafka|shardlake)(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert not re.search(r"_(ms|millis|kb|mb)(_|$)", metric.name)
    assert metric.help.endswith(".")
    assert "|" not in metric.help
