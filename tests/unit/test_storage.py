"""Paths of either kind, and which folders in S3 are listed for a range; nothing is asked of a server."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shardlake.errors import BadInput
from shardlake.lake.tables import Range, _parts_to_list, _touches
from shardlake.settings import Settings
from shardlake.storage import S3, as_url, beside, failure, find, is_remote, move, open_folder, remove, write_whole

pytestmark = pytest.mark.unit

HERE = S3("http://127.0.0.1:1", "us-east-1", "key", "a-secret")
START = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)


def test_a_url_names_a_folder_of_either_kind() -> None:
    assert open_folder("file:///a/b", HERE) == open_folder("/a/b", HERE) == Path("/a/b")
    assert as_url(Path("/a/b")) == "file:///a/b"
    remote = open_folder("s3a://bucket/prefix/", HERE)
    assert is_remote(remote)
    assert as_url(remote / "x") == "s3://bucket/prefix/x"
    assert beside(Path("/jobs"), "file:/jobs/savepoints/1") == Path("/jobs/savepoints/1")
    same = beside(remote, "s3://bucket/other")
    assert (str(same), is_remote(same) and same.fs is remote.fs) == ("s3://bucket/other", True)
    for wrong in ("gs://bucket/x", "s3://", "s3:///x"):
        with pytest.raises(BadInput):
            open_folder(wrong, HERE)


def test_a_secret_is_in_no_text_of_it() -> None:
    settings = Settings.read(s3_secret_key="a-secret", s3_endpoint="http://there")
    assert settings.s3.secret_key == "a-secret"
    assert "a-secret" not in repr(settings) + repr(settings.s3) + str(settings.s3.flink_settings())


@pytest.mark.parametrize(
    ("hours", "first", "count"),
    [
        (1, "year=2026/month=03/day=01/hour=23", 2),
        (47, "year=2026/month=03/day=01/hour=23", 48),
        (48, "year=2026/month=03/day=01", 3),
        (24 * 60, "year=2026/month=03/day=01", 61),
        (24 * 100, "", 1),
    ],
)
def test_a_range_is_listed_by_hours_or_days_where_these_are_few(hours: int, first: str, count: int) -> None:
    listed = _parts_to_list(Range(START, START + timedelta(hours=hours)))
    assert (listed[0], len(listed)) == (first, count)
    assert _parts_to_list(Range(START, None)) == [""]


def test_a_file_is_in_a_range_by_its_folders_names() -> None:
    within = Range(START, START + timedelta(minutes=20))
    assert _touches(Path("t/year=2026/month=03/day=01/hour=23"), within)
    assert not _touches(Path("t/year=2026/month=03/day=01/hour=22"), within)
    assert not _touches(Path("t/elsewhere/a/b/c"), within)


def test_files_are_found_written_moved_and_removed(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b.json", "one")
    write_whole(tmp_path / "a" / "b.json", "four")
    (found,) = find(tmp_path, "*.json")
    assert (found.path, found.size_bytes) == (tmp_path / "a" / "b.json", 4)
    move(tmp_path / "a", tmp_path / "aside" / "a")
    assert [file.path for file in find(tmp_path, "*")] == [tmp_path / "aside" / "a" / "b.json"]
    remove(tmp_path / "aside")
    remove(tmp_path / "aside")
    assert find(tmp_path, "*") == []


def test_what_s3_fails_with_is_told_from_other_errors() -> None:
    assert failure(OSError(errno.ENOSPC, "full")) is None
    assert failure(ValueError("Traceback of mine")) is None
    found = failure(OSError(errno.EIO, "slow down"))
    assert found is not None
    assert "slow down" in found.message
    found = failure(
        RuntimeError('Traceback (most recent call last):\n  File "s3fs/core.py"\nOSError: internal\n\nLINE 1')
    )
    assert found is not None
    assert found.message == "S3 failed in the middle of it: OSError: internal"
