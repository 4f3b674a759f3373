"""What `make bench-peers` counts: planted losses, doubles, wrong values and poison are found."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.peer_lake import Files, Found, compare

pytestmark = pytest.mark.unit
TIME = datetime(2026, 11, 3, 5, 30, 0, 123_000, UTC)
Row = tuple[int, int, str]


def topic(healthy: int, poison: int) -> Any:
    """One partition: healthy records, then poison."""
    total = healthy + poison
    return pa.table(
        {
            "partition": [0] * total,
            "offset": list(range(total)),
            "poison": [None] * healthy + ["half"] * poison,
            "event_time": [TIME] * healthy + [None] * poison,
            "service": ["web"] * healthy + [None] * poison,
        }
    )


def files(folder: Path, *rows: Row, zone: str | None = "UTC", unit: str = "ms") -> Files:
    hour = folder / "year=2026" / "month=11" / "day=03" / "hour=05"
    hour.mkdir(parents=True)
    table = pa.table(
        {
            "partition": [row[0] for row in rows],
            "offset": [row[1] for row in rows],
            "service": [row[2] for row in rows],
            "event_time": pa.array([TIME if zone else TIME.replace(tzinfo=None)] * len(rows), pa.timestamp(unit, zone)),
        }
    )
    pq.write_table(table, hour / "one.parquet")
    return Files.below(folder)


@pytest.mark.parametrize(("zone", "unit"), [("UTC", "ms"), ("UTC", "us"), (None, "ms")])
def test_all_records_once_are_no_finding_however_times_are_kept(tmp_path: Path, zone: str | None, unit: str) -> None:
    found = compare(topic(2, 0), files(tmp_path, (0, 0, "web"), (0, 1, "web"), zone=zone, unit=unit))
    assert found == Found(0, 0, 0, 0, 0, 0)


def test_lost_doubled_and_wrong_are_told_apart(tmp_path: Path) -> None:
    rows = (0, 1, "web"), (0, 1, "web"), (0, 1, "web"), (0, 2, "api")
    assert compare(topic(3, 0), files(tmp_path, *rows)) == Found(1, 2, 1, 0, 0, 0)


def test_a_row_of_no_record_is_wrong(tmp_path: Path) -> None:
    assert compare(topic(1, 0), files(tmp_path, (0, 0, "web"), (0, 7, "web"))) == Found(0, 0, 1, 0, 0, 0)


def test_poison_is_a_row_a_dead_letter_or_nowhere(tmp_path: Path) -> None:
    found = compare(topic(1, 3), files(tmp_path, (0, 0, "web"), (0, 1, "web")), [(0, 2), (0, 2)])
    assert found == Found(0, 0, 0, poison_as_rows=1, poison_as_dead_letters=1, poison_without_trace=1)


def test_without_files_all_is_lost(tmp_path: Path) -> None:
    assert compare(topic(2, 1), Files.below(tmp_path)) == Found(2, 0, 0, 0, 0, 1)


def test_a_file_cut_short_is_unreadable_and_hidden_ones_are_not_seen(tmp_path: Path) -> None:
    whole = files(tmp_path, (0, 0, "web")).readable[0]
    (tmp_path / "half.parquet").write_bytes(Path(whole).read_bytes()[:100])
    (tmp_path / ".in-progress.parquet").touch()
    found = Files.below(tmp_path)
    assert found.readable == [whole]
    assert found.unreadable == [str(tmp_path / "half.parquet")]
    assert found.records() == 1
