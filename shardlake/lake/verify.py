"""The proof: what was sent, what topics hold, and what the lake keeps, held against each other.

Nothing is taken from those who are checked: topics are read again (`evidence`), the lake's files are read as any
reader would, tables are counted anew. Each topic of events is judged by itself (`source`); what nobody checks is named
(`unchecked`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from shardlake.counted import counted
from shardlake.errors import BadInput
from shardlake.lake.counting import Counting
from shardlake.lake.files import check_files
from shardlake.lake.published import check_published
from shardlake.lake.query import connected
from shardlake.lake.recount import Difference, Recount, recount
from shardlake.lake.seconds import Seconds
from shardlake.lake.source import Source, judge
from shardlake.lake.tables import LakeTable
from shardlake.lake.unchecked import alien_folders, check_tables, say_unchecked
from shardlake.lake.verdict import Anomaly, Findings, Verdict
from shardlake.ledger import Run
from shardlake.pipeline import Pipeline
from shardlake.storage import Folder

WINDOWS = {"missing": "missing-window", "alien": "unexpected-window", "doubled": "duplicate-window"}
AFTER = "what it writes is checked once `shardlake jobs take-up` and `jobs finish` have brought it to where they are."


@dataclass(frozen=True, slots=True)
class Jobs:
    """What the jobs say of themselves: how they count tables again, and, by job and topic, the latest event time in
    milliseconds that they had read at a finish."""

    countings: Sequence[Counting] = ()
    closed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    left_out: Collection[str] = ()
    """Those that were left out, and have not read what the others have."""


def verify(
    pipeline: Pipeline,
    lake: Folder,
    tables: list[LakeTable],
    sources: Sequence[Source],
    jobs: Jobs,
    published: Path | None,
    strays: Sequence[Path] = (),
) -> Verdict:
    """All checks. `published` is the folder of what the topics that jobs write hold, None where it was not read.
    `strays` are runs of topics that are none of the sources.

    Raises BadInput where a run's folder is none.
    """
    seconds = Seconds()
    runs = [*(run for source in sources for run in source.runs), *strays]
    with seconds.of("files"):
        files, unreadable, of_files = check_files(lake, tables, runs)
        tables = [replace(table, left_out=unreadable) for table in tables]
        written = {str(file).removeprefix(f"{lake}/"): one for file, one in of_files.items()}
        if names := alien_folders(lake, tables):
            files.notes.append(
                f"folders of the lake that are no table of this pipeline were not read: {', '.join(names)}"
            )
    for run in strays:
        files.unchecked.append(
            f"the run in {run} is of {Run.read(run).topic}, which is no topic of events of this pipeline: its ledgers "
            "were held against nothing."
        )
    for job in jobs.left_out:
        files.unchecked.append(f"{job} has not read what the others have, as it was left out: {AFTER}")
    judged = [judge(pipeline, source, tables, written, seconds) for source in sources]
    instead = {source.topic.name: one.instead for source, one in zip(sources, judged, strict=True) if one.instead}
    with seconds.of("windows"):
        counted = list(_counted(pipeline, tables, jobs, instead))
    with seconds.of("topics"), connected(tables) as connection:
        # A checkpoint is committed to the topics and to the lake in turn: while jobs run, one is ahead of the other.
        topics = [] if published is None else list(check_published(connection, pipeline, published))
        if published is None:
            files.notes.append("the topics that jobs write are held against the lake when the jobs have ended")
        check_tables(connection, pipeline, tables, {one.table for one in jobs.countings}, files)
    findings = [
        files,
        *(found for one in judged for found in one.findings),
        *counted,
        *topics,
        *(one.identity for one in judged if one.identity),
    ]
    return Verdict(tuple(findings), seconds, tuple(one.counted for one in judged if one.counted))


def _counted(pipeline: Pipeline, tables: list[LakeTable], jobs: Jobs, instead: Mapping[str, str]) -> Iterator[Findings]:
    for counting in jobs.countings:
        if counting.job in jobs.left_out:
            continue
        try:
            again = recount(counting, pipeline, tables, instead, jobs.closed.get(counting.job))
            found = _windows(again)
            if again.uncounted:
                topic = next(one for one in pipeline.topics.values() if one.lake_table == again.table)
                words = f"the recount of {again.table} gives no {', '.join(again.uncounted)}: that was not checked"
                say_unchecked(found, topic, words, "Let it give them")
        except BadInput as error:
            found = Findings(f"{counting.table}, counted again", unit="windows")
            found.unchecked.append(" ".join(filter(None, (error.message, error.hint))))
        yield found


def _windows(one: Recount) -> Findings:
    found = Findings(f"{one.table}, counted again", one.windows, "windows", source=", ".join(one.sources) or None)
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
