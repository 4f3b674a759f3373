"""The state file of following: how far each file's lines are acknowledged, and where in the topic to look for more.

JSON, replaced as a whole (write, fsync, rename), and held by one follower at a time (flock on a file beside it).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shardlake.durable import OWNER_ALONE, make_folder, write_durably
from shardlake.errors import BadInput, Unavailable
from shardlake.kept_json import Count, FileName, FirstVersion, parsed
from shardlake.lock import Held, Lock

VERSION = 1
NEW_STATE = "Give another --state FILE, or delete this one to read every file from its start."


@dataclass(frozen=True, slots=True)
class Mark:
    """Bytes of a file by which its content is known again: how many, and their hash."""

    size_bytes: Count
    digest: str


@dataclass(frozen=True, slots=True)
class Place:
    """What is kept of a file.

    `identity` follows from its first line and is never given twice. `born` is the path where it was found first,
    `path` where it was last. Every line before `position_bytes` is acknowledged; `lines` is their number. `head` are
    its first bytes, and `last` those before its position. `done` is the size and the modification time (ns) that the
    file had when it was read to its end, zeros before.
    """

    identity: str
    born: FileName
    path: FileName
    device: int
    inode: int
    position_bytes: Count
    lines: Count
    head: Mark
    last: Mark
    done: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class State:
    """All that is saved.

    Events of ours at `partitions`' offsets and after may be of lines behind the places: they were acknowledged and
    not saved. `is_clean` says that there are none.
    """

    topic: str
    topic_id: str
    partitions: dict[int, Count]
    places: list[Place]
    is_clean: bool


class StateFile:
    """A state file, locked until this object is closed or the process ends."""

    def __init__(self, path: Path) -> None:
        """Raises Unavailable where another follower has it, BadInput where it cannot be written there."""
        self.path = path
        try:
            make_folder(path.parent)
            self._lock = Lock(path.with_name(f"{path.name}.lock"))
        except Held as held:
            msg = f"Another follower, process {held.holder}, keeps its places in {path}."
            raise Unavailable(msg, "End it first, or give this one a --state FILE of its own.") from None
        except OSError as error:
            msg = f"The state file {path} cannot be written: {error.strerror}."
            raise BadInput(msg, "Name one that can, with --state FILE.") from error

    def load(self, topic: str, topic_id: str) -> State | None:
        """What was saved, None where nothing was. Raises BadInput where it is damaged or of another topic."""
        try:
            content = self.path.read_text()
            parsed(content, FirstVersion)
            state = parsed(content, State)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            msg = f"The state file {self.path} is damaged or none of ours: {error}."
            raise BadInput(msg, NEW_STATE) from error
        if state.topic != topic:
            msg = f"The state file {self.path} is of the topic {state.topic}, not of {topic}."
            raise BadInput(msg, NEW_STATE)
        if state.topic_id != topic_id:
            msg = f"The state file {self.path} is of another topic {topic}: it was made anew, or is in another cluster."
            raise BadInput(msg, NEW_STATE)
        return state

    def save(self, state: State) -> None:
        """Replace what was saved; it is on the disk when this returns."""
        # Once a second, of thousands of files: `asdict`, and an indent, take five times as long.
        content = json.dumps({"version": VERSION, **_members(state)}, default=_members)
        write_durably(self.path, content, OWNER_ALONE)

    def close(self) -> None:
        """Let another follower have it."""
        self._lock.release()


def _members(one: State | Place | Mark) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}
