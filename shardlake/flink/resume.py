"""Where the application takes up: what it left behind when it ended last.

    stopped    the savepoint, open windows in it
    crashed    the newest retained checkpoint
    finishing  the savepoint of the stop before the drain, or the drain's own: see `settle`
    finished   nothing to resume: drained windows would fire again. It starts anew, at the offsets in the drain's
               savepoint, and what those windows were is closed: see `Tables.closed`

One file says which, `last.json` in the jobs folder. A newer checkpoint than the one it names wins: a job has run since.
State that is older than the lake is refused: what came after it would be written again.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from shardlake.errors import BadInput
from shardlake.flink.inserts import Jobs
from shardlake.flink.submit import Start
from shardlake.kept_json import Count, parsed
from shardlake.settings import Settings
from shardlake.storage import Folder, as_url, beside, check, find, is_remote, open_folder, write_whole

STOPPED = "stopped"
FINISHING = "finishing"
FINISHED = "finished"
NEVER_STOPS = -(2**63)
EARLIEST = -2
"""The offset, in Flink's state, of a partition that has been read from its start and has not had a record yet."""
_SPLIT = struct.Struct(">iqq")
_HEADER = struct.Struct(">iiq")
_LATEST = re.compile(rb"latest-event-time/([\w.-]+)/(\d+);")
"""The text that EventsSource.java keeps in the state."""


@dataclass(frozen=True, slots=True)
class LastEnd:
    """How the application ended last, on purpose: its `jobs` and options, and what finishes have `closed` so far."""

    how: str
    savepoint: str
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    closed: dict[str, dict[str, Count]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Folder) -> LastEnd | None:
        """None where it has never been ended. Raises BadInput where the file is damaged."""
        path = folder / "last.json"
        if not path.exists():
            return None
        try:
            return parsed(path.read_text(), cls)
        except ValueError as error:
            raise BadInput(f"{path}, which says how the jobs ended, is damaged: {error}.", REWIND) from error

    def write(self, folder: Folder) -> None:
        """Kept before anybody is told that the job has ended."""
        write_whole(folder / "last.json", json.dumps(asdict(self)))

    def left(self, state: Folder | None) -> bool:
        """Tell whether this is the state that the application left, and no run since has left a newer one."""
        return state is not None and self.savepoint.endswith(f"/{state.name}")

    def with_closed(self, latest_ms: Mapping[str, int]) -> LastEnd:
        """Close the windows of these jobs up to the latest event times, by topic."""
        closed = {job: dict(of_job) for job, of_job in self.closed.items()}
        for job in self.jobs:
            of_job = closed.setdefault(job, {})
            for topic, ms in latest_ms.items():
                of_job[topic] = max(ms, of_job.get(topic, ms))
        return replace(self, closed=closed)


def write_end(folder: Folder, how: str, savepoint: str, jobs: Jobs, *, drained: bool) -> None:
    """Keep how the application ended. A `savepoint` that was `drained` tells which windows are closed."""
    last = LastEnd.read(folder)
    of_jobs = {job: dict(options) for job, options in jobs.items()}
    end = LastEnd(how, savepoint, of_jobs, last.closed if last else {})
    (end.with_closed(latest_event_times(beside(folder, savepoint))) if drained else end).write(folder)


def settle(folder: Folder) -> bool:
    """Keep what a drain has closed that was killed before anybody heard of it; tell whether there was one.

    The next run resumes from the drain's savepoint, in which files and transactions may wait to become visible.
    """
    last, newest = LastEnd.read(folder), newest_state(folder)
    if last is None or newest is None or last.how != FINISHING or last.left(newest):
        return False
    if newest.parent.name != "savepoints":
        return False
    write_end(folder, STOPPED, as_url(newest), last.jobs, drained=True)
    return True


@dataclass(frozen=True, slots=True)
class State:
    """A checkpoint or savepoint that is complete."""

    folder: Folder
    completed_ns: int


def states(folder: Folder) -> list[State]:
    """All that are kept; `_metadata` is written when one is complete."""
    found = [file for kind in ("checkpoints", "savepoints") for file in find(folder / kind, "_metadata")]
    return [State(file.path.parent, file.modified_ns) for file in found]


def newest_state(folder: Folder) -> Folder | None:
    """The checkpoint or savepoint completed last."""
    newest = _newest(folder)
    return newest.folder if newest else None


def _newest(folder: Folder) -> State | None:
    found = states(folder)
    latest_ns = max((state.completed_ns for state in found), default=0)
    # S3 tells whole seconds, in which a checkpoint and the savepoint after it may have both been completed.
    same = [state for state in found if state.completed_ns == latest_ns]
    return max(same, key=lambda state: _number(state.folder) if len(same) > 1 else 0, default=None)


def _number(state: Folder) -> int:
    """The checkpoint's number, which savepoints have too, as Flink's MetadataV3Serializer writes it."""
    try:
        with (state / "_metadata").open("rb") as file:
            header = file.read(_HEADER.size)
    except FileNotFoundError:  # a newer one has replaced it since it was listed
        return -1
    return int(_HEADER.unpack(header)[2]) if len(header) == _HEADER.size else 0


def lost_savepoint(folder: Folder) -> Folder | None:
    """The savepoint with which the application ended last, where it is gone and no run since has left newer state."""
    last, newest = LastEnd.read(folder), _newest(folder)
    if last is None:
        return None
    savepoint = beside(folder, last.savepoint)
    # The folder of a job that was left out has one of its own.
    (written,) = [file for file in find(folder, "last.json") if str(file.path) == str(folder / "last.json")]
    is_superseded = newest is not None and newest.completed_ns > written.modified_ns
    return None if (savepoint / "_metadata").is_file() or is_superseded else savepoint


