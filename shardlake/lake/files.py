"""The lake's files as files: whole, none empty, and none gone that was seen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shardlake.lake.migrate import sizes
from shardlake.lake.remote import open_file
from shardlake.lake.tables import VISIBLE, LakeTable
from shardlake.lake.verdict import Anomaly, Findings
from shardlake.lake.written import Written
from shardlake.storage import Folder, find, is_remote

SEEN_FILE = "visible.txt"
SEEN = re.compile("([0-9]{1,18}) (.+)")
READERS = 8
"""Footers that are read at once where the lake is in S3."""


def check_files(
    lake: Folder, tables: Iterable[LakeTable], runs: Iterable[Path]
) -> tuple[Findings, frozenset[Folder], dict[Folder, Written]]:
    """The findings, the files that cannot be read, and what each other file was written with."""
    found = Findings("the lake's files", unit="files")
    unreadable = set()
    written: dict[Folder, Written] = {}
    files = [file for table in tables for file in table.files()]
    with ThreadPoolExecutor(READERS if is_remote(lake) else 1) as pool:
        for file, footer in zip(files, pool.map(_footer, files), strict=True):
            found.checked += 1
            name = str(file).removeprefix(f"{lake}/")
            if isinstance(footer, str):
                unreadable.add(file)
                words = f"is no whole Parquet file ({file.stat().st_size:,} bytes): {footer}"
                found.add(Anomaly("unreadable-file", name, words[:300], (name,)))
                continue
            rows, written[file] = footer
            if rows == 0:
                found.add(Anomaly("empty-file", name, "has no row", (name,)))
    were = [pair for run in runs for pair in seen(run).items()]
    now = sizes_of(lake) if were else {}
    migrated = sizes(lake) if were else {}
    for name, size_bytes in were:
        now_bytes = now.get(name)
        if migrated.get(name) == (size_bytes, now_bytes):
            continue
        if now_bytes is None:
            found.add(Anomaly("vanished", name, f"was seen with {size_bytes:,} bytes, and is gone", (name,)))
        elif now_bytes != size_bytes:
            words = f"was seen with {size_bytes:,} bytes, and has {now_bytes:,}"
            found.add(Anomaly("vanished", name, words, (name,)))
    return found, frozenset(unreadable), written


def _footer(file: Folder) -> tuple[int, Written] | str:
    """How many rows a Parquet file has and what it was written with, or why it is none."""
    try:
        with open_file(file) as opened:
            metadata = pq.read_metadata(opened)
            return int(metadata.num_rows), Written.of(metadata)
    except (OSError, pa.ArrowException) as error:
        return " ".join(str(error).split())


def sizes_of(lake: Folder) -> dict[str, int]:
    """The size in bytes of each visible file, by its path below the lake."""
    return {str(file.path).removeprefix(f"{lake}/"): file.size_bytes for file in find(lake, VISIBLE)}


def seen(run: Path) -> dict[str, int]:
    """The files that were seen in the lake while the run went on, with their sizes in bytes."""
    try:
        lines = (run / SEEN_FILE).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    # A line that is torn, as where the process was killed that wrote it, names no file.
    found = (SEEN.fullmatch(line) for line in lines)
    return {one[2]: int(one[1]) for one in found if one}
