"""`shardlake lag`: how far every consumer group is behind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake.cli.output import add_row, err, new_table, out, print_json, styled, watch_table
from shardlake.counted import counted
from shardlake.errors import BadInput, Unavailable
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from shardlake.lag.sampling import Sample
    from shardlake.lag.shard import Shard
    from shardlake.metric import Values

HOST = "127.0.0.1"
COLOURS = {"OK": "green", "NOT_STARTED": "yellow", "WARN": "yellow"}


def lag(
    ctx: typer.Context,
    group: Annotated[str | None, typer.Option(help="One group; all without.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    watch: Annotated[bool, typer.Option(help="Renew it every second until Ctrl-C.")] = False,
    serve: Annotated[bool, typer.Option(help="Export it for Prometheus until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="The exporter's port.")] = 9101,
    host: Annotated[str, typer.Option(help="The exporter's address; 0.0.0.0 in a container only.")] = HOST,
) -> None:
    """Records and seconds behind, for each group and partition, and what to think of it."""
    from shardlake.lag.sampling import Sampler

    if json and (watch or serve):
        raise BadInput(f"--json is one look; it does not go with {'--watch' if watch else '--serve'}.")
    servers = Settings.read().kafka_bootstrap_servers
    if serve:
        _serve(ctx.obj.pipeline, servers, host, port)
        return
    sampler = Sampler.of(servers)
    try:
        if watch:
            watch_table(lambda: lag_table(sampler.sample(), group))
        else:
            sample = sampler.sample()
            if group and group not in sample.groups:
                known = ", ".join(sample.groups) or "none"
                raise BadInput(f"There is no consumer group {group!r}.", f"There is: {known}.")
            print_json(as_json(sample, group)) if json else out.print(lag_table(sample, group))
    finally:
        sampler.close()


def _serve(pipeline: Path, servers: str, host: str, port: int) -> None:
    from shardlake.lag.background import Background
    from shardlake.lag.exporter import SCRAPE_SECONDS, Exporter, serve
    from shardlake.lag.sampling import EACH_TIME, Sampler

    others = [Background(name, ask, err.print).samples for name, ask in _others(Pipeline.load(pipeline)).items()]
    sampler = Sampler.of(servers, SCRAPE_SECONDS)
    exporter = Exporter(lambda: sampler.sample(EACH_TIME), others, err.print)
    try:
        server = serve(exporter, host, port)
    except OSError as error:
        msg = f"Lag cannot be exported at {host}:{port}: {error.strerror}."
        raise Unavailable(msg, "Choose another port with --port.") from error
    err.print(f"lag is exported at http://{host}:{port}/metrics; Ctrl-C ends it")
    try:
        server.serve_forever()
    finally:
        exporter.close()
        sampler.close()


def _others(pipeline: Pipeline) -> dict[str, Callable[[], Values]]:
    """What else is asked: the jobs, and the lake where one is known."""
    from shardlake.flink import metrics
    from shardlake.flink.cluster import Cluster
    from shardlake.lake.freshness import Freshness
    from shardlake.lake.tables import lake_tables

    settings = Settings.read()
    cluster = Cluster(settings.flink_rest_url)
    others: dict[str, Callable[[], Values]] = {"flink": lambda: metrics.samples(cluster)}
    if settings.lake_url:
        freshness = Freshness(lambda: lake_tables(settings.lake, pipeline))
        others["lake"] = freshness.samples
    return others


def as_json(sample: Sample, only: str | None = None) -> dict[str, Any]:
    """A sample for programs: `lag` is -1 where a group has not started; what is not known is null.

    `held_back` are offsets behind a transaction, which has been open for `open_seconds`; they are no part of `lag`.
    """
    return {
        "taken_ms": int(sample.taken_ms),
        "groups": [
            {"group": name, "state": group.state, "members": group.members}
            for name, group in sample.groups.items()
            if only in (None, name)
        ],
        "partitions": [_partition(shard, sample) for shard in sample.shards if only in (None, shard.group)],
    }


def _partition(shard: Shard, sample: Sample) -> dict[str, Any]:
    drain = shard.drain_seconds
    return {
        "group": shard.group,
        "topic": shard.topic,
        "partition": shard.partition,
        "committed": shard.track.committed,
        "end": shard.track.end,
        "high_watermark": shard.track.position.bounds.high,
        "lag": shard.exported,
        "held_back": shard.held_back,
        "open_seconds": shard.open_seconds,
        "seconds": shard.seconds,
        "measured_seconds": shard.measured_seconds,
        "interpolated_seconds": shard.interpolated_seconds,
        "drain_seconds": "never" if drain is not None and math.isinf(drain) else drain,
        "retention_risk": shard.retention_risk(sample.answers.retention_ms.get(shard.topic)),
        **asdict(shard.verdict),
        "owner": shard.owner.client_id,
    }


def lag_table(sample: Sample, only: str | None = None) -> Table:
    """A row a partition, and a sum for each group of several."""
    table = new_table(
        "group", "topic", "partition", "committed", "end", "records behind", "seconds behind", "last minute", "status",
        "held by", right=slice(2, 7),
    )  # fmt: skip
    hot = {id(shard): ratio for shard, ratio in sample.hot()}
    for name, group in sample.groups.items():
        if only not in (None, name):
            continue
        shards = sample.of(name)
        for shard in shards:
            add_row(table, *_row(shard, sample.answers.taken_ms, hot.get(id(shard))))
        if len(shards) != 1:
            total = sum(shard.records for shard in shards)
            longest = max((shard.seconds for shard in shards if shard.seconds is not None), default=None)
            members = f"{counted(group.members, 'member')}, {group.state.lower()}"
            sums = [styled(f"{total:,}", "bold"), styled(_seconds(longest), "bold")]
            add_row(table, name, styled("sum", "bold"), "", "", "", *sums, "", "", members)
    if not table.rows:
        add_row(table, f"no consumer group {only + ' ' if only else ''}yet", *[""] * 9)
    return table


def _row(shard: Shard, taken_ms: float, times_others: float | None) -> list[str | Text]:
    from shardlake.lag.trend import arrow, lags, sparkline

    verdict, track = shard.verdict, shard.track
    values = lags(track, taken_ms)
    heat = f", hot: {times_others:,.0f} times the others" if times_others else ""
    return [
        shard.group, shard.topic, str(shard.partition), _number(track.committed), _number(track.end),
        _behind(shard),
        _seconds(shard.seconds),
        f"{arrow(values)} {sparkline(values)}",
        styled(verdict.status, COLOURS.get(verdict.status, "red"), f" {verdict.reason}{heat}"),
        shard.owner.client_id,
    ]  # fmt: skip


def _behind(shard: Shard) -> str:
    held = f" (+{shard.held_back:,} held back)" if shard.held_back else ""
    words = _number(shard.exported, "?") if shard.has_started else f"not started ({shard.records:,} waiting)"
    return f"{words}{held}"


def _number(value: int | None, unknown: str = "-") -> str:
    return unknown if value is None else f"{value:,}"


def _seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:,.1f}"
