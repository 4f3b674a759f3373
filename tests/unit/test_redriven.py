"""Redriven records are told from those that nobody sent, and redriven dead letters from those that are misrouted."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from shardlake.dead_letter import REDRIVEN_FROM, DeadLetter, original_headers, redriven_from
from shardlake.lake.redriven import check_redriven
from shardlake.lake.sent import check_sent
from shardlake.ledger import Ledger, LedgerFile, digest, read
from tests.unit.test_verify import k, kept_in, named, row

pytestmark = pytest.mark.unit

LETTER, OTHER = digest(b"key", b"bad"), digest(b"key", b"other")
Record = tuple[int, int, int, int | None, int | None]
"""Partition, offset, digest, and the place that its header names."""


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerFile:
    """One event, acknowledged at 0/7: it became a dead letter."""
    writer = Ledger(tmp_path, "p", "t", "id")
    writer.intend(b"key", b"bad", ("log", 1))
    writer.acknowledged(0, 0, 7)
    writer.close()
    return read(tmp_path / "p.ledger")


def checked(ledger: LedgerFile, *records: Record) -> tuple[int, list[tuple[str, str]], list[tuple[str, str]]]:
    """How many were redriven, and the anomalies of both checks, where the record at 0/7 is a dead letter."""
    connection = duckdb.connect()
    connection.execute(
        'CREATE TABLE k ("partition" INT, "offset" BIGINT, digest UBIGINT, redriven_partition INT, '
        "redriven_offset BIGINT)"
    )
    connection.executemany("INSERT INTO k VALUES (?, ?, ?, ?, ?)", [(0, 7, LETTER, None, None), *records])
    connection.execute('CREATE TABLE kept ("partition" INT, "offset" BIGINT)')
    connection.execute(
        'CREATE TABLE dead ("partition" INT, "offset" BIGINT, digest UBIGINT, dlq_partition INT, dlq_offset BIGINT)'
    )
    connection.execute("INSERT INTO dead VALUES (0, 7, ?, 0, 0)", [LETTER])
    redriven = check_redriven(connection, "t")
    sent = check_sent(connection, [ledger], "t", {0: 0, 1: 0}, {0: 0, 1: 0})
    return redriven.checked, named(redriven), named(sent)


def test_a_redriven_record_is_no_duplicate_and_nobody_elses(ledger: LedgerFile) -> None:
    assert checked(ledger, (0, 9, LETTER, 0, 7)) == (1, [], [])
    assert checked(ledger, (1, 9, LETTER, 0, 7)) == (1, [], [])  # whatever partition it is in


def test_without_the_header_it_is_what_it_was_called_before(ledger: LedgerFile) -> None:
    assert checked(ledger, (0, 9, LETTER, None, None)) == (0, [], [("duplicate", "t/0/9")])


def test_a_header_that_names_no_dead_letter_excuses_nothing(ledger: LedgerFile) -> None:
    assert checked(ledger, (0, 9, LETTER, 0, 6)) == (0, [], [("duplicate", "t/0/9")])
    assert checked(ledger, (0, 9, OTHER, 0, 7)) == (0, [], [("unexpected", "t/0/9")])


def test_a_dead_letter_that_is_redriven_twice_is_named(ledger: LedgerFile) -> None:
    assert checked(ledger, (0, 9, LETTER, 0, 7), (0, 11, LETTER, 0, 7)) == (2, [("duplicate", "t/0/7")], [])


def test_evidence_from_before_there_were_any_is_still_taken() -> None:
    connection = duckdb.connect()
    connection.execute('CREATE TABLE k ("partition" INT, "offset" BIGINT, digest UBIGINT)')
    assert check_redriven(connection, "t").checked == 0
    assert connection.execute("SELECT p, o FROM redriven").fetchall() == []


def test_a_dead_letter_that_is_an_event_by_now_is_well_once_it_was_redriven() -> None:
    rows, lake, dead = [k(20), k(30), k(40)], [row(40)], [(0, 20, 20)]
    assert named(kept_in(rows, lake, dead)) == [("misrouted", "t/0/20"), ("lost-write", "t/0/30")]
    assert named(kept_in(rows, lake, dead, redriven=[(0, 30, 0, 20)])) == [("lost-write", "t/0/30")]
    other_bytes = [(0, 20, 21)]
    assert ("misrouted", "t/0/20") in named(kept_in(rows, lake, other_bytes, redriven=[(0, 30, 0, 20)]))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (None, None),
        ([("other", b"t/0/7")], None),
        ([(REDRIVEN_FROM, b"t/0/7")], ("t", 0, 7)),
        ([(REDRIVEN_FROM, b"t/0/7"), (REDRIVEN_FROM, b"t/1/8"), ("other", b"")], ("t", 1, 8)),  # the last one wins
        ([(REDRIVEN_FROM, b"t/0")], None),
        ([(REDRIVEN_FROM, b"t/-1/7")], None),
        ([(REDRIVEN_FROM, b"t/0/7/8")], None),
        ([(REDRIVEN_FROM, None)], None),
        ([(REDRIVEN_FROM, b"\xff/0/7")], ("\ufffd", 0, 7)),
    ],
)
def test_a_header_names_a_place_or_nothing(
    headers: list[tuple[str, bytes | None]] | None, expected: tuple[str, int, int] | None
) -> None:
    assert redriven_from(headers) == expected


def test_original_headers_are_what_is_left_without_those_that_were_added() -> None:
    own: list[tuple[str, bytes | None]] = [("trace", b"1"), ("trace", None), ("e", b"\xff")]
    added = DeadLetter("t", 0, 7, 0, "Bad", "why", "group", 3, left_out_bytes=9).headers()
    assert original_headers([*own, *added, (REDRIVEN_FROM, b"t/0/7")]) == own
    assert original_headers(None) == []
    assert DeadLetter.from_headers(added).left_out_bytes == 9
