"""What the demo shows at its end: windows, the sum by partition, and the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shardlake.cli.output import add_row, new_table, out, styled
from shardlake.cli.verify import show, verdict_of
from shardlake.errors import ShardlakeError
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from shardlake.lake.accounting import PartitionAccount


def report(pipeline: Pipeline, settings: Settings, log: Path | None, run: Path, seconds: float) -> None:
    """Raises ShardlakeError where something is missing, doubled or wrong. `run` is the folder of the ledgers."""
    from shardlake.cli.query import rows_table
    from shardlake.lake.accounting import account
    from shardlake.lake.query import query
    from shardlake.lake.sql import named
    from shardlake.lake.tables import lake_tables

    tables = lake_tables(settings.lake, pipeline)
    windows = query(
        "SELECT service, count(*) AS windows, sum(events)::BIGINT AS events, sum(errors)::BIGINT AS errors, "
        "max(error_ratio) AS worst_minute, max(latency_p95_ms) AS worst_p95_ms FROM service_health "
        "GROUP BY 1 ORDER BY 1",
        tables,
    )
    out.print()
    out.print(styled("Windows of a minute, by service", "bold"), "(lake table service_health)")
    out.print(rows_table(windows.columns, windows.rows))
    topic = pipeline.events_topic
    ((events, timeless, counted, late),) = query(
        f"SELECT count(*), count(*) FILTER ({named(str(topic.event_time))} IS NULL), "
        "(SELECT coalesce(sum(events), 0)::BIGINT FROM service_health), "
        f"(SELECT count(*) FROM late_events WHERE missed_table = 'service_health') FROM {named(str(topic.lake_table))}",
        tables,
    ).rows
    rest = events - timeless - counted - late
    nowhere = [" +", styled(f"{rest:,} in neither", "red")] if rest else []
    found = f"{counted:,} in windows + {timeless:,} without a time + {late:,} after their window"
    out.print(f"{events:,} events = {found}", *nowhere)
    accounts = account(settings.kafka_bootstrap_servers, topic, settings.lake)
    out.print()
    out.print(styled(f"{topic.name}, by partition", "bold"), "(offsets asked of the broker, rows counted in Parquet)")
    out.print(_account_table(accounts))
    holds = all(one.holds for one in accounts)
    if log is not None:
        holds = _lines_found(pipeline, log, settings) and holds
    verified = "(shardlake verify: what was sent, the topic read again, the lake's files)"
    out.print()
    out.print(styled("Verified", "bold"), verified)
    verdict = verdict_of(pipeline, settings, [run], [])
    show(verdict)
    out.print(f"demo took {seconds:.1f} s")
    if not holds or verdict.conclusion != "holds":
        raise ShardlakeError("It does not hold: records are missing, doubled or wrong.", "See the tables above.")


def _account_table(accounts: list[PartitionAccount]) -> Any:
    table = new_table("partition", "first offset", "end offset", "records", "=", "rows in the lake", "+",
                      "dead letters", "+", "null values", "missing", "doubled", right=slice(None))  # fmt: skip
    for one in accounts:
        add_row(
            table, str(one.partition), f"{one.first:,}", f"{one.end:,}", f"{one.records:,}", "",
            f"{one.rows.count:,}", "", f"{one.dead_letters:,}", "", f"{one.null_values:,}",
            f"{one.difference:,}", f"{one.doubled:,}",
        )  # fmt: skip

    def total(name: str) -> Text:
        return styled(f"{sum(getattr(one, name) for one in accounts):,}", "bold")

    rows = sum(one.rows.count for one in accounts)
    holds = all(one.holds for one in accounts)
    add_row(
        table, styled("sum", "bold"), "", "", total("records"), "=" if holds else styled("≠", "red"),
        styled(f"{rows:,}", "bold"), "+", total("dead_letters"), "+", total("null_values"), total("difference"),
        total("doubled"),
    )  # fmt: skip
    return table


def _lines_found(pipeline: Pipeline, log: Path, settings: Settings) -> bool:
    """Each line of the file by its event id, computed anew from the file, in the lake exactly once."""
    from shardlake.lake.query import query
    from shardlake.lake.tables import lake_tables
    from shardlake.produce.lines import read

    module = pipeline.load_module("producers", "log_lines")
    as_event, service = module.reader(), log.name.split(".")[0]
    wanted: set[str] = {
        module.event_id(as_event(line, line.text, service)) for line in read(str(log)) if line.text is not None
    }
    tables = lake_tables(settings.lake, pipeline)
    found = dict(query("SELECT event_id, count(*) FROM app_logs GROUP BY 1", tables).rows)
    once = sum(found.get(event_id) == 1 for event_id in wanted)
    out.print(f"\n{log.name}: {once:,} of {len(wanted):,} lines are in the lake exactly once, by their event ids")
    return bool(once == len(wanted))
