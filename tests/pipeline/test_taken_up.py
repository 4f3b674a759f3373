"""Changed jobs that take up a savepoint, by what they write then: the join's rows, the deduplication's keys and the
counts of open windows are those of before, each in its own column."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from shardlake.flink.plan import Change, compare, numbered
from shardlake.testing.jobs import mini_cluster_environment
from tests.support import wait_for

pytestmark = pytest.mark.pipeline

SOURCES = {
    "orders": ("order_id STRING, customer_id STRING, email STRING, total_cents BIGINT", "created_at"),
    "payments": ("order_id STRING, amount_cents BIGINT", "paid_at"),
}
SINK = "a STRING, b STRING, n BIGINT"
COUNTS = """
    SELECT '{view}', CAST(COUNT(*) FILTER (WHERE {cents} > {limit}) AS STRING), COUNT(*)
    FROM TABLE(TUMBLE(TABLE {view}, DESCRIPTOR({time}), INTERVAL '1' HOUR)) GROUP BY window_start, window_end
"""
BEFORE = {
    "seen": "SELECT order_id, email, total_cents FROM orders UNION ALL SELECT order_id, '', amount_cents FROM payments",
    "paid": """
        SELECT o.order_id, o.email, p.amount_cents FROM orders o JOIN payments p
        ON o.order_id = p.order_id AND p.paid_at BETWEEN o.created_at AND o.created_at + INTERVAL '15' MINUTE""",
    "firsts": """
        SELECT customer_id, order_id, total_cents FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY created_at) AS n FROM orders) WHERE n = 1""",
    "counts": " UNION ALL ".join(
        [
            COUNTS.format(view="orders", cents="total_cents", limit=100, time="created_at"),
            COUNTS.format(view="payments", cents="amount_cents", limit=100, time="paid_at"),
        ]
    ),
}
AFTER = {
    "seen": BEFORE["seen"],
    # Another mask behind the join, another order of columns, a filter before it.
    "paid": BEFORE["paid"]
    .replace("o.order_id, o.email,", "UPPER(o.email), o.order_id,")
    .replace("payments p", "(SELECT * FROM payments WHERE amount_cents > 10) p"),
    "firsts": BEFORE["firsts"].replace("customer_id, order_id,", "order_id, customer_id,"),
    # Another condition, and the union the other way round.
    "counts": " UNION ALL ".join(reversed(BEFORE["counts"].replace("> 100", "> 200").split(" UNION ALL "))),
}


def at(minute: int) -> str:
    return f"2026-03-01T12:{minute:02}:00Z"


def order(number: int, customer: str, cents: int, minute: int) -> dict[str, Any]:
    name = f"o{number}"
    fields = {"order_id": name, "customer_id": customer, "email": f"{name}@example.org", "total_cents": cents}
    return {**fields, "created_at": at(minute)}


def payment(number: int, cents: int, minute: int) -> dict[str, Any]:
    return {"order_id": f"o{number}", "amount_cents": cents, "paid_at": at(minute)}


class Jobs:
    """The jobs of a folder, on a mini cluster: files of rows in, as they come, files of rows out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in (*SOURCES, *BEFORE):
            (folder / name).mkdir(parents=True)

    def send(self, source: str, *rows: dict[str, Any]) -> None:
        """Give rows to a source, all at once."""
        hidden = self.folder / source / f".{len(list((self.folder / source).iterdir()))}"
        hidden.write_text("".join(json.dumps(row) + "\n" for row in rows))
        hidden.rename(hidden.with_name(hidden.name[1:]))

    def rows(self, sink: str) -> list[tuple[Any, ...]]:
        """Read the rows of a sink, sorted."""
        files = (file for file in (self.folder / sink).rglob("*") if file.is_file() and file.name[0] != ".")
        return sorted(tuple(json.loads(line).values()) for file in files for line in file.read_text().splitlines())

    def start(self, queries: Mapping[str, str], savepoint: str | None = None) -> tuple[str, Any]:
        """Run queries, from a savepoint or from the start; their plan, and Java's client of the job."""
        from pyflink.table import EnvironmentSettings, PlanReference, TableEnvironment

        environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
        settings = {"table.local-time-zone": "UTC", "parallelism.default": "1"}
        settings |= {"execution.checkpointing.interval": "300 ms"}
        settings |= {"execution.state-recovery.path": savepoint} if savepoint else {}
        for name, value in settings.items():
            environment.get_config().set(name, value)

        def table(name: str, columns: str, **options: str) -> str:
            options |= {"connector": "filesystem", "path": str(self.folder / name), "format": "json"}
            listed = ", ".join(f"'{option.replace('_', '-')}' = '{value}'" for option, value in options.items())
            return f"CREATE TABLE {name} ({columns}) WITH ({listed})"

        for name, (columns, time) in SOURCES.items():
            columns += f", {time} TIMESTAMP_LTZ(3), WATERMARK FOR {time} AS {time}"
            options = {"source.monitor-interval": "100 ms", "json.timestamp-format.standard": "ISO-8601"}
            environment.execute_sql(table(name, columns, **options))
        rolling = {f"sink.rolling-policy.{name}-interval": "100 ms" for name in ("rollover", "check")}
        statements = environment.create_statement_set()
        for name, query in queries.items():
            environment.execute_sql(table(name, SINK, **rolling))
            statements.add_insert_sql(f"INSERT INTO {name} {query}")
        plan = numbered(statements.compile_plan().as_json_string())
        loaded = environment.load_plan(PlanReference.from_json_string(plan))
        loaded._t_env = environment  # noqa: SLF001
        return plan, loaded.execute().get_job_client()._j_job_client  # noqa: SLF001

    def stop(self, client: Any, *, drain: bool) -> str:
        """End a job with a savepoint; where that is."""
        from pyflink.java_gateway import get_gateway

        form = get_gateway().jvm.org.apache.flink.core.execution.SavepointFormatType.CANONICAL
        return str(client.stopWithSavepoint(drain, f"file://{self.folder}/savepoints", form).get())


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with mini_cluster_environment():
        yield Jobs(tmp_path / "jobs")


def test_changed_jobs_go_on_with_what_they_kept(jobs: Jobs) -> None:
    jobs.send("orders", order(1, "c1", 50, 0), order(2, "c2", 150, 1))
    jobs.send("payments", payment(9, 150, 1))
    before, client = jobs.start(BEFORE)
    wait_for(lambda: len(jobs.rows("seen")) == 3, "the first rows")
    savepoint = jobs.stop(client, drain=False)
    assert jobs.rows("paid") == jobs.rows("counts") == []

    jobs.send("orders", order(3, "c1", 150, 2), order(4, "c3", 70, 3))
    jobs.send("payments", payment(1, 50, 4), payment(2, 5, 5), payment(3, 150, 6))
    now, client = jobs.start(AFTER, savepoint)
    assert compare(before, now) == Change((), ())
    wait_for(lambda: len(jobs.rows("seen")) == 8, "the rows after them")
    jobs.stop(client, drain=True)

    # The first order waited in the savepoint; the second one's payment is below the new limit.
    assert jobs.rows("paid") == [("O1@EXAMPLE.ORG", "o1", 50), ("O3@EXAMPLE.ORG", "o3", 150)]
    # The third order is not its customer's first; the first two were written in the order of columns of before.
    assert jobs.rows("firsts") == [("c1", "o1", 50), ("c2", "o2", 150), ("o4", "c3", 70)]
    # 150 exceeded the limit of before, and does not exceed that of now.
    assert jobs.rows("counts") == [("orders", "1", 4), ("payments", "1", 4)]
