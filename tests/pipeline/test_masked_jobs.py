"""Jobs and what becomes of PII in them: masked, refused, or free. The plans are Flink's own, as `jobs run` has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shardlake import pii
from shardlake.errors import BadInput
from shardlake.flink.job import Insert
from shardlake.flink.masking import Marks, lacking, traced, with_masks
from shardlake.flink.plan import Change, compare, numbered
from shardlake.pipeline import Pipeline
from shardlake.testing.jobs import KEY, mini_cluster_environment, run_job
from tests.pipeline.planning import Planner

pytestmark = pytest.mark.pipeline

TIME = {"type": "long", "logicalType": "timestamp-millis"}
OPTIONAL = ["null", "string"]
ORDER = {
    "order_id": "string", "country": "string", "cents": "long", "created_at": TIME,
    "email": (OPTIONAL, "hash"), "phone": (OPTIONAL, "hash"), "path": (OPTIONAL, "truncate_query"),
    "address": (OPTIONAL, "truncate_network"), "note": (OPTIONAL, "drop"), "age": (["null", "int"], "drop"),
}  # fmt: skip
PAYMENT = {"order_id": "string", "method": "string", "payer": (OPTIONAL, "hash"), "paid_at": TIME}
MARKED = {"customer": (OPTIONAL, "hash"), "payment": OPTIONAL, "order_id": "string", "made_at": TIME}
SCHEMAS = {"order": ORDER, "payment": PAYMENT, "marked": MARKED}
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

[marked]
schema = "marked"
event_time = "made_at"
partitions = 1
lake_table = "marked"

["orders.dlq"]
partitions = 1

["payments.dlq"]
partitions = 1
"""
WINDOWS = "TABLE(TUMBLE(TABLE orders, DESCRIPTOR(created_at), INTERVAL '1' MINUTE))"
JOIN = "FROM orders o JOIN payments p ON o.order_id = p.order_id"
FIRST = "SELECT *, ROW_NUMBER() OVER (PARTITION BY email ORDER BY created_at) AS n FROM orders"
JOB = """
from shardlake.flink.job import Insert, Tables


def build(tables: Tables) -> list[Insert]:
    archive = tables.query(f"SELECT {tables.masked('orders')}, topic, `partition`, `offset`, arrival_time FROM orders")
    contacts = tables.query('''
        SELECT o.email AS customer, p.payer AS payment, o.order_id, CAST(o.created_at AS TIMESTAMP_LTZ(3)) AS made_at
        FROM orders o JOIN payments p ON o.order_id = p.order_id
            AND p.paid_at BETWEEN o.created_at AND o.created_at + INTERVAL '15' MINUTE''')
    return [Insert("lake.orders", archive), Insert("lake.marked", contacts), Insert("topics.`marked`", contacts)]
"""
PII = "it is made of orders.email, which is PII"


@dataclass(frozen=True, slots=True)
class Case:
    """`query` has a column `a`, which is `written` in the end; or the job is `refused` with these words."""

    name: str
    query: str
    written: str = ""
    refused: str = ""


