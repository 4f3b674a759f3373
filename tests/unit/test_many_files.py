"""Following thousands of files: what is done for each does not grow with their number; for a quiet one it is little."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardlake.produce import discovery as discovery_module
from shardlake.produce.content import Content
from shardlake.produce.discovery import Discovery
from shardlake.produce.follow import LOOK_SECONDS, MAX_LOOK_SECONDS, rest_seconds
from shardlake.produce.tail import CHUNK_BYTES, PlainSource

pytestmark = pytest.mark.unit

BANNER = "#Software: begins each of its logs alike\n#Version: 1.0\n"


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Operations on files, counted."""
    counted: Counter[str] = Counter()

    def count(holder: object, name: str) -> None:
        real = getattr(holder, name)

        def counting(*given: object, **named: object) -> object:
            counted[name] += 1
            return real(*given, **named)

        monkeypatch.setattr(holder, name, counting)

    count(PlainSource, "read_at")
    count(PlainSource, "version")
    count(os, "stat")
    yield counted
    monkeypatch.undo()


def write(folder: Path, files: int) -> None:
    folder.mkdir()
    for number in range(files):
        (folder / f"{number:05}.log").write_text(f"{BANNER}file {number}\n{60 * str(number)}\n")


def turn(found: Discovery) -> int:
    found.look()
    return len(list(found.read()))


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_start_with_twice_as_many_files_that_begin_alike_takes_twice_as_many_operations(
    tmp_path: Path, done: Counter[str], is_restarted: bool
) -> None:
    operations = []
    for files in (20, 40):
        write(tmp_path / str(files), files)
        found = Discovery([str(tmp_path / str(files) / "*.log")], [], pytest.fail)
        if is_restarted:
            turn(found)
            contents = [Content.of(content.place) for content in found.contents]
            found = Discovery([str(tmp_path / str(files) / "*.log")], contents, pytest.fail)
        done.clear()
        lines = turn(found)
        assert lines == files * 4
        operations.append(done["read_at"] + done["version"])
    assert operations[1] == 2 * operations[0]


def test_a_hole_that_a_truncation_left_is_passed_over_in_large_steps(tmp_path: Path, done: Counter[str]) -> None:
    with (tmp_path / "a.log").open("wb") as file:
        file.seek(64 * CHUNK_BYTES)
        file.write(b"one\n")
    Discovery([str(tmp_path / "*.log")], [], pytest.fail).look()
    assert done["read_at"] < 4 * 64


def test_a_quiet_file_costs_a_look_one_question_and_a_read_none(
    tmp_path: Path, done: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery_module, "BUSY_SECONDS", -1)
    write(tmp_path / "logs", 30)
    found = Discovery([str(tmp_path / "logs" / "*.log")], [], pytest.fail)
    assert turn(found) == 30 * 4
    done.clear()
    assert list(found.read()) == []
    assert not done
    found.look()
    assert done == {"stat": 30}
    with (tmp_path / "logs" / "00007.log").open("a") as file:
        file.write("more\n")
    assert turn(found) == 1


@pytest.mark.parametrize(
    ("look_seconds", "until_idle_seconds", "rest"),
    [(0.0001, None, LOOK_SECONDS), (0.02, None, 2.0), (1.0, None, MAX_LOOK_SECONDS), (0.02, 3.0, 1.5),
     (1.0, 0.0, LOOK_SECONDS)],
)  # fmt: skip
def test_a_look_that_costs_much_is_followed_by_a_long_rest(
    look_seconds: float, until_idle_seconds: float | None, rest: float
) -> None:
    assert rest_seconds(look_seconds, until_idle_seconds) == pytest.approx(rest)
