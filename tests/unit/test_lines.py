"""Reading lines as they are, and refusing what is no log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from producers.log_lines import is_parsed, reader
from shardlake.avro.codec import encoder
from shardlake.errors import BadInput
from shardlake.pipeline import Pipeline
from shardlake.produce.events import Read, from_file
from shardlake.produce.lines import MAX_LINE_BYTES, Line, check, read
from tests.support import ROOT

pytestmark = pytest.mark.unit


def test_lines_have_their_place_and_keep_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\r\n\ncaf\xe9\nlast without an end")
    check(str(path))
    assert list(read(str(path))) == [
        Line("a.log", 0, 1, "one"),
        Line("a.log", 6, 3, "caf\\xe9"),
        Line("a.log", 11, 4, "last without an end"),
    ]


def test_a_name_that_is_not_utf_8_is_text_in_events(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.log")
    path.write_text("a line\n")
    assert [line.source for line in read(str(path))] == ["caf\\xe9.log"]
    ((place, event),) = from_file(str(path), reader(), is_parsed, "event_time", False, Read(), lambda _: None)
    assert place == ("caf\\xe9.log", 1)
    assert event["service"] == "caf\\xe9"
    assert encoder(Pipeline.load(ROOT).schemas["app_log"], 1)(event)


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_too_long_has_no_text_and_costs_no_neighbour(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"before\n" + b"x" * (3 * MAX_LINE_BYTES) + end + (b"after\n" if end else b""))
    found = list(read(str(path)))
    assert [(line.number, line.text) for line in found] == [(1, "before"), (2, None)] + ([(3, "after")] if end else [])
    if end:
        assert found[2].offset_bytes == 7 + 3 * MAX_LINE_BYTES + 1


def test_a_line_of_exactly_the_limit_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * (MAX_LINE_BYTES - 1) + b"\n" + b"y" * MAX_LINE_BYTES + b"\nz\n")
    assert [len(line.text or "") for line in read(str(path))] == [MAX_LINE_BYTES - 1, MAX_LINE_BYTES, 1]


@pytest.mark.parametrize(("mark", "codec"), [(b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")])
def test_utf_16_is_read_line_by_line_with_places_in_bytes(tmp_path: Path, mark: bytes, codec: str) -> None:
    path = tmp_path / "a.log"
    tricky = "\u0a41\u410a\u0a0a\u0a00"  # a line feed's byte in each half of a letter
    path.write_bytes(mark + f"one\r\n\n{tricky}\n{tricky}caf\u00e9 \U0001f600\nlast".encode(codec))
    check(str(path))
    assert list(read(str(path))) == [
        Line("a.log", 0, 1, "one"),
        Line("a.log", 14, 3, tricky),
        Line("a.log", 24, 4, f"{tricky}café \U0001f600"),
        Line("a.log", 48, 5, "last"),
    ]


@pytest.mark.parametrize(("mark", "codec"), [(b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")])
def test_a_line_of_utf_16_that_is_too_long_or_cut_costs_no_neighbour(tmp_path: Path, mark: bytes, codec: str) -> None:
    path = tmp_path / "a.log"
    long = "x" * (MAX_LINE_BYTES // 2)
    path.write_bytes(mark + f"before\n{long}\n{long}x\n{long * 3}\nafter\n".encode(codec) + b"\xd8")
    found = list(read(str(path)))
    assert [(line.number, line.text) for line in found] == [
        (1, "before"), (2, long), (3, None), (4, None), (5, "after"), (6, "\\xd8"),
    ]  # fmt: skip
    assert found[4].offset_bytes == 2 + 2 * (7 + 5 * len(long) + 4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x7fELF\x00", "binary file"),
        ("one\n".encode("utf-32"), "binary file"),
        ("one\n".encode("utf-16-le"), "binary file"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words):
        check(str(path))


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no file"):
        check(str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match="is a folder"):
        check(str(tmp_path))


def test_a_file_that_the_system_will_not_read_is_refused_with_its_reason() -> None:
    with pytest.raises(BadInput, match=r"/proc/self/mem cannot be read: Input/output error"):
        check("/proc/self/mem")
