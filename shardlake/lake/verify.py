"""The proof: what was sent, what the topic holds, and what the lake keeps, held against each other.

Nothing is taken from those who are checked: the topic is read again (`evidence`), the lake's files are read as any
reader would, windows are counted anew. The equations are in `sent`, `kept`, `recount` and `files`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb

from shardlake.counted import counted
from shardlake.lake.evidence import Evidence
from shardlake.lake.files import check_files
from shardlake.lake.identity import check_identity
from shardlake.lake.kept import LACKING, Expected, check_kept
from shardlake.lake.masks import KINDS
from shardlake.lake.published import PUBLISHED, check_published
from shardlake.lake.query import connect, selection
from shardlake.lake.recount import Difference, Recount
from shardlake.lake.redriven import check_redriven
from shardlake.lake.sent import check_sent
from shardlake.lake.sql import named, quoted
from shardlake.lake.tables import LakeTable
from shardlake.lake.verdict import Anomaly, Findings, Verdict
from shardlake.lake.written import Differing, differing
from shardlake.ledger import Run, of_run
from shardlake.pipeline import Pipeline, Topic

Recounts = Callable[[list[LakeTable], str | None], Sequence[Recount]]
"""Of tables, with a query that stands for the table of events or None."""
LATE_EVENTS = "late_events"
WINDOWS = {"missing": "missing-window", "alien": "unexpected-window", "doubled": "duplicate-window"}


def verify(
    pipeline: Pipeline,
    topic: Topic,
    tables: list[LakeTable],
    evidence: Evidence,
    runs: Sequence[Path],
    recounts: Recounts,
) -> Verdict:
    """All checks. `runs` are folders with ledgers, of all who wrote to the topic since the first of them began;
    `recounts` counts windows again over tables.

    Raises BadInput where a run's folder is none.
    """
    seconds: dict[str, float] = {}
    findings = []
    lake = tables[0].folder.parent
    with _timed(seconds, "files"):
        files, unreadable, written = check_files(lake, tables, runs)
        tables = [replace(table, left_out=unreadable) for table in tables]
        findings.append(files)
    connection = connect(tables)
    connection.execute(f"CREATE VIEW k AS SELECT * FROM read_parquet({quoted(evidence.topic_files)})")
    connection.execute(f"CREATE VIEW dead AS SELECT * FROM read_parquet({quoted(evidence.dead_letter_files)})")
    archive = next(table for table in tables if table.name == topic.lake_table)
    connection.execute(f"CREATE VIEW kept AS {_rows(archive, topic)}")
    identity, is_lakes, of_topic = check_identity(topic.name, evidence.topic_id, archive, runs)
    redriven = check_redriven(connection, topic.name)
    if redriven.checked:
        findings.append(redriven)
    if of_topic:
        with _timed(seconds, "ledger"):
            starts = [Run.read(run).starts for run in of_topic]
            begins = {partition: min(one.get(partition, 0) for one in starts) for partition in evidence.first}
            findings.append(check_sent(connection, of_run(*of_topic), topic.name, begins, evidence.first))
    with _timed(seconds, "lake"):
        names = {str(file).removeprefix(f"{lake}/"): one for file, one in written.items()}
        of_archive = {name: one for name, one in names.items() if name.startswith(f"{archive.name}/")}
        instead = None
        if is_lakes:
            kept = _kept(connection, pipeline, topic, evidence, differing(pipeline.schema_of(topic), of_archive))
            findings.append(kept)
            instead = _instead_of_archive(evidence, topic, kept)
    with _timed(seconds, "windows"):
        counted = recounts(tables, instead)
        findings += [_windows(one) for one in counted]
    with _timed(seconds, "topics"):
        # A checkpoint is committed to the topics and to the lake in turn: while jobs run, one is ahead of the other.
        if (evidence.folder / PUBLISHED).is_dir():
            findings += check_published(connection, pipeline, evidence.folder / PUBLISHED)
        else:
            files.notes.append("the topics that jobs write are held against the lake when the jobs have ended")
    others = {table.name for table in tables} - {topic.lake_table, LATE_EVENTS, *(one.table for one in counted)}
    if others:
        files.notes.append(f"no job says how {', '.join(sorted(others))} is counted again: its rows were not checked")
    findings.append(identity)
    return Verdict(tuple(findings), seconds)


def _rows(archive: LakeTable, topic: Topic) -> str:
    """The topic's rows in the lake, with "filename" below the lake's folder."""
    files = archive.files()
    rows = selection(archive, files, "filename") if files else f"SELECT *, NULL AS filename FROM {named(archive.name)}"
    lake = quoted(f"{archive.folder.parent}/")
    return (
        f"SELECT * REPLACE (replace(filename, {lake}, '') AS filename) FROM ({rows}) WHERE topic = {quoted(topic.name)}"
    )


def _kept(
    connection: duckdb.DuckDBPyConnection,
    pipeline: Pipeline,
    topic: Topic,
    evidence: Evidence,
    older: Differing,
) -> Findings:
    there = [row[0] for row in connection.execute("DESCRIBE k").fetchall()]
    names = [field["name"] for field in pipeline.schema_of(topic)["fields"]]
    fields = {name: _expected(name, there) for name in [*names, "arrival_time"] if name not in evidence.uncompared}
    offsets = {partition: (first, evidence.end[partition]) for partition, first in evidence.first.items()}
    files = [(name, LACKING, file) for name, lacking in older.lacking.items() for file in lacking]
    files += [(name, mask, file) for (name, mask), masked in older.masked.items() for file in masked]
    found = check_kept(connection, topic.name, fields, offsets, evidence.covered, files)
    if evidence.uncompared:
        found.unchecked.append(
            f"{', '.join(evidence.uncompared)}: the key with which the lake hashes them is not known here, and so "
            "their values were not compared. Name its file with SHARDLAKE_PII_KEY_FILE."
        )
    return found


def _expected(name: str, columns: Iterable[str]) -> Expected:
    """The columns of a field in the evidence: FIELD and FIELD@KEYID, and with an older mask FIELD@MASK, …@KEYID."""
    present: list[str] = []
    older: dict[str, list[str]] = {}
    for one in columns:
        field, _, more = one.partition("@")
        mask = more.partition("@")[0]
        if field == name:
            (older.setdefault(mask, []) if mask in KINDS else present).append(one)
    return Expected(present, older)


def _instead_of_archive(evidence: Evidence, topic: Topic, kept: Findings) -> str | None:
    """The topic's events as far as checkpoints cover them, where the archive is not as they are: its windows would be
    wrong for that alone."""
    if not kept.counts:
        return None
    if evidence.uncompared or any(evidence.first.values()):
        kept.notes.append("windows are counted again from the archive as it is, so what is wrong there is wrong here")
        return None
    covered = " OR ".join(f'("partition" = {one} AND "offset" < {offset})' for one, offset in evidence.covered.items())
    return (
        f"SELECT *, {quoted(topic.name)} AS topic FROM read_parquet({quoted(evidence.topic_files)}) "
        f"WHERE state = 'event' AND ({covered or 'false'})"
    )


def _windows(one: Recount) -> Findings:
    found = Findings(f"{one.table}, counted again", one.windows, "windows")
    if one.open_windows:
        found.notes.append(f"{counted(one.open_windows, 'window')} of {one.table}: not closed yet")
    cells: dict[tuple[object, ...], list[Difference]] = {}
    for difference in one.differences:
        cells.setdefault(difference.key, []).append(difference)
    for key, differences in cells.items():
        first = differences[0]
        name = WINDOWS.get(first.what, "wrong-window")
        if any(one.is_late for one in differences):
            name = "late-unlisted"
        words = "; ".join(f"{each.what}: {each.in_table}, counted again {each.recounted}" for each in differences)
        found.add(Anomaly(name, f"{one.table}: {', '.join(map(str, key))}", words))
    return found


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[name] = time.monotonic() - began
