"""The ledgers of a run held against the topic: who sent what, and what became of it.

    what was acknowledged is in the topic, at its place and in the order sent
    what failed for certain is not in the topic
    what is in the topic was acknowledged or is unknown, each event once, but for redriven records

Needs tables `k`, the topic's records ("partition", "offset", digest), `redriven`, the places of those that were dead
letters, and `kept` and `dead`, the places that the lake and the dead letters have: they are all that is left to ask of
what retention took from the topic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa

from shardlake.counted import counted
from shardlake.lake.comparison import by_partition, differing_chunks, number, within
from shardlake.lake.verdict import Anomaly, Findings
from shardlake.ledger import LedgerFile

SENT = "what was sent, against the topic"
UNKNOWN, ACKNOWLEDGED, FAILED = 0, 1, 2
PLACE_AND_DIGEST = '"partition", "offset", hash("partition", "offset", digest) AS h'


def check_sent(
    connection: duckdb.DuckDBPyConnection,
    ledgers: Sequence[LedgerFile],
    topic: str,
    starts: Mapping[int, int],
    firsts: Mapping[int, int],
    *,
    has_table: bool = True,
) -> Findings:
    """Hold ledgers against the topic.

    `starts` are the run's first offsets, `firsts` those that the topic still has. `has_table` is whether a table of the
    lake keeps the topic's events.
    """
    found = Findings(SENT, unit="events sent")
    connection.register("ledgers", _table(ledgers))
    connection.execute("CREATE OR REPLACE TEMP TABLE sent AS SELECT * FROM ledgers")
    connection.unregister("ledgers")
    connection.register("begins", by_partition(start=starts, first=firsts))
    found.checked = number(connection, "SELECT count(*) FROM sent")
    acknowledged = f'SELECT * FROM sent WHERE status = {ACKNOWLEDGED} AND "offset" >= 0'
    still_there = _from(acknowledged, "first")
    records = _from("SELECT * FROM k", "start")
    gone = number(connection, f"SELECT count(*) FROM ({acknowledged})") - number(
        connection, f"SELECT count(*) FROM ({still_there})"
    )
    if gone:
        found.notes.append(
            f"{gone:,} acknowledged events are before the topic's first offset: retention has taken them. That each is "
            "in the lake or a dead letter is checked by its place; what its values were can no longer be."
        )
    differ = differing_chunks(
        connection,
        f"SELECT {PLACE_AND_DIGEST} FROM ({still_there})",
        f"SELECT {PLACE_AND_DIGEST} FROM ({records})",
        "sent_differs",
    )
    names = _Names(ledgers, topic)
    if differ:
        for anomaly in _at_places(connection, within(still_there, "sent_differs"), names):
            found.add(anomaly)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE unmatched AS SELECT * FROM ({within(records, 'sent_differs')}) k "
            f'ANTI JOIN ({acknowledged}) a ON a."partition" = k."partition" AND a."offset" = k."offset" '
            'ANTI JOIN redriven r ON r."partition" = k."partition" AND r."offset" = k."offset"'
        )
    else:
        connection.execute("CREATE OR REPLACE TEMP TABLE unmatched AS SELECT * FROM k WHERE false")
    if gone and not has_table:
        found.unchecked.append(f"{gone:,} acknowledged events that retention took are in no table of the lake.")
    elif gone:
        _gone(connection, acknowledged, names, found)
    _by_digest(connection, names, found)
    for ledger_number, ledger in enumerate(ledgers):
        for sequence in _out_of_order(ledger):
            found.add(
                Anomaly("nonmonotonic-send", names.event(ledger_number, sequence), "is before an event sent earlier")
            )
    _on_ends(ledgers, found)
    return found


class _Names:
    def __init__(self, ledgers: Sequence[LedgerFile], topic: str) -> None:
        self._ledgers, self._topic = ledgers, topic

    def place(self, partition: int, offset: int) -> str:
        return f"{self._topic}/{partition}/{offset}"

    def event(self, ledger: int, sequence: int) -> str:
        return f"{self._ledgers[ledger].place(sequence)} (ledger {self._ledgers[ledger].producer}, {sequence})"


def _table(ledgers: Sequence[LedgerFile]) -> pa.Table:
    tables = []
    for number_, ledger in enumerate(ledgers):
        events = len(ledger.digests)
        status = np.zeros(events, np.uint8)
        partition, offset = np.full(events, -1, np.int32), np.full(events, -1, np.int64)
        status[ledger.acknowledged] = ACKNOWLEDGED
        partition[ledger.acknowledged] = ledger.partitions
        offset[ledger.acknowledged] = ledger.offsets
        status[ledger.failed] = FAILED
        tables.append(
            pa.table(
                {
                    "ledger": np.full(events, number_, np.int32),
                    "sequence": np.arange(events, dtype=np.int64),
                    "digest": ledger.digests,
                    "status": status,
                    "partition": partition,
                    "offset": offset,
                }
            )
        )
    return pa.concat_tables(tables)


def _from(query: str, begin: str) -> str:
    return f'SELECT q.* FROM ({query}) q JOIN begins b USING ("partition") WHERE q."offset" >= b.{begin}'


def _at_places(connection: duckdb.DuckDBPyConnection, acknowledged: str, names: _Names) -> Iterator[Anomaly]:
    rows = connection.execute(
        'SELECT a.ledger, a.sequence, a."partition", a."offset", k.digest IS NULL '
        f'FROM ({acknowledged}) a LEFT JOIN k ON k."partition" = a."partition" AND k."offset" = a."offset" '
        "WHERE k.digest IS DISTINCT FROM a.digest ORDER BY ALL"
    )
    while some := rows.fetchmany(10_000):
        for ledger, sequence, partition, offset, is_missing in some:
            where, event = names.place(partition, offset), names.event(ledger, sequence)
            if is_missing:
                yield Anomaly("lost-write", where, f"{event} was acknowledged there; the topic does not have it")
            else:
                yield Anomaly("inconsistent-offsets", where, f"{event} was acknowledged there; another record is")


def _gone(connection: duckdb.DuckDBPyConnection, acknowledged: str, names: _Names, found: Findings) -> None:
    """What was acknowledged before the topic's first offset, and is nowhere."""
    nowhere = f"""
        SELECT ledger, sequence, "partition", "offset"
        FROM ({acknowledged}) a JOIN begins USING ("partition")
        ANTI JOIN kept USING ("partition", "offset") ANTI JOIN dead USING ("partition", "offset")
        WHERE "offset" < first ORDER BY ALL
    """
    firsts = "SELECT min(dlq_offset) AS first FROM dead GROUP BY dlq_partition"
    if number(connection, f"SELECT max(first) FROM ({firsts})"):
        missing = number(connection, f"SELECT count(*) FROM ({nowhere})")
        if missing:
            found.unchecked.append(
                f"{missing:,} acknowledged events that retention took from the topic are not in the lake; they may be "
                "dead letters that it took as well."
            )
        return
    rows = connection.execute(nowhere)
    while some := rows.fetchmany(10_000):
        for ledger, sequence, partition, offset in some:
            words = f"{names.event(ledger, sequence)} was acknowledged there; retention took it, and nothing kept it"
            found.add(Anomaly("lost-write", names.place(partition, offset), words))