MASKED = [
    Case("passed on", "SELECT email AS a FROM orders", "MASK(orders.email)"),
    Case("masked by the job", "SELECT MASK(email) AS a FROM orders", "MASK(orders.email)"),
    Case(
        "masked in the job, then passed on", "SELECT a FROM (SELECT MASK(email) AS a FROM orders)", "MASK(orders.email)"
    ),
    Case("a query's", "SELECT path AS a FROM orders", "TRUNCATE_QUERY(orders.path)"),
    Case("a query's, hashed by the job", "SELECT MASK(path) AS a FROM orders", "MASK(orders.path)"),
    Case("a network's", "SELECT address AS a FROM orders", "TRUNCATE_NETWORK(orders.address)"),
    Case("to be dropped", "SELECT note AS a FROM orders", "NULL"),
    Case("to be dropped, no string", "SELECT age AS a FROM orders", "NULL"),
    Case("by a join", f"SELECT o.email AS a {JOIN}", "MASK(orders.email)"),
    Case("by a join, of its other side", f"SELECT p.payer AS a {JOIN}", "MASK(payments.payer)"),
    Case("by an outer join", f"SELECT p.payer AS a {JOIN.replace('JOIN', 'LEFT JOIN')}", "MASK(payments.payer)"),
    Case(
        "a join's key", "SELECT p.payer AS a FROM orders o JOIN payments p ON o.email = p.payer", "MASK(payments.payer)"
    ),
    Case(
        "by an interval join",
        f"SELECT o.email AS a {JOIN} AND p.paid_at BETWEEN o.created_at AND o.created_at + INTERVAL '15' MINUTE",
        "MASK(orders.email)",
    ),
    Case(
        "by a semi join",
        "SELECT email AS a FROM orders WHERE order_id IN (SELECT order_id FROM payments)",
        "MASK(orders.email)",
    ),
    Case("by a deduplication", f"SELECT email AS a FROM ({FIRST}) WHERE n = 1", "MASK(orders.email)"),
    Case(
        "by a ranking",
        f"SELECT email AS a FROM ({FIRST.replace('created_at)', 'cents)')}) WHERE n <= 3",
        "MASK(orders.email)",
    ),
    Case(
        "a window's key",
        f"SELECT email AS a, COUNT(*) FROM {WINDOWS} GROUP BY window_start, window_end, email",
        "MASK(orders.email)",
    ),
    Case(
        "a session's key",
        "SELECT email AS a FROM TABLE(SESSION(TABLE orders PARTITION BY email, "
        "DESCRIPTOR(created_at), INTERVAL '5' MINUTE)) GROUP BY window_start, window_end, email",
        "MASK(orders.email)",
    ),
    Case("a group's key", "SELECT email AS a, COUNT(*) FROM orders GROUP BY email", "MASK(orders.email)"),
    Case("a distinct", "SELECT DISTINCT email AS a FROM orders", "MASK(orders.email)"),
    Case(
        "beside an OVER",
        "SELECT email AS a, SUM(cents) OVER (PARTITION BY country ORDER BY created_at) FROM orders",
        "MASK(orders.email)",
    ),
    Case(
        "by a union of the same marks",
        "SELECT email AS a FROM orders UNION ALL SELECT payer FROM payments",
        "MASK(orders.email) or MASK(payments.payer)",
    ),
    Case("by a temporary view", "SELECT mail AS a FROM mails", "MASK(orders.email)"),
    Case("a cast that changes nothing", "SELECT CAST(email AS STRING) AS a FROM orders", "MASK(orders.email)"),
]
STATEFUL = {"by a join", "by an interval join", "by a deduplication", "by a ranking", "a window's key", "a group's key"}
FREE = [
    Case("a column that is no PII", "SELECT country AS a FROM orders", "orders.country"),
    Case("a count", "SELECT COUNT(email) AS a FROM orders", "COUNT(orders.email)"),
    Case("a count of different ones", "SELECT COUNT(DISTINCT email) AS a FROM orders", "COUNT(DISTINCT orders.email)"),
    Case(
        "a count with a condition",
        f"SELECT COUNT(*) FILTER (WHERE email LIKE '%.de') AS a FROM {WINDOWS} GROUP BY window_start, window_end",
        "COUNT(*)",
    ),
    Case("whether there is one", "SELECT email IS NULL AS a FROM orders", "IS NULL(orders.email)"),
    Case("a condition of rows", "SELECT order_id AS a FROM orders WHERE email LIKE '%.de'", "orders.order_id"),
    Case("text beside a condition", "SELECT 'x' AS a FROM orders WHERE email LIKE '%.de'", "'x'"),
    Case("an expression of a mask", "SELECT UPPER(MASK(email)) AS a FROM orders", "UPPER(MASK(orders.email))"),
    Case("a mask of an expression", "SELECT MASK(LOWER(email)) AS a FROM orders", "MASK(LOWER(orders.email))"),
    Case(
        "a mask or a word",
        "SELECT COALESCE(MASK(email), 'none') AS a FROM orders",
        "COALESCE(MASK(orders.email), 'none')",
    ),
    Case(
        "the least mask",
        f"SELECT MIN(MASK(email)) AS a FROM {WINDOWS} GROUP BY window_start, window_end",
        "MIN(MASK(orders.email))",
    ),
    Case("masks together", "SELECT LISTAGG(MASK(email)) AS a FROM orders", "LISTAGG(MASK(orders.email))"),
    Case(
        "a condition on a mask",
        "SELECT CASE WHEN TRUNCATE_QUERY(path) LIKE '/a%' THEN 'a' END AS a FROM orders",
        "CASE(LIKE(TRUNCATE_QUERY(orders.path), '/a%'), 'a', NULL)",
    ),
    Case(
        "a number of which nothing is PII",
        f"SELECT SUM(cents) AS a FROM {WINDOWS} GROUP BY window_start, window_end, email",
        "SUM(orders.cents)",
    ),
    Case("a function of Python of what is no PII", "SELECT PY(country) AS a FROM orders", "PY(orders.country)"),
    Case("a mask as a function of Python has it", "SELECT PY(MASK(email)) AS a FROM orders", "PY(MASK(orders.email))"),
]
REFUSED = [
    Case("a function", "SELECT UPPER(email) AS a FROM orders", refused=f"{PII}: UPPER(orders.email)."),
    Case("a part", "SELECT SUBSTRING(email FROM 1 FOR 3) AS a FROM orders", refused=PII),
    Case("a length", "SELECT CHAR_LENGTH(email) AS a FROM orders", refused=PII),
    Case("a digest without a key", "SELECT SHA256(email) AS a FROM orders", refused=PII),
    Case("a concatenation", "SELECT email || country AS a FROM orders", refused=PII),
    Case("a concatenation of two", "SELECT CONCAT(email, phone) AS a FROM orders",
         refused="it is made of orders.email, which is PII and orders.phone, which is PII"),
    Case("a cast", "SELECT CAST(email AS VARCHAR(9)) AS a FROM orders", refused=PII),
    Case("a cast of what is dropped", "SELECT CAST(age AS STRING) AS a FROM orders",
         refused="it is made of orders.age, which is PII"),
    Case("one value or another", "SELECT COALESCE(email, 'none') AS a FROM orders", refused=PII),
    Case("a case", "SELECT CASE WHEN cents > 1 THEN email END AS a FROM orders", refused=PII),
    Case("a case by it", "SELECT CASE WHEN email LIKE 'a%' THEN 'a' ELSE 'b' END AS a FROM orders", refused=PII),
    Case("a truth about it", "SELECT email LIKE 'a%' AS a FROM orders", refused=PII),
    Case("a row", "SELECT ROW(email, country) AS a FROM orders", refused=PII),
    Case("a field of a row", "SELECT r.x AS a FROM (SELECT CAST(ROW(UPPER(email), 1) AS ROW<x STRING, y INT>) AS r "
         "FROM orders)", refused=PII),
    Case("an array", "SELECT ARRAY[email] AS a FROM orders", refused=PII),
    Case("an element of an array", "SELECT ARRAY[email, country][1] AS a FROM orders", refused=PII),
    Case("JSON", "SELECT JSON_OBJECT('m' VALUE email) AS a FROM orders", refused=PII),
    Case("the least", f"SELECT MIN(email) AS a FROM {WINDOWS} GROUP BY window_start, window_end", refused=PII),
    Case("the greatest", f"SELECT MAX(email) AS a FROM {WINDOWS} GROUP BY window_start, window_end", refused=PII),
    Case("the last one", f"SELECT LAST_VALUE(email) AS a FROM {WINDOWS} GROUP BY window_start, window_end",
         refused=PII),
    Case("all of them", f"SELECT ARRAY_AGG(email) AS a FROM {WINDOWS} GROUP BY window_start, window_end",
         refused=PII),
    Case("a list of them", "SELECT LISTAGG(email) AS a FROM orders", refused=PII),
    Case("the one before", "SELECT LAG(email) OVER (ORDER BY created_at) AS a FROM orders", refused=PII),
    Case("an average", "SELECT AVG(age) AS a FROM orders", refused="it is made of orders.age, which is PII"),
    Case("elements as rows", "SELECT x AS a FROM orders CROSS JOIN UNNEST(ARRAY[email]) AS t (x)", refused=PII),
    Case("a function of Python", "SELECT PY(email) AS a FROM orders", refused=PII),
    Case("a function of Python, behind a join", f"SELECT PY(o.email) AS a {JOIN}", refused=PII),
    Case("an expression behind a join", f"SELECT o.email || p.`method` AS a {JOIN}", refused=PII),
    Case("an expression before a deduplication", "SELECT a FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY country "
         "ORDER BY created_at) AS n FROM (SELECT UPPER(email) AS a, country, created_at FROM orders)) WHERE n = 1",
         refused=PII),
    Case("a union with what is no PII", "SELECT email AS a FROM orders UNION ALL SELECT country FROM orders",
         refused=PII),
    Case("a union with a mask", "SELECT email AS a FROM orders UNION ALL SELECT MASK(email) FROM orders",
         refused=PII),
    Case("a pattern, of which nothing is known", "SELECT a FROM orders MATCH_RECOGNIZE (ORDER BY created_at "
         "MEASURES A.email AS a PATTERN (A B) DEFINE B AS B.cents > A.cents)",
         refused="it may hold orders.address, which is PII"),
    Case("the record's bytes", "SELECT CAST(raw_value AS STRING) AS a FROM decoded.orders",
         refused="it is made of orders.raw_value, which is PII"),
    Case("the record's bytes as they are", "SELECT raw_value AS a FROM decoded.orders",
         refused="it is made of orders.raw_value, which is PII and is no string"),
    Case("the record's key", "SELECT DECODE(kafka_key, 'UTF-8') AS a FROM decoded.orders",
         refused="it is made of orders.kafka_key, which is PII"),
    Case("a hash of a hash", "SELECT MASK(MASK(email)) AS a FROM orders", refused="the hash of a hash of orders.email"),
    Case("a hash of a hash, behind a join", f"SELECT MASK(m) AS a FROM (SELECT MASK(o.email) AS m {JOIN})",
         refused="the hash of a hash of orders.email"),
    Case("a hash of a network", "SELECT MASK(TRUNCATE_NETWORK(address)) AS a FROM orders",
         refused="the hash of a hash of orders.address"),
    Case("a mask that leaves too much", "SELECT TRUNCATE_QUERY(email) AS a FROM orders",
         refused="of orders.email, whose mark is 'hash', 'truncate_query' leaves too much"),
    Case("a hash of what is to be dropped", "SELECT MASK(note) AS a FROM orders",
         refused="of orders.note, whose mark is 'drop', 'hash' leaves too much"),
    Case("a truncation of an expression", "SELECT TRUNCATE_QUERY(REVERSE(path)) AS a FROM orders",
         refused="it is made of orders.path, which is PII"),
]  # fmt: skip
"""Whatever can be seen of a value, but for its hash, its number and its rows."""

