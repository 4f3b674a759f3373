"""Runs in the readers' environment: the rows of one table by each reader, as one line of JSON.

`python program.py TABLE COLUMN …`: by reader, a list of rows; each row is the event time in microseconds since 1970,
and the columns. Spark reads once in UTC and once in Tokyo.
"""

from __future__ import annotations

import json
import sys
from typing import Any

SPARK = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.log.level": "OFF",
}
HIVE = [(name, "string") for name in ("year", "month", "day", "hour")]


def spark(table: str, columns: list[str], zone: str) -> list[list[Any]]:
    """Return the rows as Spark gives them in a session of a time zone."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]")
    for name, value in SPARK.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.conf.set("spark.sql.session.timeZone", zone)
    found = session.read.option("mergeSchema", "true").parquet(table)
    rows = found.selectExpr("unix_micros(event_time)", *columns).collect()
    return [list(row) for row in rows]


def datafusion(table: str, columns: list[str]) -> list[list[Any]]:
    """Return the rows as Apache DataFusion gives them."""
    from datafusion import SessionContext

    context = SessionContext()
    context.register_parquet("found", f"{table}/", table_partition_cols=HIVE)
    names = ", ".join(f'"{name}"' for name in columns)
    rows = context.sql(f"SELECT arrow_cast(event_time, 'Int64') AS t, {names} FROM found").to_pylist()
    return [list(row.values()) for row in rows]


def chdb(table: str, columns: list[str]) -> list[list[Any]]:
    """Return the rows as ClickHouse gives them, which chDB runs in this process."""
    from chdb import query

    source = f"file('{table}/**/*.parquet', Parquet)"
    sql = f"SELECT toUnixTimestamp64Micro(event_time), {', '.join(columns)} FROM {source}"
    told = query(f"{sql} SETTINGS schema_inference_mode = 'union'", "JSONCompactEachRow").bytes().decode()
    return [json.loads(line) for line in told.splitlines()]


def main() -> None:
    """Print what each reader finds."""
    table, *columns = sys.argv[1:]
    found = {
        "Spark in UTC": spark(table, columns, "UTC"),
        "Spark in Tokyo": spark(table, columns, "Asia/Tokyo"),
        "DataFusion": datafusion(table, columns),
        "chDB": chdb(table, columns),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
