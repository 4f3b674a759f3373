"""The topic held against the lake and the dead letters: each record in one of them, once, as it must be there.

    events + poison + null values = rows of the lake + dead letters + null values,   by (topic, partition, offset)

and each row has the values of its record, masked; each dead letter its bytes. A dead letter that is an event by now is
well where it was redriven, or where jobs of an older schema could not read it.

Needs tables `k`, the topic's records with what the lake must hold of them, `dead`, the dead letters, `redriven`, and
`kept`, the rows of the lake with the file of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from shardlake.counted import counted
from shardlake.lake.comparison import CHUNK_BITS, by_partition, differing_chunks, number, within
from shardlake.lake.sql import named, quoted
from shardlake.lake.verdict import Anomaly, Findings

AGAINST_LAKE = "the topic, against the lake and the dead letters"
FETCHED = 10_000


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is of one place. `state` is the topic's record there: event, poison, null, or None where it has none.

    `has_bytes` is whether the dead letter has the record's key and value; `is_past_end` and `is_covered` say whether
    the place is behind the topic's end, and within what completed checkpoints cover.
    """

    state: str | None
    rows: int
    letters: int
    has_bytes: bool
    is_past_end: bool
    is_covered: bool


UNSEEN = "unseen"


def judge(kept: Kept) -> Iterator[tuple[str, str]]:
    """The anomalies of one place by name, with words; `unseen` is none: what comes with the next checkpoint."""
    if kept.rows > 1:
        yield "duplicate", f"is in the lake {kept.rows} times"
    if kept.letters > 1:
        yield "duplicate", f"is a dead letter {kept.letters} times"
    if kept.rows and kept.letters:
        yield "duplicate", "is in the lake and among the dead letters"
    if kept.state is None:
        if kept.is_past_end:
            yield "unexpected", "is behind the topic's end"
        else:
            yield "G1a", "is kept; the topic has no committed record there"
    elif kept.state == "event":
        if kept.letters and not kept.rows:
            yield "misrouted", "is a valid event, and among the dead letters"
        elif not kept.rows:
            yield (
                ("lost-write", "is neither in the lake nor among the dead letters") if kept.is_covered else (UNSEEN, "")
            )
    elif kept.state == "poison":
        if kept.rows and not kept.letters:
            yield "misrouted", "is no valid event, and in the lake"
        elif not kept.letters:
            yield ("lost-write", "is no valid event, and no dead letter") if kept.is_covered else (UNSEEN, "")
        elif not kept.has_bytes:
            yield "wrong-value", "has another key or value among the dead letters than in the topic"
    elif kept.rows or kept.letters:
        yield "misrouted", "is a null value, and kept"


@dataclass(frozen=True, slots=True)
class Expected:
    """The columns of `k` that tell which values of a field are right in the lake.

    A row's value is right where it equals the value of one of `columns`, the usual one first. In a file that was
    written with an older mask, the value must equal one of the columns that `older` has for that mask.
    """

    columns: Sequence[str]
    older: Mapping[str, Sequence[str]] = field(default_factory=dict)


LACKING = ""
"""In place of a mask, for files that lack a field."""


def check_kept(
    connection: duckdb.DuckDBPyConnection,
    topic: str,
    fields: Mapping[str, Expected],
    offsets: Mapping[int, tuple[int, int]],
    committed: Mapping[int, int],
    differing: Iterable[tuple[str, str, str]] = (),
) -> Findings:
    """Hold the lake against the topic.

    `fields` are those compared; `offsets` are the first and end offsets of the topic; `committed` is how far completed
    checkpoints cover it; `differing` are files that are not as the present schema says, as (field, mask, filename).
    """
    found = Findings(AGAINST_LAKE)
    found.checked = number(connection, "SELECT count(*) FROM k")
    firsts, lasts = ({one: pair[end] for one, pair in offsets.items()} for end in (0, 1))
    connection.register("bounds", by_partition(first=firsts, last=lasts, covered=committed))
    names = pa.schema({name: pa.string() for name in ("field", "mask", "filename")})
    connection.register(
        "differing", pa.Table.from_pylist([dict(zip(names.names, one, strict=True)) for one in differing], names)
    )
    columns = ", ".join(['"partition"', '"offset"', *(f'"{field}"' for field in fields)])
    hashed = f'SELECT "partition", "offset", hash({columns}) AS h FROM'
    differ = differing_chunks(
        connection,
        f"{hashed} k WHERE state = 'event'",
        f'{hashed} kept JOIN bounds USING ("partition") WHERE "offset" >= first',
        "kept_differs",
    )
    _take(connection)
    unseen = 0
    for place, files, kept in _places(connection, topic):
        for name, words in judge(kept):
            if name == UNSEEN:
                unseen += 1
            else:
                found.add(Anomaly(name, place, words, files))
    for anomaly in _wrong_values(connection, topic, fields) if differ else ():
        found.add(anomaly)
    if unseen:
        found.unchecked.append(
            f"{counted(unseen, 'record is', 'records are')} not covered by a completed checkpoint, and not in the lake "
            "yet: let the jobs run on, or finish them, and verify again."
        )
    newer = number(
        connection,
        """
        SELECT count(*) FROM dead JOIN some_k USING ("partition", "offset")
        ANTI JOIN redriven ON p = "partition" AND o = "offset"
        WHERE dead.state = 'poison' AND some_k.state = 'event'
        """,
    )
    if newer:
        found.notes.append(
            f"{counted(newer, 'dead letter is an event', 'dead letters are events')} by now, which jobs of an older "
            "schema could not read: `shardlake dlq redrive` sends such letters again"
        )
    foreign = number(connection, 'SELECT count(*) FROM dead WHERE "partition" < 0')
    if foreign:
        found.notes.append(f"{counted(foreign, 'record')} of the dead-letter topic: not of these jobs")
    return found


