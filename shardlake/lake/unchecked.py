"""What nobody checks of a lake, named: so that "holds" is never said of what was not read.

A table that no job counts again, rows that name a topic of which the table holds none, and folders that are no table.
A pipeline that knows why says so in `topics.toml`, as `unchecked = "why"`: then it is no reason to conclude nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import duckdb

from shardlake.lake.comparison import number
from shardlake.lake.counting import LATE_EVENTS
from shardlake.lake.sql import named, quoted
from shardlake.lake.tables import VISIBLE, LakeTable
from shardlake.lake.verdict import Findings
from shardlake.pipeline import Pipeline, Topic
from shardlake.storage import Folder, find, is_remote

OR_SAY = 'say why not in schemas/topics.toml, as unchecked = "…"'


def say_unchecked(found: Findings, topic: Topic, words: str, instead: str = "") -> None:
    """Add what was not checked: a note where the pipeline says why. `instead` is what would let it be checked."""
    if topic.unchecked:
        found.notes.append(f"{words}, as topics.toml says: {topic.unchecked}")
    else:
        found.unchecked.append(f"{words}. {f'{instead}, or {OR_SAY}' if instead else OR_SAY.capitalize()}.")


def check_tables(
    connection: duckdb.DuckDBPyConnection,
    pipeline: Pipeline,
    tables: list[LakeTable],
    counted: Collection[str],
    found: Findings,
) -> None:
    """Name the rows of the lake that no check has looked at. `counted` are tables that were counted again.

    Needs a view of each table.
    """
    of_sources = {str(topic.lake_table) for topic in pipeline.sources}
    for topic in pipeline.topics.values():
        table = topic.lake_table
        if table is None or table in counted or table in of_sources or table == LATE_EVENTS:
            continue
        rows = number(connection, f"SELECT count(*) FROM {named(table)}")
        if rows:
            words = f"no job says how {table} is counted again: its {rows:,} rows were not checked"
            say_unchecked(found, topic, words, f"Give the job that writes {table} a `recount`")
    for table, names in _topics_of(pipeline, tables):
        listed = ", ".join(map(quoted, names))
        for topic_name, rows in connection.execute(
            f"SELECT topic, count(*) FROM {named(table)} WHERE coalesce(topic NOT IN ({listed}), true) "
            "GROUP BY ALL ORDER BY ALL"
        ).fetchall():
            of = topic_name if topic_name is not None else "no topic"
            found.unchecked.append(
                f"{rows:,} rows of {table} are of {of}, which this pipeline does not read into it: they were held "
                "against nothing."
            )


def _topics_of(pipeline: Pipeline, tables: list[LakeTable]) -> Iterator[tuple[str, list[str]]]:
    """Each table whose rows name a topic, and the topics that they may name."""
    archives: dict[str, list[str]] = {}
    for topic in pipeline.sources:
        if topic.lake_table:
            archives.setdefault(topic.lake_table, []).append(topic.name)
    yield from archives.items()
    if any(table.name == LATE_EVENTS for table in tables):
        yield LATE_EVENTS, [topic.name for topic in pipeline.sources]


def alien_folders(lake: Folder, tables: list[LakeTable]) -> list[str]:
    """Folders of the lake with files that readers see, which are no table of the pipeline, as an older job's."""
    known = {table.name for table in tables}
    found = (one.name for one in lake.iterdir() if is_remote(lake) or one.is_dir())
    names = sorted(name for name in found if name and name not in known and not name.startswith((".", "_")))
    return [name for name in names if find(lake / name, VISIBLE)]