CONSTANTS = [
    Case("where it is one constant", "SELECT email AS a FROM orders WHERE email = 'a@b.example'",
         "MASK(STRING 'a@b.example')"),
    Case("a mask where it is one constant", "SELECT MASK(email) AS a FROM orders WHERE email = 'a@b.example'",
         "MASK(STRING 'a@b.example')"),
    Case("a function of one constant", "SELECT UPPER(email) AS a FROM orders WHERE email = 'a@b.example'",
         refused=PII),
    Case("a concatenation with one constant", "SELECT email || country AS a FROM orders WHERE email = 'a@b.example'",
         refused=PII),
    Case("one constant behind a join", f"SELECT UPPER(o.email) AS a {JOIN} WHERE o.email = 'a@b.example'",
         refused=PII),
    Case("another text beside a constant", "SELECT 'x' AS a FROM orders WHERE email = 'a@b.example'",
         refused="it is made of orders.email"),
    Case("a number beside a constant", "SELECT cents * 2 AS a FROM orders WHERE email = 'a@b.example'",
         "(orders.cents * 2)"),
    Case("one of two constants", "SELECT email AS a FROM orders WHERE email IN ('a', 'b')", "MASK(orders.email)"),
    Case("a number to be dropped that is a constant", "SELECT age AS a FROM orders WHERE age = 7", "NULL"),
]  # fmt: skip
MARKED_SINK = [
    Case("what is no PII where it comes from", "country", "MASK(orders.country)"),
    Case("an expression of it", "UPPER(country)", "MASK(UPPER(orders.country))"),
    Case("what is PII there too", "email", "MASK(orders.email)"),
    Case("the stronger of two marks", "path", "MASK(orders.path)"),
    Case("masked by the job", "MASK(country)", "MASK(orders.country)"),
    Case("null", "CAST(NULL AS STRING)", "NULL"),
    Case("a mask or null", "CASE WHEN cents > 1 THEN MASK(email) END",
         "CASE((orders.cents > 1), MASK(orders.email), NULL)"),
    Case("a mask or what has none", "COALESCE(MASK(email), country)",
         refused="its mark is 'hash', and one of its values is masked already, another is not"),
    Case("too little of a mask", "TRUNCATE_QUERY(path)",
         refused="its mark is 'hash', and the job masks it by truncate_query"),
    Case("an expression of what is PII", "UPPER(email)", refused="customer into"),
]  # fmt: skip