def _take(connection: duckdb.DuckDBPyConnection) -> None:
    """What has to be looked at one by one: chunks that differ, poison, and dead letters."""
    suspect = f"""
        ("partition", "offset" >> {CHUNK_BITS}) IN (SELECT ("partition", chunk) FROM kept_differs)
        OR ("partition", "offset") IN (SELECT ("partition", "offset") FROM dead)
    """
    connection.execute(
        'CREATE OR REPLACE TEMP TABLE some_k AS SELECT "partition", "offset", state, digest FROM k '
        f"WHERE state = 'poison' OR {suspect}"
    )
    connection.execute(
        f'CREATE OR REPLACE TEMP TABLE some_kept AS SELECT "partition", "offset", filename FROM kept WHERE {suspect}'
    )


def _places(connection: duckdb.DuckDBPyConnection, topic: str) -> Iterator[tuple[str, tuple[str, ...], Kept]]:
    rows = connection.execute("""
        WITH letters AS (
            SELECT "partition", "offset", count(*) AS letters, any_value(digest) AS letter,
                any_value(state) = 'poison' AS was_poison FROM dead
            WHERE "partition" >= 0 GROUP BY ALL
        ), rows AS (
            SELECT "partition", "offset", count(*) AS rows, list(DISTINCT filename ORDER BY filename) AS files
            FROM some_kept GROUP BY ALL
        )
        SELECT "partition", "offset", state, coalesce(rows, 0) AS n, coalesce(letters, 0) AS m,
            coalesce(letter = digest, false) AS has_bytes, "offset" >= last, "offset" < covered, files
        FROM some_k FULL JOIN rows USING ("partition", "offset") FULL JOIN letters USING ("partition", "offset")
        JOIN bounds USING ("partition")
        WHERE "offset" >= first AND NOT (
            (coalesce(state = 'event', false) AND n = 1 AND m = 0)
            OR (coalesce(state = 'poison', false) AND n = 0 AND m = 1 AND has_bytes)
            OR (coalesce(state = 'null', false) AND n = 0 AND m = 0)
            OR (coalesce(state = 'event', false) AND n = 0 AND m = 1 AND has_bytes AND (
                was_poison OR ("partition", "offset") IN (SELECT (p, o) FROM redriven)
            ))
        ) ORDER BY ALL
    """)
    while some := rows.fetchmany(FETCHED):
        for partition, offset, state, n, letters, has_bytes, is_past_end, is_covered, files in some:
            place = f"{topic}/{partition}/{offset}"
            yield place, tuple(files or ()), Kept(state, n, letters, has_bytes, is_past_end, is_covered)
    rows = connection.execute("""
        SELECT "partition", "offset", count(*), list(DISTINCT filename ORDER BY filename)
        FROM kept JOIN bounds USING ("partition") WHERE "offset" < first
        GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL
    """)
    while some := rows.fetchmany(FETCHED):
        for partition, offset, n, files in some:
            yield f"{topic}/{partition}/{offset}", tuple(files), Kept("event", n, 0, False, False, True)


def _differs(field: str, expected: Expected) -> str:
    """The condition under which a row of `kept` has a wrong value in a field."""

    def is_one_of(columns: Sequence[str]) -> str:
        return "(" + " OR ".join(f"kept.{named(field)} IS NOT DISTINCT FROM k.{named(one)}" for one in columns) + ")"

    def is_of(mask: str) -> str:
        return (
            f"kept.filename IN (SELECT filename FROM differing WHERE field = {quoted(field)} AND mask = {quoted(mask)})"
        )

    right = is_one_of(expected.columns)
    for mask, columns in expected.older.items():
        right = f"CASE WHEN {is_of(mask)} THEN {is_one_of(columns)} ELSE {right} END"
    return f"""NOT ({right} OR (kept."{field}" IS NULL AND {is_of(LACKING)}))"""


def _wrong_values(
    connection: duckdb.DuckDBPyConnection, topic: str, fields: Mapping[str, Expected]
) -> Iterator[Anomaly]:
    differs = [_differs(field, expected) for field, expected in fields.items()]
    rows = connection.execute(f"""
        SELECT "partition", "offset", kept.filename, {", ".join(differs)}
        FROM ({within("SELECT * FROM kept", "kept_differs")}) kept
        JOIN ({within("SELECT * FROM k", "kept_differs")}) k USING ("partition", "offset")
        WHERE state = 'event' AND ({" OR ".join(differs)}) ORDER BY ALL
    """)
    while some := rows.fetchmany(FETCHED):
        for partition, offset, file, *wrong in some:
            named = ", ".join(field for field, is_wrong in zip(fields, wrong, strict=True) if is_wrong)
            words = f"has other values in the lake than in the topic: {named}"
            yield Anomaly("wrong-value", f"{topic}/{partition}/{offset}", words, (file,))
