"""Each file of `producers/formats`: its sample lines, by its own parser and by all formats together."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench import fuzz_formats
from producers import log_lines
from shardlake.errors import BadInput
from shardlake.formats import format_file
from shardlake.formats.clock import Clock
from shardlake.formats.format_file import Format, Sample
from shardlake.formats.nearest import nearest as nearest_format
from shardlake.produce.lines import Line

pytestmark = pytest.mark.unit

FORMATS = log_lines.all_formats()
SAMPLES = [(format, sample) for format in FORMATS for sample in format.samples]


@pytest.mark.parametrize(
    ("format", "sample"), SAMPLES, ids=[f"{one.name}-{one.samples.index(sample)}" for one, sample in SAMPLES]
)
def test_a_sample_has_these_values_and_no_other(format: Format, sample: Sample) -> None:
    assert sample.differences(log_lines.parser_of(format, Clock.of(None, sample.year))(sample.line)) == []


@pytest.mark.parametrize("format", FORMATS, ids=[one.name for one in FORMATS])
def test_a_format_has_samples_and_no_other_format_takes_them(format: Format) -> None:
    assert format.samples
    for sample in format.samples:
        clock = Clock.of(None, sample.year)
        takers = [
            one.name
            for one in FORMATS
            if not one.is_general and log_lines.parser_of(one, clock)(sample.line) is not None
        ]
        assert takers == ([] if format.is_general else [format.name]), sample.line


def test_of_spoiled_lines_each_is_an_event_and_no_parser_fails() -> None:
    read, _ = fuzz_formats.run(7, 4_000)
    assert read.read_lines()["none"] < 4_000
    assert len(read.lines()) > 40


def test_a_file_of_several_formats_is_read_line_by_line() -> None:
    read = log_lines.reader(year=2026).recogniser
    samples = [(format.name, sample.line) for format in FORMATS if not format.is_general for sample in format.samples]
    for number, (name, line) in enumerate(samples + samples[::-1] + samples):
        assert read.read("mixed.log", number, line) is not None
        assert read.taken_by is not None
        assert read.taken_by.name == name


def test_a_general_format_never_becomes_a_file_s_own() -> None:
    read = log_lines.reader().recogniser
    for number in range(3):
        read.read("a.log", number, "2026-11-03T12:00:00Z something came to pass")
        assert (read.taken_by and read.taken_by.name) == "general_time"
    read.read("a.log", 4, "2026-11-03 12:00:00,500 - shop.pay - ERROR - refused")
    assert (read.taken_by and read.taken_by.name) == "python_dashes"


def test_a_time_of_day_is_of_the_day_of_the_line_before_it() -> None:
    read = log_lines.reader().recogniser
    read.read("a.log", 1, "2026-11-03 23:59:59.900 [main] INFO shop.Pay - paid")
    found = read.read("a.log", 2, "00:00:01.000 [main] INFO shop.Pay - paid")
    assert found is not None
    assert found["event_time"] == datetime(2026, 11, 4, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "nearest", "column"),
    [
        ("2026-11-03 12:00:00,500 INFO [main org.example.App: started", "hadoop", 30),
        ("[Tue Nov 03 12:00:00 2026] [shouting] x", "apache_error", 28),
        ("nothing", None, 0),
    ],
)
def test_of_a_line_that_no_format_takes_the_nearest_is_named_with_its_place(
    line: str, nearest: str | None, column: int
) -> None:
    specific = [one for one in FORMATS if not one.is_general and one.name in ("hadoop", "apache_error", "redis")]
    found = nearest_format(specific, line)
    assert (nearest, column) == (None, 0) if found is None else (found.format, found.column) == (nearest, column)


def test_the_summary_shows_three_unparsed_lines_and_warns_above_a_tenth() -> None:
    def notes(bad: int, good: int) -> list[str]:
        read = log_lines.reader()
        lines = ["of no format"] * bad + ['{"msg":"a"}'] * good
        for number, text in enumerate(lines, 1):
            read(Line("a.log", number, number, text), text, "a")
        assert read.lines() == {"json": good}
        return read.notes()

    few, many = notes(4, 40), notes(5, 40)
    assert [note.partition(" ")[0] for note in few] == ["a.log:1", "a.log:2", "a.log:3"]
    assert many[-1].startswith("warning: 11% of the lines, 5, are of no format")


def test_a_byte_order_mark_is_part_of_no_field() -> None:
    text = '\ufeff{"level":"error","msg":"first"}'
    event = log_lines.reader()(Line("a.log", 0, 1, text), text, "a")
    assert (event["level"], event["message"]) == ("ERROR", "first")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("title = 1\n[", "TOMLDecodeError"),
        ('title = "a"', "either a pattern or a parser"),
        ('title = "a"\npattern = "(?P<a>"', "no format"),
        ('title = "a"\npattern = ".*"', "no named group"),
        ('title = "a"\npattern = "{when} (?P<a>.*)"', "pattern has .when"),
        ('title = "a"\npattern = "(?P<a>.*)"\ncolour = 1', "no setting 'colour'"),
        ('title = "a"\npattern = "{time}"\ntime = "%Q"', "directive that is not known: %Q"),
        ('pattern = "(?P<a>.*)"', "title"),
    ],
)
def test_a_file_that_is_no_format_is_named_with_what_is_wrong(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "mine.toml").write_text(content)
    with pytest.raises(BadInput, match=words) as raised:
        format_file.load(tmp_path, "INFO")
    assert "mine.toml" in raised.value.message


def test_a_format_is_added_by_adding_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text('title = "mine"\npattern = "@{time}@(?P<shop>[^@]*)@(?P<message>.*)"\n')
    monkeypatch.setattr(log_lines, "FOLDER", tmp_path)
    monkeypatch.setattr(log_lines, "all_formats", log_lines.all_formats.__wrapped__)
    line = "@2026-11-03 12:00:00@b7@paid"
    assert log_lines.reader(format="mine").recogniser.read("a.log", 1, line) == {
        "event_time": datetime(2026, 11, 3, 12, tzinfo=UTC), "message": "paid", "attributes": {"shop": "b7"},
    }  # fmt: skip