def pipeline_of(folder: Path) -> Pipeline:
    for name in ("schemas", "producers", "flink_jobs", "consumers"):
        (folder / name).mkdir(parents=True)
    for name, fields in SCHEMAS.items():
        record: dict[str, Any] = {"type": "record", "name": name.title(), "namespace": "shop", "fields": []}
        for field, kind in fields.items():
            type_, marks = (kind[0], {"pii": kind[1]}) if isinstance(kind, tuple) else (kind, {})
            record["fields"].append({"name": field, "type": type_, **marks})
        (folder / "schemas" / f"{name}.avsc").write_text(json.dumps(record))
    (folder / "schemas" / "topics.toml").write_text(TOPICS)
    return Pipeline.load(folder)


class Shop:
    """The pipeline's tables, in which jobs are planned as `jobs run` plans them, each alone."""

    def __init__(self, pipeline: Pipeline) -> None:
        from pyflink.table import DataTypes
        from pyflink.table.udf import udf

        self.marks, self.environment = Marks.of(pipeline), Planner(pipeline).environment
        self.environment.execute_sql("CREATE TEMPORARY VIEW mails AS SELECT email AS mail FROM orders")
        self.environment.create_temporary_system_function("PY", udf(lambda x: x, result_type=DataTypes.STRING()))

    def outcome(self, query: str, sink: str = "own") -> str | BadInput:
        """What is written of the first column in the end, or the refusal."""
        insert = Insert(sink, self.environment.sql_query(query))
        try:
            (made,) = traced(self.environment, [self.masked(insert)])
        except BadInput as error:
            return error
        return made[0].origin

    def masked(self, insert: Insert) -> Insert:
        (made,) = traced(self.environment, [insert])
        return with_masks(self.environment, insert, lacking(self.marks, "shop", insert, made))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with mini_cluster_environment():
        yield Shop(pipeline_of(tmp_path_factory.mktemp("shop") / "pipeline"))


