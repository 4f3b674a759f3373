"""docker/prometheus/rules.yaml: each alarm is tested, explained, and asks for metrics that there are."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.metric_names import RULES, RULES_FILE, asked, known
from tests.support import ROOT

pytestmark = pytest.mark.unit

ALARMS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in RULES if "alert" in rule}
CASES: list[dict[str, Any]] = yaml.safe_load(RULES_FILE.with_name("rules_test.yaml").read_text())["tests"]
TESTED = [one for case in CASES for one in case.get("alert_rule_test", [])]


def anchors(page: str) -> set[str]:
    """As GitHub makes them of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    alarm = ALARMS[name]
    assert alarm["labels"]["severity"] in {"page", "ticket", "info"}
    assert alarm["annotations"]["summary"]
    page, _, anchor = alarm["annotations"]["runbook"].partition("#")
    assert (page, anchor) == ("docs/alarms.md", name.lower())
    assert anchor in anchors((ROOT / page).read_text())


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_is_tested_to_fire_and_not_to(name: str) -> None:
    fires = [one for one in TESTED if one["alertname"] == name and one["exp_alerts"]]
    assert fires
    assert [one for one in TESTED if one["alertname"] == name and not one["exp_alerts"]]
    assert {one["exp_labels"]["severity"] for case in fires for one in case["exp_alerts"]} == {
        ALARMS[name]["labels"]["severity"]
    }


def test_no_alarm_is_tested_or_explained_that_is_not_there() -> None:
    assert {one["alertname"] for one in TESTED} == set(ALARMS)
    explained = re.findall(r"^### (.+)$", (ROOT / "docs" / "alarms.md").read_text(), re.MULTILINE)
    assert sorted(explained) == sorted(ALARMS)


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_can_fire_within_a_minute(name: str) -> None:
    """A wait of 30 s for what has to be slow is in the expression; scrape and evaluation take 5 s each."""
    waits = re.fullmatch(r"(\d+)s", ALARMS[name].get("for", "0s"))
    assert waits
    assert int(waits[1]) <= 30


def test_rules_ask_for_metrics_that_there_are() -> None:
    unknown = {rule.get("alert", rule.get("record")): asked(rule["expr"]) - known() for rule in RULES}
    assert {name: missing for name, missing in unknown.items() if missing} == {}
    assert all(asked(rule["expr"]) for rule in RULES)


def test_the_budget_s_windows_are_those_that_are_recorded() -> None:
    windows = {"LakeFreshnessBurn14x": ("1h", "5m", 14.4), "LakeFreshnessBurn6x": ("6h", "30m", 6)}
    for name, (long, short, factor) in (windows | {"LakeFreshnessBurn1x": ("3d", "6h", 1)}).items():
        late = "shardlake:lake_late:avg"
        assert ALARMS[name]["expr"] == f"{late}{long} > {factor} * 0.01 and {late}{short} > {factor} * 0.01"
    for rule in RULES:
        if window := re.fullmatch(r"shardlake:lake_late:avg(\w+)", rule.get("record", "")):
            assert re.search(r"\[(\w+):", rule["expr"])[1] == window[1]  # type: ignore[index]


def test_prometheus_is_given_the_rules_and_their_tests() -> None:
    folder = RULES_FILE.parent
    config = yaml.safe_load((folder / "prometheus.yaml").read_text())
    assert config["rule_files"] == ["rules.yaml"]
    assert (config["global"]["scrape_interval"], config["global"]["evaluation_interval"]) == ("5s", "5s")
    image = (folder / "Dockerfile").read_text()
    checks = re.findall(r"promtool (\w+ \w+) /etc/prometheus/([\w.]+)", image)
    assert checks == [
        ("check config", "prometheus.yaml"),
        ("check rules", "rules.yaml"),
        ("test rules", "rules_test.yaml"),
    ]
    for _, file in checks:
        assert f"docker/prometheus/{file} " in image


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ("up", {"up"}),
        ('max by (group, topic) (a_b{x="c > d", y=~".+\\\\.dlq"}) > 30', {"a_b"}),
        ("rate(a_total[$__rate_interval]) / on (topic) group_left () b:c:avg5m offset 30s", {"a_total", "b:c:avg5m"}),
        ("avg_over_time((max(a) or vector(0))[1h:1m]) unless on () b == bool 1 < Inf", {"a", "b"}),
        ('label_replace(a, "group", "$1", "consumergroup", "(.+)") and c', {"a", "c"}),
    ],
)
def test_the_names_in_an_expression(expr: str, names: set[str]) -> None:
    assert asked(expr) == names
