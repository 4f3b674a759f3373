"""Jobs that were left out: each goes on from its last state in an application of its own, apart from the others.

An application takes up one state, and the others are further on by then. The jobs folder holds, for each such job:

    apart/JOB/left-out.json   where the job goes on, which is where the others went on without it; why it was left out
    apart/JOB/                else the same as the jobs folder itself: checkpoints, savepoints, plans, last.json

The job belongs to the others again once a finish has brought all to the same offsets: see `unite`. The others alone
write dead letters, and the tables of events.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace

from shardlake import topic_ids
from shardlake.errors import BadInput
from shardlake.flink.inserts import Writers
from shardlake.flink.resume import (
    FINISHED,
    REWIND,
    LastEnd,
    lost_savepoint,
    newest_state,
    next_start,
    of_specific,
    offsets_in,
    specific,
    splits_in,
)
from shardlake.flink.submit import Plans, Start
from shardlake.kept_json import Count, parsed
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.storage import Folder, as_url, beside, find, remove, write_whole

FOLDER = "apart"
FILE = "left-out.json"
LEFT_OUT = "left out"
"""How a job has ended that has not run since it was left out."""
TOPICS = "topics."
SHOWN = 8
NOWHERE = Start()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One job that was left out. `begin` is where it goes on, at the `offsets` of a topic and partition; `sinks` are
    what the job writes.
    """

    job: str
    options: dict[str, str]
    since: str
    why: str
    begin: Start
    sinks: tuple[str, ...]
    offsets: dict[str, dict[str, Count]] = field(default_factory=dict)
    is_taken_up: bool = False

    @property
    def topics(self) -> frozenset[str]:
        """The topics that the job writes."""
        return frozenset(sink.removeprefix(TOPICS) for sink in self.sinks if sink.startswith(TOPICS))

    def __str__(self) -> str:
        """Since when the job is left out, why, and where it goes on: the record that it fails at is there, or later."""
        places = [
            f"{topic}/{partition}/{offset}"
            for topic, offsets in sorted(self.offsets.items())
            for partition, offset in sorted(offsets.items(), key=lambda one: int(one[0]))
        ]
        shown = ", ".join(places[:SHOWN]) + (f" and {len(places) - SHOWN} more" if len(places) > SHOWN else "")
        return f"{self.job}, since {self.since}: {self.why}" + (f"; it goes on at {shown}" if places else "")


def settings_of(settings: Settings, job: str) -> Settings:
    """The settings of the application of a job that runs apart. A half of the slots serves two such jobs."""
    return settings.model_copy(update={"jobs_folder": as_url(settings.jobs / FOLDER / job), "parallelism": 1})


def left_out(folder: Folder) -> dict[str, LeftOut]:
    """All jobs that were left out, by name, also those that run apart by now; `folder` is the jobs folder.

    Raises BadInput where a file is damaged that says so of one.
    """
    found = {}
    for file in find(folder / FOLDER, FILE):
        try:
            one = parsed(file.path.read_text(), LeftOut)
        except ValueError as error:
            raise BadInput(f"{file.path}, which says where a job goes on, is damaged: {error}.", REWIND) from error
        found[one.job] = one
    return found


def names(folder: Folder) -> list[str]:
    """The names of all jobs that were left out, as the jobs folder holds them, whatever is noted of them."""
    return [file.path.parent.name for file in find(folder / FOLDER, FILE)]


def folders(folder: Folder) -> list[Folder]:
    """The jobs folder, and the one of each job that was left out."""
    return [folder, *(folder / FOLDER / job for job in names(folder))]


def without_left_out(
    folder: Folder, chosen: Mapping[str, Mapping[str, str]], named: Collection[str]
) -> dict[str, Mapping[str, str]]:
    """The chosen jobs without those that were left out. Raises BadInput where one of these is named, or all are."""
    out = left_out(folder)
    wanted = [job for job in chosen if job in named and job in out]
    rest = {job: options for job, options in chosen.items() if job not in out}
    if wanted or not rest:
        one = out[wanted[0] if wanted else next(iter(chosen))]
        raise BadInput(f"A job is left out: {one}.", f"It goes on by `shardlake jobs take-up {one.job}`.")
    return rest


