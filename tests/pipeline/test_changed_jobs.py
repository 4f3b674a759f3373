"""Jobs that were changed between `jobs stop` and `jobs run`: each change is taken up rightly, or refused by its column.

The plans are Flink's own, of both versions; what is compared is what `jobs run` compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from shardlake.errors import BadInput
from shardlake.flink.plan import Change, compare
from tests.pipeline.planning import Planner, planner

pytestmark = [pytest.mark.pipeline, pytest.mark.thorough]

WINDOWS = "TABLE(TUMBLE(TABLE orders, DESCRIPTOR(created_at), INTERVAL '1' MINUTE))"
JOIN = """
    SELECT o.order_id, o.customer_id, MASK(o.email), p.amount_cents FROM orders o JOIN payments p
    ON o.order_id = p.order_id AND p.paid_at BETWEEN o.created_at AND o.created_at + INTERVAL '15' MINUTE
"""
REGULAR_JOIN = """
    SELECT o.order_id, o.customer_id, p.`method`, p.amount_cents FROM orders o JOIN payments p
    ON o.order_id = p.order_id AND o.total_cents > p.amount_cents
"""
OUTER_JOIN = JOIN.replace("JOIN", "LEFT JOIN").replace(
    "AND p.paid_at", "AND o.total_cents > p.amount_cents AND p.paid_at"
)
FIRST = """
    SELECT order_id, customer_id, email, total_cents FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY created_at) AS n FROM orders) WHERE n = 1
"""
TOP = f"""
    SELECT order_id, customer_id, country, total_cents FROM (
        SELECT *, ROW_NUMBER() OVER (
            PARTITION BY window_start, window_end, country ORDER BY total_cents DESC) AS place FROM {WINDOWS})
    WHERE place <= 3
"""
COUNTS = f"""
    SELECT country, CAST(COUNT(*) AS STRING), CAST(COUNT(*) FILTER (WHERE total_cents > 100) AS STRING),
        SUM(quantity * total_cents) FROM {WINDOWS} GROUP BY window_start, window_end, country
"""
KINDS = f"""
    SELECT country, CAST(COUNT(DISTINCT email) AS STRING), MAX(customer_id), SUM(total_cents) FROM {WINDOWS}
    GROUP BY window_start, window_end, country
"""
SESSIONS = """
    SELECT customer_id, MIN(country), CAST(AVG(quantity) AS STRING), SUM(total_cents)
    FROM TABLE(SESSION(TABLE orders PARTITION BY customer_id, DESCRIPTOR(created_at), INTERVAL '5' MINUTE))
    GROUP BY window_start, window_end, customer_id
"""
OVER = """
    SELECT order_id, customer_id, email, SUM(total_cents) OVER w FROM orders
    WINDOW w AS (PARTITION BY customer_id ORDER BY created_at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)
"""
PAST = f"""
    SELECT country, CAST(n AS STRING), CAST(ARRAY_AGG(failed) OVER w AS STRING), n
    FROM (SELECT country, window_time, COUNT(*) AS n, COUNT(*) FILTER (WHERE total_cents > 100) AS failed
        FROM {WINDOWS} GROUP BY window_start, window_end, window_time, country)
    WINDOW w AS (PARTITION BY country ORDER BY window_time ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)
"""
UNION = f"""
    SELECT country, '', '', SUM(total_cents) FROM {WINDOWS} GROUP BY window_start, window_end, country UNION ALL
    SELECT `method`, '', '', SUM(amount_cents)
    FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(paid_at), INTERVAL '1' MINUTE))
    GROUP BY window_start, window_end, `method`
"""
SORTED = "SELECT order_id, customer_id, email, total_cents FROM orders ORDER BY created_at"
MATCHED = """
    SELECT customer_id, first_id, second_id, CAST(1 AS BIGINT) FROM orders MATCH_RECOGNIZE (
        PARTITION BY customer_id ORDER BY created_at
        MEASURES A.order_id AS first_id, B.order_id AS second_id
        PATTERN (A B) DEFINE B AS B.total_cents > A.total_cents)
