"""docker/grafana: the dashboards are those that the code makes, and ask for metrics that there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from grafana_dashboards.lag import STATUSES
from grafana_dashboards.queries import MAY_BE_EMPTY, Query, documents, queries
from shardlake.lag.status import Status
from tests.metric_names import asked, known
from tests.support import ROOT

pytestmark = pytest.mark.unit

GRAFANA = ROOT / "docker" / "grafana"
DOCUMENTS = documents()
BOARDS: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in DOCUMENTS.items()}
UIDS = {"lag": "shardlake-lag", "lake": "shardlake-lake"}


def test_committed_dashboards_are_those_that_are_made() -> None:
    committed = {file.stem: file.read_text() for file in (GRAFANA / "dashboards").iterdir()}
    assert committed == DOCUMENTS, "run `make dashboards`"


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_stays_what_links_point_to(name: str) -> None:
    board = BOARDS[name]
    assert board["uid"] == UIDS[name]
    assert board["refresh"] == "5s"
    numbers = [panel["id"] for panel in board["panels"]]
    assert numbers == list(range(1, len(numbers) + 1))
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in board["panels"]]
    cells = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]
    assert len(cells) == len(set(cells)), "panels lie over each other"
    assert all(x + w <= 24 for x, _, w, _ in places)
    titles = [panel["title"] for panel in board["panels"]]
    assert len(titles) == len(set(titles))


def test_all_ask_the_provisioned_prometheus() -> None:
    source = yaml.safe_load((GRAFANA / "datasource.yaml").read_text())["datasources"][0]
    asking = [*(panel for board in BOARDS.values() for panel in board["panels"])]
    asking += [variable for board in BOARDS.values() for variable in board["templating"]["list"]]
    assert {one["datasource"]["uid"] for one in asking} == {source["uid"]} == {"shardlake"}
    assert source["jsonData"]["timeInterval"] == "5s"


def test_grafana_is_given_them() -> None:
    service = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["grafana"]
    mounted = dict(volume.split(":")[:2] for volume in service["volumes"] if volume.startswith("./"))
    provider = yaml.safe_load((GRAFANA / "dashboards.yaml").read_text())["providers"][0]
    assert mounted["./docker/grafana/dashboards"] == provider["options"]["path"]
    assert mounted["./docker/grafana/dashboards.yaml"].startswith("/etc/grafana/provisioning/dashboards/")


def test_dashboards_ask_for_metrics_that_there_are() -> None:
    unknown = {query: asked(query.expr) - known() for query in queries()}
    assert {query: names for query, names in unknown.items() if names} == {}
    variables = [one["query"] for board in BOARDS.values() for one in board["templating"]["list"]]
    assert {name for query in variables for name in asked(query.split("(")[1].split(",")[0])} <= known()


def test_every_metric_of_ours_is_on_a_dashboard() -> None:
    shown = {name for query in queries() for name in asked(query.expr)}
    # The same figures have other names there, for dashboards that people already have.
    same = {"kafka_topic_partitions", "kafka_consumergroup_lag", "kafka_consumergroup_group_max_lag"}
    same |= {"kafka_consumergroup_group_sum_lag", "kafka_consumergroup_group_topic_sum_lag", "up"}
    assert known() - shown == same


def test_queries_have_values_for_variables() -> None:
    found = list(queries("traffic", "app-logs", "20s"))
    assert Query("lag", "Hot shards", 'shardlake_hot_shard_ratio{group=~"traffic",topic=~"app-logs"}') in found
    assert [query.expr for query in found if query.panel == "Records arriving a second"] == [
        'sum by (topic) (rate(kafka_topic_partition_current_offset{topic=~"app-logs"}[20s]))'
    ]
    assert not [query for query in found if "$" in query.expr]
    assert {query.panel for query in found} >= MAY_BE_EMPTY


def test_every_status_has_its_colour() -> None:
    assert sorted(name for name, _ in STATUSES.values()) == sorted(Status)
