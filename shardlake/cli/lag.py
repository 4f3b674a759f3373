"""`shardlake lag`: how far every consumer group is behind."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake.cli.output import err, out, print_json, watch_table
from shardlake.errors import BadInput, Unavailable
from shardlake.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from shardlake.lag.sampling import PartitionLag, Sample

HOST = "127.0.0.1"


def lag(
    group: Annotated[str | None, typer.Option(help="One group; all without.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    watch: Annotated[bool, typer.Option(help="Renew it every second until Ctrl-C.")] = False,
    serve: Annotated[bool, typer.Option(help="Export it for Prometheus until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="The exporter's port.")] = 9101,
    host: Annotated[str, typer.Option(help="The exporter's address; 0.0.0.0 in a container only.")] = HOST,
) -> None:
    """Records and seconds behind, for each group and partition."""
    from shardlake.lag.sampling import Sampler

    sampler = Sampler(Settings.read().kafka_bootstrap_servers)
    try:
        if serve:
            _serve(sampler, host, port)
        elif watch:
            watch_table(lambda: lag_table(sampler.sample(group)))
        else:
            sample = sampler.sample(group)
            if group and not sample.states:
                known = ", ".join(sampler.sample().states) or "none"
                raise BadInput(f"There is no consumer group {group!r}.", f"There is: {known}.")
            print_json(as_json(sample)) if json else out.print(lag_table(sample))
    finally:
        sampler.close()


def _serve(sampler: Any, host: str, port: int) -> None:
    from shardlake.lag.exporter import serve

    try:
        server, thread = serve(sampler.sample, host, port, err.print)
    except OSError as error:
        raise Unavailable(f"Port {port} is taken: {error.strerror}.", "Choose another with --port.") from error
    err.print(f"lag is exported at http://{host}:{port}/metrics; Ctrl-C ends it")
    try:
        thread.join()
    finally:
        server.shutdown()


def as_json(sample: Sample) -> dict[str, Any]:
    """A sample for programs; `lag` is -1 and `seconds` null where a group has not started."""
    return {
        "taken_ms": sample.taken_ms,
        "groups": [
            {"group": name, "state": state, "members": sample.members[name]} for name, state in sample.states.items()
        ],
        "partitions": [
            {**asdict(one), "lag": one.lag.exported, "seconds": one.lag.seconds, "state": one.lag.state.value}
            for one in sample.lags
        ],
    }


def lag_table(sample: Sample) -> Table:
    """A row a partition, and a sum for each group of several."""
    from rich.table import Table

    table = Table(
        "group", "topic", "partition", "committed", "end", "records behind", "seconds behind", "held by", box=None
    )
    for column in table.columns[2:7]:
        column.justify = "right"
    for name, state in sample.states.items():
        lags = [one for one in sample.lags if one.group == name]
        for one in lags:
            table.add_row(
                name, one.topic, str(one.partition), _number(one.committed), _number(one.end), *_behind(one), one.owner
            )
        if len(lags) != 1:
            total = sum(one.lag.records for one in lags)
            longest = max((one.lag.seconds for one in lags if one.lag.seconds is not None), default=None)
            table.add_row(
                name, "[bold]sum[/]", "", "", "", f"[bold]{total:,}[/]", f"[bold]{_seconds(longest)}[/]",
                f"{sample.members[name]} members, {state.lower()}",
            )  # fmt: skip
    if not sample.states:
        table.add_row("no consumer group yet", *[""] * 7)
    return table


def _behind(one: PartitionLag) -> tuple[str, str]:
    from shardlake.lag.rules import State

    if one.lag.state is State.NOT_STARTED:
        return f"not started ({one.lag.records:,} waiting)", _seconds(one.lag.seconds)
    if one.lag.state in (State.LOST, State.AHEAD):
        return f"{one.lag.records:,} [red]({one.lag.state.value})[/]", _seconds(one.lag.seconds)
    return f"{one.lag.records:,}", _seconds(one.lag.seconds)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:,.1f}"
