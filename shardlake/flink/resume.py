"""Where the application takes up: what it left behind when it ended last.

    stopped    the savepoint, open windows in it
    crashed    the newest retained checkpoint
    finished   nothing to resume: drained windows would fire again. It starts anew from offsets that the lake tells.

One file says which, `last.json` in the jobs folder. A newer checkpoint than the one it names wins: a job has run since.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shardlake.flink.submit import Start
from shardlake.settings import Settings

STOPPED = "stopped"
FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class LastEnd:
    """How the application ended last, on purpose."""

    how: str
    savepoint: str

    @classmethod
    def read(cls, folder: Path) -> LastEnd | None:
        """None where it was never stopped on purpose."""
        path = folder / "last.json"
        return cls(**json.loads(path.read_text())) if path.exists() else None

    def write(self, folder: Path) -> None:
        """Kept before anybody is told that the job has ended."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "last.json.new").write_text(json.dumps({"how": self.how, "savepoint": self.savepoint}))
        (folder / "last.json.new").replace(folder / "last.json")


def newest_state(folder: Path) -> Path | None:
    """The checkpoint or savepoint completed last; `_metadata` is written when it is complete."""
    found = [*folder.glob("checkpoints/*/chk-*/_metadata"), *folder.glob("savepoints/*/_metadata")]
    return max(found, key=lambda path: path.stat().st_mtime_ns).parent if found else None


def next_start(settings: Settings, next_offsets: Mapping[str, Mapping[int, int]]) -> Start:
    """How `jobs run` starts. `next_offsets` are, by topic and partition, one past the last record the lake accounts
    for."""
    folder = Path(settings.jobs_folder)
    newest = newest_state(folder)
    if newest is None:
        return Start()
    last = LastEnd.read(folder)
    if last and last.how == FINISHED and last.savepoint.endswith(newest.name):
        return Start(start_offsets={topic: _specific(offsets) for topic, offsets in next_offsets.items()})
    return Start(resume_from=f"file://{newest}")


def _specific(offsets: Mapping[int, int]) -> str:
    return ";".join(f"partition:{partition},offset:{offset}" for partition, offset in sorted(offsets.items()))