def must_be_separable(pipeline: Pipeline, writers: Writers, job: str) -> None:
    """Raise BadInput where a job cannot run apart from the others.

    The account of what was read is the table of events. A topic has one writer of transactions, and a second one would
    abort those of the first.
    """
    if not any(job in jobs for jobs in writers.values()):
        raise BadInput(
            f"Nothing is known of what the job {job} writes.",
            "Stop the jobs and run them once with this version: `shardlake jobs stop`, `shardlake jobs run`.",
        )
    events = {f"lake.{topic.lake_table}" for topic in pipeline.sources}
    for sink, jobs in writers.items():
        others = [one for one in jobs if one != job]
        if job in jobs and sink in events:
            msg = f"The job {job} writes {sink}, by which it is known what all jobs have read: it cannot be left out."
        elif job in jobs and sink.startswith(TOPICS) and others:
            msg = f"The jobs {job} and {', '.join(others)} write one topic, {sink.removeprefix(TOPICS)}: {job} cannot "
            msg += "be left out alone, as a topic has one writer of transactions."
        else:
            continue
        raise BadInput(msg, "End all by `shardlake jobs cancel`, mend the job, and start all by `shardlake jobs run`.")


def explicit(begin: Start, firsts: Mapping[str, Mapping[int, int]]) -> Start:
    """Say by offsets where a job begins that would begin at the start of its topics, whatever retention takes later."""
    if begin.resume_from or begin.start_offsets:
        return begin
    return replace(begin, start_offsets={topic: specific(offsets) for topic, offsets in firsts.items()})


def offsets_of(settings: Settings, begin: Start, topics: Iterable[str]) -> dict[str, dict[str, int]]:
    """By topic and partition, where a job goes on that begins so; a partition that it has not read from is left out."""
    if begin.resume_from is None:
        found = held_by(begin)
    else:
        state = beside(settings.jobs, begin.resume_from)
        found = {topic: offsets_in(state, topic) for topic in topics}
    return {
        topic: {str(partition): offset for partition, offset in offsets.items()} for topic, offsets in found.items()
    }


def keep(settings: Settings, one: LeftOut) -> None:
    """Keep where a job goes on that is left out. What says that it is left out is written last."""
    folder = settings.jobs / FOLDER / one.job
    remove(folder)
    if one.begin.resume_from:
        Plans(settings.jobs).hand_on(one.begin.resume_from, folder)
    topic_ids.keep_with(settings.jobs, folder)
    closed = {job: dict(of_job) for job, of_job in one.begin.closed.items()}
    LastEnd(LEFT_OUT, one.begin.resume_from or "", {one.job: one.options}, closed).write(folder)
    note(settings, one)


def note(settings: Settings, one: LeftOut) -> None:
    """Replace what is noted of a job that was left out."""
    write_whole(settings.jobs / FOLDER / one.job / FILE, json.dumps(asdict(one), indent=1))


def forget(settings: Settings, job: str) -> None:
    """Forget that a job was left out, with all that its folder holds."""
    (settings.jobs / FOLDER / job / FILE).unlink(missing_ok=True)
    remove(settings.jobs / FOLDER / job)


def begin_of(settings: Settings, one: LeftOut, firsts: Mapping[str, Mapping[int, int]]) -> Start:
    """Where the job goes on. `settings` are those of its own application.

    Raises BadInput where its state is not there.
    """
    folder = settings.jobs
    last, newest = LastEnd.read(folder), newest_state(folder)
    if newest is None and (last is None or last.how == LEFT_OUT):
        if one.begin.resume_from and (lost := lost_savepoint(folder)):
            raise BadInput(f"The state from which {one.job} goes on is gone: {lost}.", REWIND)
        return one.begin
    if last and (lost := lost_savepoint(folder)):
        raise BadInput(f"The savepoint with which {one.job} has ended is gone: {lost}.", REWIND)
    return next_start(settings, firsts, {})


def held_by(begin: Start) -> dict[str, dict[int, int]]:
    """By topic and partition, the offsets at which a job begins that has no state."""
    return {topic: of_specific(text) for topic, text in (begin.start_offsets or {}).items()}


def unite(settings: Settings, topics: Iterable[str]) -> list[str]:
    """Make jobs belong to the others again that have finished at the same offsets as these; their names.

    What the next run of all begins at is then where each of them has ended, and what they have closed is kept.
    """
    read_by_all = list(topics)
    united = []
    for job in left_out(settings.jobs):
        last, own = LastEnd.read(settings.jobs), LastEnd.read(settings_of(settings, job).jobs)
        state, own_state = newest_state(settings.jobs), newest_state(settings_of(settings, job).jobs)
        if not (last and state and last.how == FINISHED and last.left(state)):
            continue
        if not (own and own_state and own.how == FINISHED and own.left(own_state)):
            continue
        read = [name for name in read_by_all if splits_in(own_state, name)]
        if any(_begun(own_state, name) != _begun(state, name) for name in read):
            continue
        replace(last, closed={**last.closed, job: own.closed.get(job, {})}).write(settings.jobs)
        forget(settings, job)
        united.append(job)
    return united


def _begun(state: Folder, topic: str) -> dict[int, int]:
    """By partition of which something may have been read, the next offset."""
    return {partition: offset for partition, offset in offsets_in(state, topic).items() if offset}
