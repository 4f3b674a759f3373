"""The folder that keeps the sittings: a run's folder each, FOLDER/001 and so on."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from shardlake import ledger
from shardlake.errors import BadInput
from shardlake.faults.history import read


def runs(folder: Path) -> list[Path]:
    """The sittings of a folder, in order."""
    return sorted((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def new_run(folder: Path) -> Path:
    """The folder of the next sitting; what killed ones left of topics and lake is removed. Raises BadInput where the
    folder is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadInput(f"{folder} is no folder.", "Give one in which the sittings are kept: --run FOLDER.") from error
    there = runs(folder)
    for run in there:
        if not any(entry["what"] == "ended" for entry in read(run)):
            shutil.rmtree(run / "data", ignore_errors=True)
    run = folder / f"{int(there[-1].name) + 1 if there else 1:03d}"
    run.mkdir()
    return run


def ledgers(run: Path) -> list[dict[str, Any]]:
    """What is kept of a run's ledgers once they are checked: their hashes, and how many events they account for."""
    return [_kept(path) for path in ledger.paths(run)]


def _kept(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        found = {"name": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    try:
        read = ledger.read(path)
    except BadInput:  # its producer was killed before it had begun
        return {**found, "sent": 0, "acknowledged": 0, "failed": 0, "unknown": 0}
    sent, acknowledged, failed = (len(column) for column in (read.digests, read.acknowledged, read.failed))
    unknown = sent - acknowledged - failed
    return {**found, "sent": sent, "acknowledged": acknowledged, "failed": failed, "unknown": unknown}