"""


@dataclass(frozen=True, slots=True)
class Edit:
    """`text` of a query becomes `now`. `said` is what the refusal says of it, nothing where the state is taken up."""

    name: str
    query: str
    text: str
    now: str
    said: str = ""


TAKEN_UP = [
    Edit("nothing", JOIN, "", ""),
    Edit("a join's mask after the state", JOIN, "MASK(o.email)", "TRUNCATE_QUERY(o.email)"),
    Edit("a join's output in another order", JOIN, "o.order_id, o.customer_id,", "o.customer_id, o.order_id,"),
    Edit("a filter before a join", JOIN, "FROM orders o", "FROM (SELECT * FROM orders WHERE quantity > 1) o"),
    Edit("an inner join's condition", REGULAR_JOIN, "total_cents > p.amount_cents", "total_cents < p.amount_cents"),
    Edit("names of a deduplication", FIRST, "email, total_cents FROM", "UPPER(email) AS mail, total_cents AS c FROM"),
    Edit("names of a ranking's columns", TOP, "SELECT order_id, customer_id", "SELECT customer_id, order_id AS id"),
    Edit("a count's condition", COUNTS, "total_cents > 100", "country = 'DE' OR quantity > 2"),
    Edit("a sum's expression", COUNTS, "quantity * total_cents", "total_cents * quantity * 2"),
    Edit("a filter before windows", SESSIONS, "TABLE orders", "(SELECT * FROM orders WHERE quantity > 1)"),
    Edit("a count's condition before an OVER", PAST, "total_cents > 100", "total_cents > 200"),
    Edit("the order of a union", UNION, UNION, " UNION ALL ".join(reversed(UNION.split("UNION ALL")))),
]
REFUSED = [
    Edit("a join's column, of the same type", JOIN, "o.customer_id,", "o.country,",
         "in its interval join, column 2 of its left rows was orders.customer_id (STRING), is orders.email (STRING)"),
    Edit("a join's column that goes", JOIN, "o.customer_id,", "'',",
         "column of its left rows orders.customer_id (STRING) is gone"),
    Edit("a join's column that comes", JOIN, "o.customer_id,", "o.customer_id || o.country,",
         "column of its left rows orders.country (STRING) is new"),
    Edit("a join's type", JOIN, "FROM orders o",
         "FROM (SELECT order_id, customer_id, CAST(email AS VARCHAR(9)) AS email, created_at FROM orders) o",
         "column 3 of its left rows was orders.email (STRING), is CAST(orders.email AS VARCHAR(9)) (VARCHAR(9))"),
    Edit("a join's mask before the state", JOIN, "FROM orders o",
         "FROM (SELECT order_id, customer_id, MASK(email) AS email, created_at FROM orders) o",
         "column 3 of its left rows was orders.email (STRING), is MASK(orders.email) (STRING)"),
    Edit("a join's key", JOIN, "ON o.order_id =", "ON o.customer_id =",
         "key of its left rows was orders.order_id (STRING), is orders.customer_id (STRING)"),
    Edit("a join's bounds", JOIN, "'15' MINUTE", "'30' MINUTE", "left lower bound was -900000, is -1800000"),
    Edit("a join's kind", JOIN, "JOIN", "LEFT JOIN", "join type was INNER, is LEFT"),
    Edit("an outer join's condition", OUTER_JOIN, "total_cents > p", "total_cents < p", "non equi condition was "
         "(orders.total_cents > payments.amount_cents), is (orders.total_cents < payments.amount_cents)"),
    Edit("a regular join's column", REGULAR_JOIN, "o.customer_id", "o.country",
         "column 2 of its left rows was orders.customer_id (STRING), is orders.country (STRING)"),
    Edit("a deduplication's key", FIRST, "BY customer_id", "BY country", "orders.country (STRING) is new"),
    Edit("a deduplication's key among the same columns", FIRST, "BY customer_id", "BY email",
         "in its deduplicate, key was orders.customer_id (STRING), is orders.email (STRING)"),
    Edit("a deduplication's order", FIRST, "ORDER BY created_at", "ORDER BY created_at DESC",
         "keep last row was false, is true"),
    Edit("a ranking's length", TOP, "place <= 3", "place <= 5", "in its window rank, rank range end was 3, is 5"),
    Edit("a ranking's order", TOP, "total_cents DESC", "total_cents ASC", "is ascending was false, is true"),
    Edit("a ranking's column", TOP, "ORDER BY total_cents DESC", "ORDER BY quantity DESC",
         "orders.quantity (INT) is new"),
    Edit("a window's key", COUNTS, "country", "customer_id",
         "key was orders.country (STRING), is orders.customer_id (STRING)"),
    Edit("a window's size", COUNTS, "'1' MINUTE", "'5' MINUTE", "window size was PT1M, is PT5M"),
    Edit("a session's gap", SESSIONS, "'5' MINUTE", "'9' MINUTE", "window gap was PT5M, is PT9M"),
    Edit("an aggregate that comes", COUNTS, "SUM(quantity * total_cents)",
         "SUM(quantity * total_cents) + MAX(total_cents)",
         "aggregate MAX(orders.total_cents) (BIGINT of BIGINT) is new"),
    Edit("another aggregate", SESSIONS, "AVG(quantity)", "MAX(quantity)",
         "aggregate 2 was AVG(orders.quantity) (INT of INT), is MAX(orders.quantity) (INT of INT)"),
    Edit("a sum's column, of the same type", SESSIONS, "AVG(quantity)", "AVG(weight)",
         "aggregate 2 was AVG(orders.quantity) (INT of INT), is AVG(orders.weight) (INT of INT)"),
    Edit("a sum's type", SESSIONS, "AVG(quantity)", "AVG(CAST(quantity AS BIGINT))",
         "aggregate 2 was AVG(orders.quantity) (INT of INT), is AVG(orders.quantity) (BIGINT of BIGINT)"),
    Edit("aggregates in another order", COUNTS,
         "CAST(COUNT(*) AS STRING), CAST(COUNT(*) FILTER (WHERE total_cents > 100) AS STRING)",
         "CAST(COUNT(*) FILTER (WHERE total_cents > 100) AS STRING), CAST(COUNT(*) AS STRING)",
         "aggregate 1 was COUNT(*), is COUNT(*) FILTER (IS TRUE((orders.total_cents > 100)))"),
    Edit("a mask of what is counted apart", KINDS, "DISTINCT email", "DISTINCT MASK(email)",
         "was COUNT(DISTINCT orders.email) (BIGINT NOT NULL of STRING), is COUNT(DISTINCT MASK(orders.email))"),
    Edit("a mask of the largest", KINDS, "MAX(customer_id)", "MAX(MASK(customer_id))",
         "was MAX(orders.customer_id) (STRING of STRING), is MAX(MASK(orders.customer_id)) (STRING of STRING)"),
    Edit("an OVER's rows", OVER, "email,", "country,",
         "of its rows was orders.email (STRING), is orders.country (STRING)"),
    Edit("an OVER's reach", OVER, "3 PRECEDING", "9 PRECEDING", "in its over aggregate, over spec"),
    Edit("an OVER's column that looks alike", PAST, "n, COUNT(*) FILTER (WHERE total_cents > 100) AS failed",
         "failed, COUNT(*) FILTER (WHERE total_cents > 100) AS n",
         "aggregate was ARRAY_AGG(COUNT(*) FILTER (IS TRUE((orders.total_cents > 100)))), is ARRAY_AGG(COUNT(*))"),
    Edit("a count that goes", PAST, "ARRAY_AGG(failed)", "ARRAY_AGG(n)",
         "aggregate COUNT(*) FILTER (IS TRUE((orders.total_cents > 100))) is gone"),
    Edit("a time to live", REGULAR_JOIN, "SELECT", "SELECT /*+ STATE_TTL('o' = '1d') */",
         "time-to-live 1 was 0 ms of leftState, is 1 d of leftState"),
    Edit("a sort's rows", SORTED, "email", "country", "was orders.email (STRING), is orders.country (STRING)"),
    Edit("a pattern's condition, of which nothing is known", MATCHED, "B.total_cents >", "B.total_cents <",
         "in its match, matchSpec was"),
    Edit("a deduplication that comes", SORTED.split("ORDER")[0], SORTED.split("ORDER")[0], FIRST,
         "its deduplicate is new, and would start empty"),
    Edit("a deduplication that goes", FIRST, FIRST, SORTED.split("ORDER")[0], "its deduplicate is gone"),
]  # fmt: skip


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planner]:
    with planner(tmp_path_factory.mktemp("shop") / "pipeline") as made:
        made.sink("lake.paid", "a STRING, b STRING, c STRING, n BIGINT")
        made.sink("lake.other", "a STRING, b STRING, c STRING, n BIGINT")
        yield made


def edited(edit: Edit) -> str:
    assert edit.text in edit.query
    return edit.query.replace(edit.text, edit.now)


@pytest.mark.parametrize("edit", TAKEN_UP, ids=lambda edit: edit.name)
def test_taken_up(plans: Planner, edit: Edit) -> None:
    before, now = plans.plan(("lake.paid", edit.query)), plans.plan(("lake.paid", edited(edit)))
    assert compare(before, now) == Change((), ())


@pytest.mark.parametrize("edit", REFUSED, ids=lambda edit: edit.name)
def test_refused(plans: Planner, edit: Edit) -> None:
    before, now = plans.plan(("lake.paid", edit.query)), plans.plan(("lake.paid", edited(edit)))
    with pytest.raises(BadInput, match=re.escape(edit.said)) as refused:
        compare(before, now, {"lake.paid": ("paid_orders",)})
    assert refused.value.message.startswith("The job paid_orders (behind lake.paid) keeps something else now: ")


def test_an_unchanged_job_is_taken_up_beside_others_that_come_and_go(plans: Planner) -> None:
    before = plans.plan(("lake.paid", JOIN))
    now = plans.plan(("lake.other", PAST), ("lake.paid", JOIN))
    assert compare(before, now) == Change(("lake.other",), ())
    assert compare(now, before) == Change((), ("lake.other",))


def test_the_windows_of_a_union_each_keep_their_own_and_neither_takes_the_others(plans: Planner) -> None:
    """The two once had one place, and no such job could start."""
    orders, payments = UNION.split("UNION ALL")
    before = plans.plan(("lake.paid", UNION))
    exchanged = f"{orders.replace('SUM(total_cents)', 'MAX(total_cents)')} UNION ALL {payments}"
    with pytest.raises(
        BadInput, match=r"was SUM\(orders\.total_cents\) \(BIGINT of BIGINT\), is MAX\(orders"
    ) as refused:
        compare(before, plans.plan(("lake.paid", exchanged)))
    assert "payments" not in refused.value.message
    with pytest.raises(BadInput, match="is gone, or stands elsewhere"):
        compare(before, plans.plan(("lake.paid", orders)))


def test_two_jobs_that_write_one_table_are_told_apart_in_whatever_order_they_are_given(plans: Planner) -> None:
    jobs = [("lake.paid", query) for query in UNION.split("UNION ALL")]
    assert compare(plans.plan(*jobs), plans.plan(*reversed(jobs))) == Change((), ())
