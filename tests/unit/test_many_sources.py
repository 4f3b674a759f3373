"""Each topic of events is verified, in whatever order `topics.toml` has them, and what nobody checks is named."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardlake.errors import BadInput
from shardlake.lake.counting import Counting
from shardlake.lake.recount import recount
from shardlake.lake.tables import lake_tables
from tests import shop as shops
from tests.shop import EVENTS, MINUTES, NOON, POISON, REVENUE, TOPICS, Row, Shop, check, found_in, notes, unchecked

pytestmark = pytest.mark.unit

PAYMENTS_FIRST = {"payments": TOPICS["payments"], **TOPICS}
LAST_MINUTE = NOON + timedelta(minutes=3)
COUNTED = "revenue, counted again"
SENT, KEPT = "what was sent, against the topic", "the topic, against the lake and the dead letters"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return shops.plant(tmp_path)


@pytest.mark.parametrize("topics", [TOPICS, PAYMENTS_FIRST], ids=["orders first", "payments first"])
def test_two_sources_that_are_well_hold_and_each_is_counted(topics: dict[str, str], tmp_path: Path) -> None:
    verdict = shops.plant(tmp_path, topics).verdict()
    assert (found_in(verdict), unchecked(verdict)) == ([], [])
    assert verdict.conclusion == "holds"
    told = verdict.as_json()
    assert set(told) == {"conclusion", "counts", "checks", "seconds", "sources"}
    assert {one["topic"]: one for one in told["sources"]} == {
        name: {
            "topic": name,
            "events": EVENTS,
            "poison": POISON,
            "null_values": 0,
            "dead_letters": POISON,
            "rows": EVENTS,
        }
        for name in ("orders", "payments")
    }
    assert {one["source"]: one["checked"] for one in told["checks"] if one["check"] == KEPT} == {
        "orders": EVENTS + POISON,
        "payments": EVENTS + POISON,
    }
    assert check(verdict, COUNTED).source == "payments"
    assert check(verdict, COUNTED).checked == 8
    assert set(told["seconds"]) == {"files", "lake", "windows", "topics"}


@pytest.mark.parametrize("topics", [TOPICS, PAYMENTS_FIRST], ids=["orders first", "payments first"])
def test_a_file_that_was_removed_and_one_that_was_doubled(topics: dict[str, str], tmp_path: Path) -> None:
    shop = shops.plant(tmp_path, topics)
    file = shop.file("payments")
    shutil.copyfile(file, file.with_name("copy.parquet"))
    shop.file("orders").unlink()
    verdict = shop.verdict()
    places = [f"{number % 2}/{number // 2}" for number in range(EVENTS)]
    assert set(found_in(verdict)) == {("duplicate", f"payments/{place}") for place in places} | {
        ("lost-write", f"orders/{place}") for place in places
    }
    # Windows are counted from what the archive should hold: they are not wrong for that alone.
    assert verdict.counts == {"duplicate": EVENTS, "lost-write": EVENTS}
    assert {one.source for one in verdict.findings if one.anomalies} == {"orders", "payments"}


def test_rows_and_dead_letters_of_the_second_source_are_held_against_its_own_topic(shop: Shop) -> None:
    def harm(rows: list[Row]) -> None:
        rows[0]["topic"] = "orders"
        rows[1]["topic"] = None
        rows[10]["cents"] += 1
        del rows[21]

    shop.change("payments", harm)
    letters = shop.evidence["payments"].folder / "dead_letters" / "0.parquet"
    pq.write_table(pq.read_table(letters).slice(1), letters)
    verdict = shop.verdict()
    assert sorted(found_in(verdict)) == [
        ("lost-write", "payments/0/0"),
        ("lost-write", f"payments/0/{EVENTS // 2}"),
        ("lost-write", "payments/1/0"),
        ("lost-write", "payments/1/10"),
        ("wrong-value", "payments/0/5"),
    ]
    assert [words.split(",")[0] for words in unchecked(verdict)] == [
        "1 rows of payments are of orders",
        "1 rows of payments are of no topic",
    ]


def test_windows_of_the_second_source_are_counted_again_from_its_own_events(shop: Shop) -> None:
    def harm(rows: list[Row]) -> None:
        rows[0]["cents"] += 1
        # The last to close: nothing in the table tells that it should be there, but that a finish has fired it.
        del rows[-1]
        rows.append({**rows[1]})

    shop.change("revenue", harm)
    verdict = shop.verdict()
    assert sorted(found_in(verdict)) == [
        ("duplicate-window", f"revenue: {NOON:%Y-%m-%d %H:%M:%S}, CARD"),
        ("missing-window", f"revenue: {LAST_MINUTE:%Y-%m-%d %H:%M:%S}, CARD"),
        ("wrong-window", f"revenue: {NOON:%Y-%m-%d %H:%M:%S}, INVOICE"),
    ]


def test_all_windows_that_a_finish_has_fired_are_missing_where_their_table_is_gone(shop: Shop) -> None:
    shutil.rmtree(shop.lake / "revenue")
    verdict = shop.verdict()
    assert verdict.counts == {"missing-window": 8}
    # Without a finish they may not have closed yet, and that is said.
    (one,) = [recount(REVENUE, shop.pipeline, lake_tables(shop.lake, shop.pipeline))]
    assert (one.open_windows, one.differences, one.sources) == (8, (), ("payments",))


def late(topic: str, number: int, **more: object) -> Row:
    moment = NOON + timedelta(seconds=number)
    start = moment.replace(second=0)
    return {
        "event_time": moment, "order_id": f"o{number}", "missed_table": "revenue", "window_start": start,
        "window_end": start + timedelta(minutes=1), "closed_until": LAST_MINUTE, "topic": topic,
        "partition": number % 2, "offset": number // 2, **more,
    }  # fmt: skip


def test_late_events_are_held_against_the_topic_that_they_name(shop: Shop) -> None:
    def harm(rows: list[Row]) -> None:
        (first,) = [row for row in rows if row["window_start"] == NOON and row["method"] == "CARD"]
        first["payments"] -= 1
        first["cents"] -= 101

    shop.change("revenue", harm)
    shop.write("late_events", [late("payments", 1)])
    verdict = shop.verdict()
    assert (verdict.conclusion, check(verdict, "late events, against the topic").checked) == ("holds", 1)
    wrong = [late("payments", 2, event_time=NOON), late("orders", 3), late("orders", 3)]
    wrong += [late("orders", 0, partition=0, offset=EVENTS // 2), late("nowhere", 1)]
    shop.write("late_events", [late("payments", 1), *wrong])
    verdict = shop.verdict()
    of_late = [pair for pair in found_in(verdict) if pair[0] != "wrong-window"]
    assert sorted(of_late) == [
        ("duplicate", "orders/1/1"),
        ("unexpected", f"orders/0/{EVENTS // 2}"),
        ("wrong-value", "payments/0/1"),
    ]
    assert [words.split(",")[0] for words in unchecked(verdict)] == ["1 rows of late_events are of nowhere"]


def test_a_table_that_nobody_counts_again_is_named_and_leaves_the_verdict_open(shop: Shop) -> None:
    shop.write("risk", [{"order_id": "o1", "created_at": NOON, "score": 0.5}])
    verdict = shop.verdict()
    assert verdict.conclusion == "inconclusive"
    (words,) = unchecked(verdict)
    assert words.startswith("no job says how risk is counted again: its 1 rows were not checked. Give the job")
    said = {**TOPICS, "risk": f'{TOPICS["risk"]}\nunchecked = "a model gives it"'}
    shop.pipeline = shops.pipeline(shop.folder / "pipeline", said)
    verdict = shop.verdict()
    assert verdict.conclusion == "holds"
    assert [note for note in notes(verdict) if "risk" in note] == [
        "no job says how risk is counted again: its 1 rows were not checked, as topics.toml says: a model gives it"
    ]


def test_what_a_job_writes_that_was_left_out_is_not_held_against_what_the_others_have_read(shop: Shop) -> None:
    shutil.rmtree(shop.lake / "revenue")
    assert shop.verdict().counts == {"missing-window": 8}
    verdict = shop.verdict(left_out=["revenue"])
    assert (verdict.conclusion, verdict.counts) == ("inconclusive", {})
    said = [one for found in verdict.findings for one in found.unchecked]
    assert any(one.startswith("revenue has not read what the others have, as it was left out") for one in said)
    assert not any(found.check.startswith("revenue, counted again") for found in verdict.findings)


def test_what_a_recount_does_not_give_is_named(shop: Shop) -> None:
    without = Counting("revenue", "revenue", f"SELECT * EXCLUDE (cents) FROM ({REVENUE.sql})")
    verdict = shop.verdict(without)
    assert verdict.conclusion == "inconclusive"
    assert unchecked(verdict)[0].startswith("the recount of revenue gives no cents: that was not checked.")


def test_a_folder_of_an_older_jobs_table_is_named(shop: Shop) -> None:
    older = shop.lake / "refunds" / "year=2026"
    older.mkdir(parents=True)
    (shop.lake / "exports").mkdir()  # no file in it
    pq.write_table(pa.table({"x": [1]}), older / "part-0.parquet")
    aside = shop.lake / ".rewound-20260301T120000" / "orders"
    aside.mkdir(parents=True)
    shutil.copyfile(older / "part-0.parquet", aside / "part-0.parquet")
    verdict = shop.verdict()
    assert verdict.conclusion == "holds"
    assert [note for note in notes(verdict) if note.startswith("folders")] == [
        "folders of the lake that are no table of this pipeline were not read: refunds"
    ]


def test_a_source_that_cannot_be_read_is_named_and_the_other_is_checked(shop: Shop) -> None:
    verdict = shop.verdict(unread="orders")
    assert (verdict.conclusion, found_in(verdict)) == ("inconclusive", [])
    assert unchecked(verdict) == [
        "orders could not be read, and its events were held against nothing: the broker is gone"
    ]
    assert check(verdict, KEPT, "orders").checked == 0
    assert check(verdict, KEPT, "payments").checked == EVENTS + POISON
    assert [one.topic for one in verdict.sources] == ["payments"]


def test_each_run_is_held_against_its_own_topic(shop: Shop) -> None:
    shop.runs = {name: (shops.ledger(shop, name),) for name in ("orders", "payments")}
    verdict = shop.verdict()
    assert (verdict.conclusion, found_in(verdict)) == ("holds", [])
    for name in ("orders", "payments"):
        assert check(verdict, SENT, name).checked == EVENTS + POISON
    # A record that is gone from one topic is missed by the run of that topic alone.
    file = shop.evidence["payments"].folder / "topic" / "0.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    shop.change("payments", lambda rows: rows.pop(0))
    verdict = shop.verdict()
    assert [one.where for one in check(verdict, SENT, "payments").anomalies] == ["payments/0/0"]
    assert check(verdict, SENT, "orders").anomalies == []


def test_runs_and_ledgers_of_other_topics_are_named(shop: Shop) -> None:
    shop.runs = {"orders": (shops.ledger(shop, "orders"),)}
    stray = shops.ledger(shop, "payments")
    shutil.copyfile(stray / "p.ledger", shop.runs["orders"][0] / "q.ledger")
    (stray / "run.json").write_text((stray / "run.json").read_text().replace('"payments"', '"refunds"'))
    verdict = shop.verdict(strays=[stray])
    assert (verdict.conclusion, found_in(verdict)) == ("inconclusive", [])
    assert unchecked(verdict) == [
        f"the run in {stray} is of refunds, which is no topic of events of this pipeline: its ledgers were held "
        "against nothing.",
        f"{shop.runs['orders'][0]}/q.ledger is of the topic payments, its folder of orders: it was held against "
        "nothing.",
    ]


def test_a_source_without_a_table_is_checked_as_far_as_its_dead_letters(shop: Shop) -> None:
    topics = {**TOPICS, "orders": TOPICS["orders"].replace('lake_table = "orders"\n', "")}
    shutil.rmtree(shop.lake / "orders")
    shop.pipeline = shops.pipeline(shop.folder / "pipeline", topics)
    verdict = shop.verdict()
    assert (verdict.conclusion, found_in(verdict)) == ("inconclusive", [])
    assert unchecked(verdict)[0].startswith("orders has no table in the lake: that its events are somewhere was not")
    file = shop.evidence["orders"].folder / "dead_letters" / "0.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    topics["orders"] += '\nunchecked = "a job alerts on them, and nobody keeps them"'
    shop.pipeline = shops.pipeline(shop.folder / "pipeline", topics)
    verdict = shop.verdict()
    assert (found_in(verdict), unchecked(verdict)) == ([("lost-write", f"orders/0/{EVENTS // 2}")], [])


def test_in_time_is_the_topic_whose_columns_the_query_reads_or_is_named(shop: Shop) -> None:
    own = Counting("revenue", "revenue", MINUTES.format("in_time_payments"))
    again = recount(own, shop.pipeline, lake_tables(shop.lake, shop.pipeline))
    assert (again.sources, again.windows, again.differences) == (("payments",), 8, ())
    both = "SELECT order_id, count(*) AS n FROM in_time GROUP BY ALL"
    with pytest.raises(BadInput) as refused:
        recount(Counting("risky", "risk", both), shop.pipeline, lake_tables(shop.lake, shop.pipeline))
    names = [topic.name for topic in shop.pipeline.sources]
    assert refused.value.message.endswith(f"reads in_time, which may be of {', '.join(names)}.")
    assert refused.value.hint == f"Name the topic's own view: in_time_{names[0]} or in_time_{names[1]}."


def test_a_recount_of_two_topics_and_of_rows_without_an_end(shop: Shop) -> None:
    joined = """
        SELECT o.order_id, o.created_at, p.cents / o.cents AS score
        FROM in_time_orders o JOIN in_time_payments p USING (order_id) WHERE p.method = 'INVOICE'
    """
    counting = Counting("risky", "risk", joined)
    rows = [
        {"order_id": f"o{number}", "created_at": NOON + timedelta(seconds=number), "score": 1.0}
        for number in range(EVENTS)
    ]
    shop.write("risk", rows[::3])
    verdict = shop.verdict(REVENUE, counting)
    assert (verdict.conclusion, found_in(verdict)) == ("holds", [])
    found = check(verdict, "risk, counted again")
    assert (found.checked, set(str(found.source).split(", "))) == (EVENTS // 3, {"orders", "payments"})
    shop.write("risk", [*rows[: EVENTS - 3 : 3], rows[1]])
    # Of the last three one was due; the second has no payment by invoice.
    assert sorted(found_in(shop.verdict(REVENUE, counting))) == [
        ("missing-window", f"risk: {NOON + timedelta(seconds=EVENTS - 3):%Y-%m-%d %H:%M:%S}, o{EVENTS - 3}"),
        ("unexpected-window", f"risk: {NOON + timedelta(seconds=1):%Y-%m-%d %H:%M:%S}, o1"),
    ]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT nothing FROM in_time", 'Referenced column "nothing" not found'),
        ("SELEC 1", "syntax error"),
        (f"SELECT *, 1 AS more FROM ({REVENUE.sql})", "the table has no column more"),
        (f"SELECT * EXCLUDE (method) FROM ({REVENUE.sql})", "it gives no column method"),
    ],
)
def test_a_recount_that_is_wrong_is_refused_in_words(shop: Shop, sql: str, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        recount(Counting("revenue", "revenue", sql), shop.pipeline, lake_tables(shop.lake, shop.pipeline))
    assert refused.value.message.startswith("The recount of revenue, in the job revenue, is wrong: ")
    assert words in refused.value.message


def test_a_pipeline_without_late_events_and_without_a_recount_is_verified(tmp_path: Path) -> None:
    topics = {name: settings for name, settings in TOPICS.items() if name != "late-events"}
    shop = shops.plant(tmp_path, topics)
    assert shop.verdict().conclusion == "holds"
    verdict = shop.verdict(REVENUE, Counting("revenue", "nowhere", "SELECT 1"))
    assert verdict.conclusion == "inconclusive"
    (said,) = unchecked(verdict)
    assert "counts the table nowhere again, which the lake does not have" in said