def ended_at(folder: Folder, topic: str) -> dict[int, int]:
    """By partition, the next offset after what the application covered when it was ended on purpose; {} where it has
    not been, or has run since.

    Flink commits a source's offsets to the broker without waiting, and an application that ends may not get to it.
    """
    last, newest = LastEnd.read(folder), newest_state(folder)
    if last is None or newest is None or not last.left(newest):
        return {}
    return offsets_in(newest, topic)


def must_have_ended(settings: Settings) -> None:
    """Raise BadInput where state may name files that are not visible yet, or that must stay as they are.

    A checkpoint of a crash names files that show up when it is taken up. A savepoint names files that are there; Flink
    looks for them again, and in S3 at their sizes too.
    """
    last, newest = LastEnd.read(settings.jobs), newest_state(settings.jobs)
    is_last = last is not None and last.left(newest)
    if newest is None or (last and is_last and last.how == FINISHED):
        return
    hint = "Run them once more, and end them by `shardlake jobs finish`."
    if not is_last:
        raise BadInput(f"The jobs were not ended, and {newest} may name files that are not in the lake yet.", hint)
    if is_remote(settings.lake):
        raise BadInput(f"The jobs were stopped, and {newest} names objects that must stay as they are.", hint)


Offsets = Mapping[str, Mapping[int, int]]
"""By topic and partition."""


def next_start(settings: Settings, firsts: Offsets, next_offsets: Offsets, wanted: str | None = None) -> Start:
    """How `jobs run` starts. `firsts` are the first offsets of each topic, `next_offsets` are one past the last record
    that the lake accounts for, where there is one; `wanted` is a savepoint that the user names, by its path or URL.

    Raises BadInput where the state is not there, or is older than the lake.
    """
    folder = settings.jobs
    check(folder)
    last = LastEnd.read(folder)
    newest = newest_state(folder)
    closed = last.closed if last else {}
    named = open_folder(wanted, settings.s3) if wanted else None
    if named is None and last and last.how == FINISHED and (newest is None or last.left(newest)):
        begin = {
            topic: {**offsets, **((newest and offsets_in(newest, topic)) or next_offsets.get(topic, {}))}
            for topic, offsets in firsts.items()
        }
        return Start(start_offsets={topic: specific(offsets) for topic, offsets in begin.items()}, closed=closed)
    state = named or newest
    if named is not None and not (named / "_metadata").is_file():
        msg = f"{named} is no savepoint: it has no _metadata."
        raise BadInput(msg, f"The newest is {newest or 'none'}; `jobs run` without --from takes it.")
    if named is None and last and last.how != FINISHED and (lost := lost_savepoint(folder)):
        raise BadInput(f"The savepoint with which the jobs were stopped is gone: {lost}.", REWIND)
    if state is None:
        if any(next_offsets.values()):
            msg = f"The lake has rows, and {folder} has no savepoint or checkpoint to go on from."
            raise BadInput(msg, REWIND)
        return Start(closed=closed)
    for topic, offsets in next_offsets.items():
        _check_is_not_older(state, topic, offsets)
    return Start(resume_from=as_url(state), closed=closed)


REWIND = "Put it back, or begin anew with `shardlake jobs rewind`: it clears what would be written again."


def offsets_in(state: Folder, topic: str) -> dict[int, int]:
    """By partition, the next offset that a run from this checkpoint or savepoint reads, where it has read one."""
    return {partition: offset for partition, offset in splits_in(state, topic).items() if offset >= 0}


def splits_in(state: Folder, topic: str) -> dict[int, int]:
    """By partition that a checkpoint or savepoint knows, the next offset; negative where nothing of it was read yet.

    Read from the files as Flink's KafkaPartitionSplitSerializer writes them: the topic with its length in two bytes,
    partition, offset, and the offset to stop at.
    """
    name = topic.encode()
    needle = struct.pack(">H", len(name)) + name
    found: dict[int, int] = {}
    for file in state.iterdir():
        content = file.read_bytes()
        at = content.find(needle)
        while at >= 0:
            body = content[at + len(needle) : at + len(needle) + _SPLIT.size]
            if len(body) == _SPLIT.size:
                partition, offset, stops = _SPLIT.unpack(body)
                if partition >= 0 and offset >= EARLIEST and stops == NEVER_STOPS:
                    found[partition] = max(found.get(partition, offset), offset)
            at = content.find(needle, at + 1)
    return found


def latest_event_times(state: Folder) -> dict[str, int]:
    """Return the latest event time, in milliseconds, that the run of this savepoint had read of each topic."""
    found: dict[str, int] = {}
    for file in state.iterdir():
        for topic, ms in _LATEST.findall(file.read_bytes()):
            found[topic.decode()] = max(int(ms), found.get(topic.decode(), 0))
    return found


def _check_is_not_older(state: Folder, topic: str, next_offsets: Mapping[int, int]) -> None:
    in_state = offsets_in(state, topic)
    for partition, offset in next_offsets.items():
        if partition in in_state and in_state[partition] < offset:
            msg = (
                f"{state} is older than the lake: it goes on at offset {in_state[partition]} of {topic}-{partition}, "
                f"and the lake has everything before {offset}. Rows would be written twice."
            )
            raise BadInput(msg, "`shardlake jobs run` takes the newest state. " + REWIND)


def specific(offsets: Mapping[int, int]) -> str:
    """Write offsets as `scan.startup.specific-offsets`."""
    return ";".join(f"partition:{partition},offset:{offset}" for partition, offset in sorted(offsets.items()))


def of_specific(text: str) -> dict[int, int]:
    """Read offsets from `scan.startup.specific-offsets`."""
    return {int(partition): int(offset) for partition, offset in re.findall(r"partition:(\d+),offset:(\d+)", text)}
