"""Redriven records of the topic: those that say which dead letter they were, and have its key and value.

No ledger names them, as no producer sent them; and the record that one was may well be an event by now, as when its
schema was registered since. Needs tables `k` and `dead`.
"""

from __future__ import annotations

import duckdb

from shardlake.lake.comparison import number
from shardlake.lake.verdict import Anomaly, Findings

PLACES = ("redriven_partition", "redriven_offset")


def check_redriven(connection: duckdb.DuckDBPyConnection, topic: str) -> Findings:
    """Make the table `redriven`, and find what was redriven more than once.

    A record that names no dead letter, or one of another key or value, is not in it: that is anybody's.
    """
    found = Findings("redriven dead letters, in the topic")
    there = {row[0] for row in connection.execute("DESCRIBE k").fetchall()}
    if not there.issuperset(PLACES):  # evidence from before there were any
        connection.execute(
            'CREATE TEMP VIEW redriven AS SELECT "partition", "offset", 0 AS p, 0 AS o FROM k WHERE false'
        )
        return found
    connection.execute("""
        CREATE TEMP TABLE redriven AS
        SELECT "partition", "offset", redriven_partition AS p, redriven_offset AS o FROM k SEMI JOIN dead
        ON dead."partition" = redriven_partition AND dead."offset" = redriven_offset AND dead.digest = k.digest
    """)
    found.checked = number(connection, "SELECT count(*) FROM redriven")
    for partition, offset, places in connection.execute("""
        SELECT p, o, list("partition" || '/' || "offset" ORDER BY "partition", "offset") FROM redriven
        GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL
    """).fetchall():
        words = f"was redriven {len(places)} times: {', '.join(f'{topic}/{one}' for one in places)}"
        found.add(Anomaly("duplicate", f"{topic}/{partition}/{offset}", words))
    return found
