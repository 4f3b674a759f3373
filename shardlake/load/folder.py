"""The folder of a report: new, or empty."""

from __future__ import annotations

import shutil
from pathlib import Path

from shardlake.errors import BadInput
from shardlake.load.result import CAPACITY_FILE, RESULT_FILE

NOTHING_SENT_BYTES = 512
"""A ledger of no event has a header and an end, each some 100 bytes."""


def new_report(folder: Path | None) -> Path:
    """Made where it is not there. Raises BadInput where none is named, or it holds something."""
    if folder is None:
        raise BadInput("A load needs a folder for its report.", "For example: --report out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = next(folder.iterdir(), None)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(f"{folder} is a file.", "Name a new folder with --report.") from None
    if there is not None:
        msg = f"The report's folder {folder} is not empty: it holds {there.name}."
        raise BadInput(msg, "Name a new one with --report, or remove this one: nothing is overwritten.")
    return folder.resolve()


def leave(folder: Path) -> None:
    """After a load that failed: the folder goes, unless it tells what was found, or what became of events that were
    sent."""
    told = any((folder / name).exists() for name in (RESULT_FILE, CAPACITY_FILE))
    if not told and not any(path.stat().st_size > NOTHING_SENT_BYTES for path in folder.rglob("*.ledger")):
        shutil.rmtree(folder, ignore_errors=True)