def _by_digest(connection: duckdb.DuckDBPyConnection, names: _Names, found: Findings) -> None:
    """The topic's records that nobody was told the place of, against the events without a place, as multisets."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE placeless AS
        SELECT digest, count(*) FILTER (status = {ACKNOWLEDGED}) AS acknowledged,
            count(*) FILTER (status = {UNKNOWN}) AS unknown, min(ledger) AS ledger, min(sequence) AS sequence
        FROM sent WHERE status <> {FAILED} AND "offset" < 0 GROUP BY digest
    """)
    found_n = number(
        connection,
        """
        SELECT sum(least(n, unknown)) FROM placeless JOIN
        (SELECT digest, count(*) AS n FROM unmatched GROUP BY digest) USING (digest)
    """,
    )
    unknown = number(connection, f"SELECT count(*) FROM sent WHERE status = {UNKNOWN}")
    if unknown:
        found.notes.append(f"{unknown:,} events are unknown to their producers; {found_n:,} of them are in the topic")
    for ledger, sequence, missing in connection.execute("""
        SELECT ledger, sequence, acknowledged - coalesce(n, 0) FROM placeless LEFT JOIN
        (SELECT digest, count(*) AS n FROM unmatched GROUP BY digest) USING (digest)
        WHERE acknowledged > coalesce(n, 0) ORDER BY ALL
    """).fetchall():
        for _ in range(missing):
            event = names.event(ledger, sequence)
            found.add(Anomaly("lost-write", event, "was acknowledged without a place; the topic does not have it"))
    rows = connection.execute(f"""
        SELECT "partition", "offset", f.digest IS NOT NULL, s.one['l'], s.one['s'], s.one['p'], s.one['o']
        FROM (SELECT *, row_number() OVER (PARTITION BY digest ORDER BY "partition", "offset") AS nth FROM unmatched) r
        LEFT JOIN placeless p USING (digest)
        LEFT JOIN (SELECT DISTINCT digest FROM sent WHERE status = {FAILED}) f ON f.digest = r.digest
        LEFT JOIN (
            SELECT digest, arg_max({{l: ledger, s: sequence, p: "partition", o: "offset"}}, "offset") AS one FROM sent
            WHERE status <> {FAILED} AND digest IN (SELECT digest FROM unmatched) GROUP BY digest
        ) s ON s.digest = r.digest
        WHERE nth > coalesce(p.acknowledged + p.unknown, 0) ORDER BY 1, 2
    """)
    while some := rows.fetchmany(10_000):
        for partition, offset, has_failed, ledger, sequence, other_partition, other_offset in some:
            where = names.place(partition, offset)
            if ledger is not None:
                other = f"; it is at {names.place(other_partition, other_offset)} too" if other_offset >= 0 else ""
                found.add(Anomaly("duplicate", where, f"{names.event(ledger, sequence)} was sent once{other}"))
            elif has_failed:
                found.add(Anomaly("G1a", where, "failed for certain, as its producer was told"))
            else:
                found.add(
                    Anomaly(
                        "unexpected",
                        where,
                        "no ledger of the run names it (where something else wrote to the topic, name its run too)",
                    )
                )


