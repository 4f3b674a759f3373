"""Real plans of a shop's queries, each compiled in about a second, in one JVM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shardlake.flink.endpoints import Endpoints
from shardlake.flink.inserts import on_any_flink
from shardlake.flink.plan import numbered
from shardlake.flink.tables import table_definitions
from shardlake.pipeline import Pipeline
from shardlake.testing.jobs import mini_cluster_environment

TIME = {"type": "long", "logicalType": "timestamp-millis"}
ORDER = {
    "order_id": "string", "customer_id": "string", "email": ["null", "string"], "country": "string",
    "quantity": "int", "weight": "int", "total_cents": "long", "created_at": TIME,
}  # fmt: skip
PAYMENT = {"order_id": "string", "method": "string", "amount_cents": "long", "paid_at": TIME}
TOPICS = """
[orders]
schema = "order"
event_time = "created_at"
partitions = 1
lake_table = "orders"
dead_letters = "orders.dlq"

[payments]
schema = "payment"
event_time = "paid_at"
partitions = 1
lake_table = "payments"
dead_letters = "payments.dlq"

["orders.dlq"]
partitions = 1

["payments.dlq"]
partitions = 1
"""


def shop(folder: Path) -> Pipeline:
    """A pipeline of two topics of events, orders and payments."""
    for name in ("schemas", "producers", "flink_jobs", "consumers"):
        (folder / name).mkdir(parents=True)
    for name, fields in (("order", ORDER), ("payment", PAYMENT)):
        record: dict[str, Any] = {"type": "record", "name": name.title(), "namespace": "shop"}
        record["fields"] = [{"name": field, "type": kind} for field, kind in fields.items()]
        (folder / "schemas" / f"{name}.avsc").write_text(json.dumps(record))
    (folder / "schemas" / "topics.toml").write_text(TOPICS)
    return Pipeline.load(folder)


class Planner:
    """Queries over the views of a pipeline, compiled as `jobs run` compiles them."""

    def __init__(self, pipeline: Pipeline) -> None:
        from pyflink.table import EnvironmentSettings, TableEnvironment

        self.environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
        for name, value in on_any_flink({}, 10).items():
            self.environment.get_config().set(name, value)
        for statement in table_definitions(pipeline, Endpoints("broker:9092", "http://registry", "file:///lake")):
            self.environment.execute_sql(statement)

    def sink(self, name: str, columns: str) -> None:
        """A table that queries can be inserted into."""
        self.environment.execute_sql(f"CREATE TABLE {name} ({columns}) WITH ('connector' = 'blackhole')")

    def plan(self, *inserts: tuple[str, str]) -> str:
        """The plan of one application: pairs of a sink and a query."""
        statements = self.environment.create_statement_set()
        for sink, query in inserts:
            statements.add_insert_sql(f"INSERT INTO {sink} {query}")
        return numbered(statements.compile_plan().as_json_string())


@contextmanager
def planner(folder: Path) -> Iterator[Planner]:
    """A planner of the shop's queries, in this process's JVM."""
    with mini_cluster_environment():
        yield Planner(shop(folder))
