"""The lake's files as files: whole, none empty, and none gone that was seen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shardlake.lake.tables import LakeTable
from shardlake.lake.verdict import Anomaly, Findings

SEEN_FILE = "visible.txt"


def check_files(lake: Path, tables: Iterable[LakeTable], runs: Iterable[Path]) -> tuple[Findings, frozenset[Path]]:
    """The findings, and the files that cannot be read."""
    found = Findings("the lake's files", unit="files")
    unreadable = set()
    for table in tables:
        for file in table.files():
            found.checked += 1
            name = str(file.relative_to(lake))
            try:
                rows = pq.read_metadata(file).num_rows
            except (OSError, pa.ArrowException) as error:
                unreadable.add(file)
                words = f"is no whole Parquet file ({file.stat().st_size:,} bytes): {' '.join(str(error).split())}"
                found.add(Anomaly("unreadable-file", name, words[:300], (name,)))
                continue
            if rows == 0:
                found.add(Anomaly("empty-file", name, "has no row", (name,)))
    for name, size_bytes in (pair for run in runs for pair in seen(run).items()):
        try:
            now_bytes = (lake / name).stat().st_size
        except FileNotFoundError:
            found.add(Anomaly("vanished", name, f"was seen with {size_bytes:,} bytes, and is gone", (name,)))
            continue
        if now_bytes != size_bytes:
            words = f"was seen with {size_bytes:,} bytes, and has {now_bytes:,}"
            found.add(Anomaly("vanished", name, words, (name,)))
    return found, frozenset(unreadable)


def seen(run: Path) -> dict[str, int]:
    """The files that were seen in the lake while the run went on, with their sizes in bytes."""
    try:
        lines = (run / SEEN_FILE).read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split(" ", 1) for line in lines if " " in line)
    return {name: int(size) for size, name in pairs}