def _out_of_order(ledger: LedgerFile) -> Iterator[int]:
    """Sequence numbers of acknowledged events that follow, by offset, one that was sent later."""
    for partition in np.unique(ledger.partitions):
        chosen = (ledger.partitions == partition) & (ledger.offsets >= 0)
        offsets, sequences = ledger.offsets[chosen], ledger.acknowledged[chosen].astype(np.int64)
        if len(offsets) and np.any(np.diff(offsets) < 0):
            sequences = sequences[np.argsort(offsets, kind="stable")]
        if not np.any(np.diff(sequences) < 0):
            continue
        highest = np.maximum.accumulate(sequences)
        yield from sequences[sequences < highest].tolist()


def _on_ends(ledgers: Sequence[LedgerFile], found: Findings) -> None:
    """What a ledger without an end means for what was found."""
    torn = [ledger for ledger in ledgers if ledger.torn_bytes]
    killed = [ledger for ledger in ledgers if not ledger.has_ended and not ledger.torn_bytes]
    if killed:
        listed = ", ".join(ledger.producer for ledger in killed)
        found.notes.append(f"killed producers, or such as run on (what has no report is unknown): {listed}")
    for ledger in torn:
        words = (
            f"The last {ledger.torn_bytes:,} bytes of {ledger.path.name} are no whole block. Where its producer was "
            "killed, they are of events that it had not handed over, and nothing is missing. Where somebody has cut "
            "it, reports and intents are missing: what lacks a report counts as unknown"
        )
        unexpected = found.counts.pop("unexpected", 0)
        if unexpected:
            found.anomalies = [one for one in found.anomalies if one.name != "unexpected"]
            found.unchecked.append(
                f"{words}, and the {counted(unexpected, 'record')} of the topic that no ledger names may be its own."
            )
        else:
            found.notes.append(f"{words}.")
