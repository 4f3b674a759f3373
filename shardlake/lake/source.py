"""One topic of events held against its ledgers, its table of the lake, its dead letters and its late events.

Each source has its own connection: what was read of one topic has nothing to do with another's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from shardlake.lake.comparison import number
from shardlake.lake.counting import LATE_EVENTS
from shardlake.lake.evidence import Evidence
from shardlake.lake.identity import check_identity
from shardlake.lake.kept import AGAINST_LAKE, LACKING, Expected, check_kept
from shardlake.lake.late import check_late
from shardlake.lake.masks import KINDS
from shardlake.lake.query import connected, selection
from shardlake.lake.redriven import check_redriven
from shardlake.lake.seconds import Seconds
from shardlake.lake.sent import SENT, check_sent
from shardlake.lake.sql import named, quoted
from shardlake.lake.tables import LakeTable
from shardlake.lake.unchecked import say_unchecked
from shardlake.lake.verdict import Counted, Findings
from shardlake.lake.written import Written, differing
from shardlake.ledger import Run, of_run
from shardlake.pipeline import Pipeline, Topic


@dataclass(frozen=True, slots=True)
class Source:
    """A topic of events, and what there is to hold it against.

    `evidence` is what was read of the topic; `unread` says why there is none. `runs` are the folders of the ledgers of
    those who wrote to the topic.
    """

    topic: Topic
    evidence: Evidence | None
    runs: tuple[Path, ...] = ()
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found of a source. `identity` is about the ids of topics; `instead` is a query for the events that the
    archive should hold, where the archive does not hold them."""

    findings: tuple[Findings, ...]
    identity: Findings | None = None
    counted: Counted | None = None
    instead: str | None = None


def judge(
    pipeline: Pipeline,
    source: Source,
    tables: list[LakeTable],
    written: Mapping[str, Written],
    seconds: Seconds,
) -> Judged:
    """All checks of one source. `written` tells, by name below the lake, what each file was written with.

    Raises BadInput where a run's folder holds no ledger.
    """
    topic, evidence = source.topic, source.evidence
    if evidence is None:
        words = f"{topic.name} could not be read, and its events were held against nothing: {source.unread}"
        return Judged((Findings(AGAINST_LAKE, unchecked=[words], source=topic.name),))
    archive = next((table for table in tables if table.name == topic.lake_table), None)
    findings = []
    with connected(tables) as connection:
        connection.execute(f"CREATE VIEW k AS SELECT * FROM read_parquet({quoted(evidence.topic_files)})")
        connection.execute(f"CREATE VIEW dead AS SELECT * FROM read_parquet({quoted(evidence.dead_letter_files)})")
        connection.execute(f"CREATE VIEW kept AS {_rows(archive, topic)}")
        identity, is_lakes, of_topic = check_identity(topic.name, evidence.topic_id, archive, source.runs)
        redriven = check_redriven(connection, topic.name)
        if redriven.checked:
            findings.append(redriven)
        if of_topic:
            with seconds.of("ledger"):
                findings.append(_sent(connection, topic, evidence, of_topic))
        instead = None
        with seconds.of("lake"):
            if is_lakes:
                kept = _kept(connection, pipeline, topic, evidence, archive, written)
                findings.append(kept)
                instead = _instead_of_archive(evidence, topic, kept) if archive else None
                late = check_late(connection, topic) if LATE_EVENTS in {table.name for table in tables} else None
                if late and late.checked:
                    findings.append(late)
            rows = number(connection, "SELECT count(*) FROM kept") if archive else 0
    named_findings = tuple(replace(found, source=topic.name) for found in findings)
    counted = Counted(topic.name, evidence.events, evidence.poison, evidence.nulls, evidence.dead_letters, rows)
    return Judged(named_findings, identity, counted, instead)


def _rows(archive: LakeTable | None, topic: Topic) -> str:
    """The topic's rows in the lake, with "filename" below the lake's folder.

    Where no table keeps its events, every event is taken to be kept, but for those among the dead letters.
    """
    if archive is None:
        return 'SELECT *, NULL AS filename FROM k ANTI JOIN dead USING ("partition", "offset") WHERE state = \'event\''
    files = archive.files()
    rows = selection(archive, files, "filename") if files else f"SELECT *, NULL AS filename FROM {named(archive.name)}"
    lake = quoted(f"{archive.folder.parent}/")
    return (
        f"SELECT * REPLACE (replace(filename, {lake}, '') AS filename) FROM ({rows}) WHERE topic = {quoted(topic.name)}"
    )


def _sent(connection: duckdb.DuckDBPyConnection, topic: Topic, evidence: Evidence, runs: Sequence[Path]) -> Findings:
    starts = [Run.read(run).starts for run in runs]
    begins = {partition: min(one.get(partition, 0) for one in starts) for partition in evidence.first}
    ledgers = of_run(*runs)
    others = [ledger for ledger in ledgers if ledger.topic != topic.name]
    own = [ledger for ledger in ledgers if ledger.topic == topic.name]
    if own:
        has_table = topic.lake_table is not None
        found = check_sent(connection, own, topic.name, begins, evidence.first, has_table=has_table)
    else:
        found = Findings(SENT, unit="events sent")
    for ledger in others:
        found.unchecked.append(
            f"{ledger.path} is of the topic {ledger.topic}, its folder of {topic.name}: it was held against nothing."
        )
    return found


def _kept(
    connection: duckdb.DuckDBPyConnection,
    pipeline: Pipeline,
    topic: Topic,
    evidence: Evidence,
    archive: LakeTable | None,
    written: Mapping[str, Written],
) -> Findings:
    there = [row[0] for row in connection.execute("DESCRIBE k").fetchall()]
    names = [field["name"] for field in pipeline.schema_of(topic)["fields"]] if archive else []
    compared = [*names, "arrival_time"] if archive else []
    fields = {name: _expected(name, there) for name in compared if name not in evidence.uncompared}
    offsets = {partition: (first, evidence.end[partition]) for partition, first in evidence.first.items()}
    of_archive = {name: one for name, one in written.items() if archive and name.startswith(f"{archive.name}/")}
    older = differing(pipeline.schema_of(topic), of_archive)
    files = [(name, LACKING, file) for name, lacking in older.lacking.items() for file in lacking]
    files += [(name, mask, file) for (name, mask), masked in older.masked.items() for file in masked]
    found = check_kept(connection, topic.name, fields, offsets, evidence.covered, files)
    if archive is None:
        words = f"{topic.name} has no table in the lake: that its events are somewhere was not checked"
        say_unchecked(found, topic, words, "Give it a lake_table and a job that writes the table")
    elif evidence.uncompared:
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
