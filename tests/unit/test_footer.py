"""The newest time in a Parquet file by its footer alone, beside what pyarrow reads in the same file."""

from __future__ import annotations

import io
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.lake.footer import NoParquet, newest

pytestmark = pytest.mark.unit

FIRST, LAST = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (1900, 2200))
TIMES = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
UNITS = st.sampled_from(["ms", "us", "ns"])


def parquet(table: pa.Table, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file


def times(values: list[datetime | None], unit: str = "ms", zone: str | None = None) -> pa.Table:
    parts = {"ms": 1_000, "us": 1}
    whole = [value and value - timedelta(microseconds=value.microsecond % parts.get(unit, 1)) for value in values]
    kind = pa.timestamp(unit, zone)
    naive = [value and (value if zone else value.replace(tzinfo=None)) for value in whole]
    return pa.table(
        {"n": pa.array(range(len(values))), "event_time": pa.array(naive, kind), "text": ["x"] * len(values)}
    )


@settings(deadline=None)
@given(st.lists(TIMES | st.none(), max_size=30), UNITS, st.sampled_from([None, "UTC"]), st.integers(1, 40))
def test_it_is_the_newest_that_pyarrow_reads(
    values: list[datetime | None], unit: str, zone: str | None, group: int
) -> None:
    table = times(values, unit, zone)
    file = parquet(table, row_group_size=group, version="2.6")
    read = [value for value in table["event_time"].cast(pa.timestamp("us", "UTC")).to_pylist() if value]
    assert newest(file, "event_time") == max(read, default=None)


def test_units_of_files_with_the_older_kind_of_type() -> None:
    table = times([datetime(2026, 11, 26, 12, tzinfo=UTC)])
    file = parquet(table, version="1.0", use_deprecated_int96_timestamps=False)
    assert newest(file, "event_time") == datetime(2026, 11, 26, 12, tzinfo=UTC)


def test_a_footer_of_more_than_its_first_read() -> None:
    many = {f"column_{number}": [number] for number in range(2_000)}
    table = pa.table({**many, "event_time": pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("ms"))})
    assert newest(parquet(table), "event_time") == datetime(2026, 1, 1, tzinfo=UTC)


def test_nothing_is_told_where_nothing_is_known() -> None:
    one = times([datetime(2026, 1, 1, tzinfo=UTC)])
    assert newest(parquet(one), "no_such") is None
    assert newest(parquet(one), "n") is None  # numbers, no times
    assert newest(parquet(one), "text") is None
    assert newest(parquet(one, write_statistics=False), "event_time") is None
    assert newest(parquet(times([])), "event_time") is None
    nested = pa.table({"event_time": pa.array([{"event_time": 1}])})
    assert newest(parquet(nested), "event_time") is None


@settings(deadline=None)
@given(st.data())
def test_bytes_that_are_no_footer_are_refused_or_read_and_nothing_else(data: st.DataObject) -> None:
    whole = parquet(times([datetime(2026, 1, 1, tzinfo=UTC)] * 3)).getvalue()
    spoiled = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        spoiled[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(spoiled)[data.draw(st.integers(0, len(whole))) :]
    with suppress(NoParquet):
        newest(io.BytesIO(cut), "event_time")


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PAR1PAR1", b"\xff\xff\xff\x7fPAR1", b"\x1c" * 5_000 + b"\x88\x13\0\0PAR1"]
)
def test_what_is_no_parquet_file(content: bytes) -> None:
    with pytest.raises(NoParquet):
        newest(io.BytesIO(content), "event_time")
