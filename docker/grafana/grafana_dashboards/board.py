"""What all dashboards have in common, and how one becomes JSON."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    RowPanel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana_dashboards.panels import SOURCE


def board(uid: str, title: str) -> Dashboard:
    """An empty one, that asks again every 5 s."""
    made = Dashboard(title).uid(uid).tags(["shardlake"]).refresh("5s").time("now-15m", "now").timezone("browser")
    return made.readonly().tooltip(DashboardCursorSync.CROSSHAIR)


def variable(name: str, query: str) -> QueryVariable:
    """Some or all of the values that a label has."""
    made = QueryVariable(name).label(name).query(query).datasource(SOURCE)
    made.multi(multi=True).include_all(include_all=True).all_value(".*")
    made.current(VariableOption(selected=True, text="All", value="$__all"))
    return made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)


def to_json(made: Dashboard) -> str:
    """The dashboard as it is provisioned."""
    built = made.build()
    for number, panel in enumerate(built.panels or [], start=1):
        assert not isinstance(panel, RowPanel)
        panel.id_val = number
    return JSONEncoder(sort_keys=True, indent=2).encode(built) + "\n"
