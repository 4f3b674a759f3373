"""The panels that the dashboards are made of. Each asks the provisioned Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    DataSourceRef,
    Panel,
    SpecialValueMap,
    SpecialValueMatch,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="shardlake")
HEIGHT, WIDTH = 7, 8
"""Three panels beside each other, of the grid's 24 columns."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is asked, and what a line is called: `{{label}}` is replaced by Grafana."""

    expr: str
    legend: str


def graph(title: str, unit: str, *series: Series, description: str = "") -> Builder[Panel]:
    """Lines over time."""
    panel = (
        TimeSeries()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(HEIGHT)
        .span(WIDTH)
        .legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for number, one in enumerate(series):
        panel.with_target(_query(one, number))
    return panel


def figure(title: str, unit: str, series: Series, description: str = "", width: int = 4) -> Builder[Panel]:
    """The newest value, large."""
    panel = Stat().title(title).description(description).datasource(SOURCE).unit(unit).height(HEIGHT).span(width)
    return panel.with_target(_query(series, 0))


def table(title: str, series: Series, description: str = "", width: int = WIDTH) -> Builder[Panel]:
    """A line for each series that there is now."""
    panel = Table().title(title).description(description).datasource(SOURCE).height(HEIGHT).span(width)
    return panel.with_target(_query(series, 0).instant().format(PromQueryFormat.TABLE))


def states(title: str, series: Series, names: dict[int, tuple[str, str]], description: str = "") -> Builder[Panel]:
    """Which state each series was in: `names` gives each value's name and colour."""
    options = {
        str(value): ValueMappingResult(text=text, color=color, index=value) for value, (text, color) in names.items()
    }
    unknown = SpecialValueMap(
        options=DashboardSpecialValueMapOptions(
            match=SpecialValueMatch.NULL, result=ValueMappingResult(text="no figure", color="text")
        )
    )
    mappings: list[ValueMapping] = [ValueMap(options=options), unknown]
    panel = StateTimeline().title(title).description(description).datasource(SOURCE).height(HEIGHT).span(24)
    return panel.mappings(mappings).with_target(_query(series, 0))


def _query(series: Series, number: int) -> Dataquery:
    return Dataquery().expr(series.expr).legend_format(series.legend).ref_id(chr(ord("A") + number))
