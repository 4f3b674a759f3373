"""All that the dashboards ask, for who wants to ask it of a Prometheus himself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from grafana_dashboards.board import to_json
from grafana_dashboards.lag import lag
from grafana_dashboards.lake import lake

DASHBOARDS = {"lag": lag, "lake": lake}

MAY_BE_EMPTY = frozenset({"Alarms that fire", "Held back", "Hot shards", "Time to drain", "Transaction open"})
"""The panels that show nothing where all is well."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a panel asks: PromQL that has no variable of Grafana in it."""

    dashboard: str
    panel: str
    expr: str


def documents() -> dict[str, str]:
    """Each dashboard as JSON, by name."""
    return {name: to_json(make()) for name, make in DASHBOARDS.items()}


def queries(group: str = ".*", topic: str = ".*", rate_interval: str = "1m") -> Iterator[Query]:
    """Each panel's, with these in the variables' places. KeyError where there is another variable."""
    values = {"group": group, "topic": topic, "__rate_interval": rate_interval}
    for name, text in documents().items():
        for panel in json.loads(text)["panels"]:
            for target in panel["targets"]:
                expr = re.sub(r"\$(\w+)", lambda found: values[found[1]], target["expr"])
                yield Query(name, panel["title"], expr)