def check(case: Case, found: str | BadInput) -> None:
    if case.refused:
        assert isinstance(found, BadInput), found
        assert case.refused in found.message
        assert found.hint
    else:
        assert found == case.written


@pytest.mark.thorough
@pytest.mark.parametrize("case", [*MASKED, *FREE, *REFUSED], ids=lambda case: case.name)
def test_what_becomes_of_pii(shop: Shop, case: Case) -> None:
    check(case, shop.outcome(case.query))


@pytest.mark.thorough
@pytest.mark.parametrize("case", CONSTANTS, ids=lambda case: case.name)
def test_text_in_place_of_a_column_that_a_condition_compares_with_it(shop: Shop, case: Case) -> None:
    check(case, shop.outcome(case.query))


def test_the_refusal_names_job_column_and_table(shop: Shop) -> None:
    found = shop.outcome("SELECT UPPER(email) AS contact FROM orders", "lake.paid_orders")
    assert isinstance(found, BadInput)
    assert found.message == (
        "The job shop must not write contact into lake.paid_orders: it is made of orders.email, which is PII: "
        "UPPER(orders.email)."
    )
    assert "UPPER(MASK(email))" in found.hint


@pytest.mark.thorough
@pytest.mark.parametrize("sink", ["lake.marked", "topics.`marked`"])
@pytest.mark.parametrize("case", MARKED_SINK, ids=lambda case: case.name)
def test_a_field_that_is_marked_where_it_is_written(shop: Shop, case: Case, sink: str) -> None:
    time = "CAST(created_at AS TIMESTAMP_LTZ(3))"
    query = f"SELECT {case.query} AS customer, country AS payment, order_id, {time} AS made_at FROM orders"
    check(case, shop.outcome(query, sink))


