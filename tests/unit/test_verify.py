"""The checker's rules, place by place, over tables made by hand: each anomaly under its name, and none where all is
well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardlake.avro.batch import column_types
from shardlake.lake.kept import LACKING, Expected, Kept, check_kept, judge
from shardlake.lake.published import check_published
from shardlake.lake.sent import check_sent
from shardlake.lake.verdict import Findings
from shardlake.ledger import Ledger, LedgerFile, digest, read
from shardlake.pipeline import Pipeline
from tests.support import ROOT, START

pytestmark = pytest.mark.unit

REDRIVEN = 'CREATE TABLE redriven ("partition" INT, "offset" BIGINT, p INT, o BIGINT)'
EVENTS = 40_000
"""More than two chunks of offsets."""


@pytest.mark.parametrize(
    ("kept", "names"),
    [
        # What is well.
        (Kept("event", 1, 0, False, False, True), []),
        (Kept("poison", 0, 1, True, False, True), []),
        (Kept("null", 0, 0, False, False, True), []),
        # Lost, or yet to come.
        (Kept("event", 0, 0, False, False, True), ["lost-write"]),
        (Kept("event", 0, 0, False, False, False), ["unseen"]),
        (Kept("poison", 0, 0, False, False, True), ["lost-write"]),
        (Kept("poison", 0, 0, False, False, False), ["unseen"]),
        # Twice.
        (Kept("event", 2, 0, False, False, True), ["duplicate"]),
        (Kept("poison", 0, 3, True, False, True), ["duplicate"]),
        (Kept("event", 1, 1, True, False, True), ["duplicate"]),
        # In the wrong one of the two.
        (Kept("event", 0, 1, True, False, True), ["misrouted"]),
        (Kept("poison", 1, 0, False, False, True), ["misrouted"]),
        (Kept("null", 1, 0, False, False, True), ["misrouted"]),
        (Kept("null", 0, 1, True, False, True), ["misrouted"]),
        # Nobody's.
        (Kept(None, 1, 0, False, False, True), ["G1a"]),
        (Kept(None, 0, 1, False, False, True), ["G1a"]),
        (Kept(None, 1, 0, False, True, True), ["unexpected"]),
        # Other bytes.
        (Kept("poison", 0, 1, False, False, True), ["wrong-value"]),
    ],
)
def test_a_place_is_judged_by_what_is_kept_of_it(kept: Kept, names: list[str]) -> None:
    assert [name for name, _ in judge(kept)] == names


def topic(rows: Sequence[tuple[int, int, int]]) -> duckdb.DuckDBPyConnection:
    """A connection with `k`: partition, offset, digest."""
    connection = duckdb.connect()
    partitions, offsets, digests = zip(*rows, strict=True)
    table = pa.table(
        {
            "partition": pa.array(partitions, pa.int32()),
            "offset": pa.array(offsets, pa.int64()),
            "digest": pa.array(digests, pa.uint64()),
        }
    )
    connection.register("given", table)
    connection.execute("CREATE TABLE k AS SELECT * FROM given")
    connection.execute('CREATE TABLE kept ("partition" INT, "offset" BIGINT)')
    connection.execute('CREATE TABLE dead ("partition" INT, "offset" BIGINT, dlq_partition INT, dlq_offset BIGINT)')
    connection.execute(REDRIVEN)
    return connection


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerFile:
    """`EVENTS` events, two partitions in turn, offsets from 100 on; 7 failed, 8 and 9 are unknown."""
    writer = Ledger(tmp_path, "p", "t", "id")
    for number in range(EVENTS):
        writer.intend(b"k", b"%d" % number, ("log", number))
        if number not in (7, 8, 9):
            writer.acknowledged(number, number % 2, 100 + number // 2)
    writer.failed(7)
    writer.close()
    return read(tmp_path / "p.ledger")


def record(number: int) -> tuple[int, int, int]:
    return number % 2, 100 + number // 2, digest(b"k", b"%d" % number)


def found_in(
    ledger: LedgerFile, rows: Sequence[tuple[int, int, int]], firsts: dict[int, int] | None = None
) -> Findings:
    return check_sent(topic(rows), [ledger], "t", {0: 100, 1: 100}, firsts or {0: 0, 1: 0})


def named(found: Findings) -> list[tuple[str, str]]:
    return [(one.name, one.where) for one in found.anomalies]


WHOLE = [record(number) for number in range(EVENTS) if number not in (7, 8, 9)]


def test_a_clean_run_has_no_anomaly_and_unknown_ones_may_be_there_or_not(ledger: LedgerFile) -> None:
    before = [(0, 5, 1), (1, 99, 2)]  # of another run
    for rows in (WHOLE, [*WHOLE, record(8)], [*before, *WHOLE, record(8), (1, 500_000, digest(b"k", b"9"))]):
        found = found_in(ledger, rows)
        assert named(found) == []
        assert found.checked == EVENTS
        assert found.unchecked == []


def test_each_missing_one_is_named_with_its_line(ledger: LedgerFile) -> None:
    found = found_in(ledger, [row for row in WHOLE if row[:2] not in ((0, 100), (1, 10_000), (0, 20_099))])
    assert named(found) == [("lost-write", "t/0/100"), ("lost-write", "t/1/10000"), ("lost-write", "t/0/20099")]
    assert [one.what.split()[0] for one in found.anomalies] == ["log:0", "log:19801", "log:39998"]


def test_another_record_at_an_acknowledged_place(ledger: LedgerFile) -> None:
    rows = [(p, o, digest(b"k", b"other") if (p, o) == (0, 300) else d) for p, o, d in WHOLE]
    assert named(found_in(ledger, rows)) == [("inconsistent-offsets", "t/0/300")]


def test_what_came_twice_what_failed_and_what_nobody_sent(ledger: LedgerFile) -> None:
    more = [
        (0, 90_000, digest(b"k", b"4")),  # again
        (0, 90_001, digest(b"k", b"7")),  # failed for certain
        (0, 90_002, digest(b"k", b"8")),  # unknown: may be there
        (1, 90_003, digest(b"k", b"8")),  # but not twice
        (1, 90_004, digest(b"", b"4")),  # another key
    ]
    found = found_in(ledger, [*WHOLE, *more])
    assert named(found) == [
        ("duplicate", "t/0/90000"),
        ("G1a", "t/0/90001"),
        ("duplicate", "t/1/90003"),
        ("unexpected", "t/1/90004"),
    ]
    assert "log:4 " in found.anomalies[0].what
    assert "t/0/102" in found.anomalies[0].what


def test_what_retention_took_is_not_lost_where_the_lake_has_it(ledger: LedgerFile) -> None:
    left, firsts = [row for row in WHOLE if row[1] >= 5_000], {0: 5_000, 1: 5_000}
    taken = [row[:2] for row in WHOLE if row[1] < 5_000]

    def found_with(rows: Any, kept: Any, dead: Any = (-1, -1), first_letter: int = 0) -> Findings:
        connection = topic(rows)
        partitions, offsets = zip(*kept, strict=True)
        connection.register("places", pa.table({"partition": partitions, "offset": offsets}))
        connection.execute("INSERT INTO kept BY NAME SELECT * FROM places")
        connection.execute("INSERT INTO dead VALUES (?, ?, 0, ?)", [*dead, first_letter])
        return check_sent(connection, [ledger], "t", {0: 100, 1: 100}, firsts)

    found = found_with(left, taken)
    assert named(found) == []
    assert found.notes[0].startswith("9,797 acknowledged events are before the topic's first offset")
    assert named(found_with(left[1:], taken)) == [("lost-write", "t/0/5000")]
    assert named(found_with(left, taken[2:], taken[0])) == [("lost-write", "t/1/100")]
    found = found_with(left, taken[2:], taken[0], first_letter=3)
    assert named(found) == []
    assert found.unchecked[0].startswith("1 acknowledged events that retention took")


def test_an_order_that_was_turned_round(tmp_path: Path) -> None:
    writer = Ledger(tmp_path, "p", "t", "id")
    offsets = [0, 1, 3, 2, 4]
    for number, offset in enumerate(offsets):
        writer.intend(None, b"%d" % number, ("log", number))
        writer.acknowledged(number, 0, offset)
    writer.close()
    rows = [(0, offset, digest(None, b"%d" % number)) for number, offset in enumerate(offsets)]
    found = check_sent(topic(rows), [read(tmp_path / "p.ledger")], "t", {0: 0}, {0: 0})
    assert [(one.name, one.where) for one in found.anomalies] == [("nonmonotonic-send", "log:2 (ledger p, 2)")]


def test_acknowledged_without_a_place_is_found_by_its_digest(tmp_path: Path) -> None:
    writer = Ledger(tmp_path, "p", "t", "id")
    for number in range(4):
        writer.intend(None, b"%d" % number, ("log", number))
        writer.acknowledged(number, 0, -1)
    writer.close()
    rows = [(0, 0, digest(None, b"0")), (0, 1, digest(None, b"2"))]
    found = check_sent(topic(rows), [read(tmp_path / "p.ledger")], "t", {0: 0}, {0: 0})
    assert named(found) == [("lost-write", "log:1 (ledger p, 1)"), ("lost-write", "log:3 (ledger p, 3)")]


def test_a_torn_ledger_leaves_open_whose_the_rest_is(ledger: LedgerFile, tmp_path: Path) -> None:
    path = tmp_path / "p.ledger"
    path.write_bytes(path.read_bytes()[: ledger.path.stat().st_size // 3])
    torn = read(path)
    found = found_in(torn, WHOLE)
    assert named(found) == []
    assert len(found.unchecked) == 1
    assert f"{len(WHOLE):,} records of the topic that no ledger names may be its own" in found.unchecked[0]


FIELDS = {"a": Expected(["a"]), "h": Expected(["h", "h@1"], {"none": ["h@none"]})}


def kept_in(
    rows: list[dict[str, Any]],
    lake: list[dict[str, Any]],
    dead: list[tuple[int, int, int]],
    *,
    letters_are: str = "event",
    covered: int = 10**9,
    redriven: list[tuple[int, int, int, int]] | None = None,
    differing: Iterable[tuple[str, str, str]] = (),
) -> Findings:
    connection = duckdb.connect()
    connection.execute(
        'CREATE TABLE k ("partition" INT, "offset" BIGINT, digest UBIGINT, state VARCHAR, '
        'a VARCHAR, h VARCHAR, "h@1" VARCHAR, "h@none" VARCHAR)'
    )
    connection.execute('CREATE TABLE kept ("partition" INT, "offset" BIGINT, a VARCHAR, h VARCHAR, filename VARCHAR)')
    connection.execute('CREATE TABLE dead ("partition" INT, "offset" BIGINT, digest UBIGINT, state VARCHAR)')
    connection.execute(REDRIVEN)
    connection.executemany("INSERT INTO redriven VALUES (?, ?, ?, ?)", redriven or [(-1, -1, -1, -1)])
    for table, given in (("k", rows), ("kept", lake)):
        connection.register("given", pa.Table.from_pylist(given))
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM given")
    letters = [(*one, letters_are) for one in dead or [(-1, -1, 0)]]
    connection.executemany("INSERT INTO dead VALUES (?, ?, ?, ?)", letters)
    return check_kept(connection, "t", FIELDS, {0: (10, 50_000)}, {0: covered}, differing)


def row(offset: int, **more: Any) -> dict[str, Any]:
    return {
        "partition": 0,
        "offset": offset,
        "a": f"a{offset}",
        "h": f"h{offset}",
        "filename": f"file{offset % 2}",
        **more,
    }


def k(offset: int, **more: Any) -> dict[str, Any]:
    one = {"digest": offset, "state": "event", "h@1": f"old{offset}", "h@none": f"raw{offset}", **row(offset), **more}
    del one["filename"]
    return one if one["state"] == "event" else {**one, "a": None, "h": None, "h@1": None, "h@none": None}


def test_the_lake_is_held_against_the_topic_value_by_value() -> None:
    events = [k(offset) for offset in range(10, 40_000)]
    lake = [row(offset) for offset in range(10, 40_000)]
    poison = [k(40_000, state="poison"), k(40_001, state="null")]
    dead = [(0, 40_000, 40_000)]
    assert named(kept_in([*events, *poison], lake, dead)) == []
    lake[5] = row(15, h="old15")  # hashed with an older key
    assert named(kept_in([*events, *poison], lake, dead)) == []
    lake[20] = row(30, a="another")
    lake[30_000] = row(30_010, h="old30009")
    del lake[100]
    lake.append(row(200))
    lake.append(row(5, a="what retention took"))
    found = kept_in([*events, *poison], lake, dead)
    assert named(found) == [
        ("lost-write", "t/0/110"),
        ("duplicate", "t/0/200"),
        ("wrong-value", "t/0/30"),
        ("wrong-value", "t/0/30010"),
    ]
    assert found.anomalies[1].files == ("file0",)
    assert found.anomalies[2].what.endswith(": a")
    assert found.anomalies[3].what.endswith(": h")


def test_rows_are_judged_by_what_their_file_was_written_with() -> None:
    """The rows with even offsets are in file0, of an older schema: without the field a, and with h not masked."""
    events = [k(offset) for offset in range(10, 20)]
    older = [("a", LACKING, "file0"), ("h", "none", "file0")]
    lake = [row(n) if n % 2 else row(n, a=None, h=f"raw{n}") for n in range(10, 20)]
    assert named(kept_in(events, lake, [], differing=older)) == []
    assert len(named(kept_in(events, lake, []))) == 5
    lake[0] = row(10, a="another", h="raw10")  # a field that the file does not have
    lake[1] = row(11, a=None)  # null in a file that has the field
    lake[2] = row(12, a=None)  # masked in a file that does not mask
    lake[3] = row(13, h="raw13")  # raw in a file that masks
    found = kept_in(events, lake, [], differing=older)
    assert [(one.where, one.what.rpartition(": ")[2]) for one in found.anomalies] == [
        ("t/0/10", "a"), ("t/0/11", "a"), ("t/0/12", "h"), ("t/0/13", "h"),
    ]  # fmt: skip


def test_dead_letters_are_held_against_the_topic_byte_by_byte() -> None:
    rows = [k(10), k(11, state="poison"), k(12, state="poison"), k(13, state="poison"), k(14)]
    found = kept_in(
        rows, [row(10)], [(0, 11, 99), (0, 12, 12), (0, 12, 12), (0, 14, 14), (0, 400, 1)], letters_are="event"
    )
    assert named(found) == [
        ("wrong-value", "t/0/11"),
        ("duplicate", "t/0/12"),
        ("lost-write", "t/0/13"),
        ("misrouted", "t/0/14"),
        ("G1a", "t/0/400"),
    ]


def test_a_dead_letter_of_jobs_with_an_older_schema_is_right_where_it_is_and_said_until_it_is_redriven() -> None:
    rows, dead = [k(10), k(11)], [(0, 11, 11)]
    found = kept_in(rows, [row(10)], dead, letters_are="poison")
    assert named(found) == []
    assert found.notes[0].startswith("1 dead letter is an event by now")
    assert named(kept_in(rows, [row(10)], [(0, 11, 99)], letters_are="poison")) == [("misrouted", "t/0/11")]
    again = kept_in(
        [*rows, k(12, digest=11)], [row(10), row(12)], dead, letters_are="poison", redriven=[(0, 12, 0, 11)]
    )
    assert (named(again), again.notes) == ([], [])


def test_what_no_checkpoint_covers_yet_is_no_loss() -> None:
    found = kept_in([k(10), k(11), k(12, state="poison")], [row(10)], [], covered=11)
    assert named(found) == []
    assert found.unchecked[0].startswith("2 records are not covered")


def test_a_place_that_the_topic_does_not_have() -> None:
    found = kept_in([k(10), k(12)], [row(10), row(11), row(12), row(60_000)], [])
    assert named(found) == [("G1a", "t/0/11"), ("unexpected", "t/0/60000")]


def test_rows_that_retention_took_are_there_once() -> None:
    found = kept_in([k(10)], [row(10), row(3), row(3, filename="other"), row(4)], [])
    assert named(found) == [("duplicate", "t/0/3")]
    assert found.anomalies[0].files == ("file1", "other")


def test_a_topic_that_jobs_write_is_held_against_the_lake(tmp_path: Path) -> None:
    pipeline = Pipeline.load(ROOT)
    types = column_types(pipeline.schemas["service_health"])
    rows = [
        dict.fromkeys(types, None)
        | {"window_start": START.replace(tzinfo=None, minute=minute), "service": "api", "events": 3}
        for minute in range(4)
    ]
    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pylist(rows[:3], pa.schema(types)))
    connection.execute("CREATE TABLE service_health AS SELECT * FROM given")
    in_topic = [rows[0], rows[1], rows[1], rows[3]]
    pq.write_table(pa.Table.from_pylist(in_topic, pa.schema(types)), tmp_path / "service_health.parquet")
    alerts = pa.schema(column_types(pipeline.schemas["alert"]))
    connection.register("no_alerts", pa.Table.from_pylist([], alerts))
    connection.execute("CREATE TABLE alerts AS SELECT * FROM no_alerts")
    pq.write_table(pa.Table.from_pylist([], alerts), tmp_path / "alerts.parquet")
    health, of_alerts = check_published(connection, pipeline, tmp_path)
    assert sorted(named(health)) == [
        ("duplicate", "service-health: 2026-03-01 12:01:00, api"),
        ("lost-write", "service-health: 2026-03-01 12:02:00, api"),
        ("unexpected", "service-health: 2026-03-01 12:03:00, api"),
    ]
    assert of_alerts.anomalies == []