def test_a_mask_is_put_behind_all_state_and_a_savepoint_of_before_fits(shop: Shop) -> None:
    """State of versions that masked nothing is taken up: what has state reads what it read, under the same number."""
    before = [Insert("own", shop.environment.sql_query(case.query)) for case in MASKED if case.name in STATEFUL]
    assert len(before) == len(STATEFUL)
    plans = plan_of(shop, before), plan_of(shop, [shop.masked(insert) for insert in before])
    assert plans[0] != plans[1]
    assert compare(*plans) == Change((), ())


def plan_of(shop: Shop, inserts: list[Insert]) -> str:
    from pyflink.table import Schema, TableDescriptor

    statements = shop.environment.create_statement_set()
    for number, insert in enumerate(inserts):
        schema = Schema.new_builder().from_resolved_schema(insert.table.get_resolved_schema()).build()
        shop.environment.drop_temporary_table(f"sink_{number}")
        sink = TableDescriptor.for_connector("blackhole").schema(schema).build()
        shop.environment.create_temporary_table(f"sink_{number}", sink)
        statements.add_insert(f"sink_{number}", insert.table)
    return numbered(statements.compile_plan().as_json_string())


def test_a_renamed_column_of_a_join_has_the_hash_that_the_archive_has(tmp_path: Path) -> None:
    """As the jobs run it, values and all: equal to what the check of the lake computes from the schema alone."""
    pipeline = pipeline_of(tmp_path / "pipeline")
    (pipeline.folder / "flink_jobs" / "contacts.py").write_text(JOB)
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    orders = [
        {"order_id": "1", "country": "DE", "cents": 5, "created_at": noon, "email": "a@b.example", "path": "/x?y=z"},
        {"order_id": "2", "country": "FR", "cents": 7, "created_at": noon + timedelta(minutes=1), "email": None},
    ]
    payments = [
        {"order_id": str(n), "method": "CARD", "payer": "p@q.example", "paid_at": noon + timedelta(minutes=2)}
        for n in (1, 2)
    ]
    found = run_job(pipeline, "contacts", {"orders": orders, "payments": payments})
    hashed = pii.hashed(KEY, "a@b.example")
    archive = {row["order_id"]: row for row in found["lake.orders"]}
    assert {key: row["email"] for key, row in archive.items()} == {"1": hashed, "2": None}
    assert {key: row["path"] for key, row in archive.items()} == {"1": "/x", "2": None}
    for sink in ("lake.marked", "topics.`marked`"):
        rows = {row["order_id"]: (row["customer"], row["payment"]) for row in found[sink]}
        assert rows == {"1": (hashed, pii.hashed(KEY, "p@q.example")), "2": (None, pii.hashed(KEY, "p@q.example"))}
        assert {row["made_at"] for row in found[sink]} == {noon, noon + timedelta(minutes=1)}
