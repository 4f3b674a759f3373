"""Following files across what rotation does to them: each line once, whoever holds it now."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shardlake.errors import BadInput
from shardlake.produce import discovery as discovery_module
from shardlake.produce.content import Content
from shardlake.produce.discovery import Discovery, check
from shardlake.produce.lines import MAX_LINE_BYTES

pytestmark = pytest.mark.unit

FIRST = [f"2026-11-03T12:00:{n:02} first {n:02} {40 * chr(46)}" for n in range(40)]
SECOND = [f"2026-11-03T13:00:{n:02} second {n:02} {40 * chr(46)}" for n in range(40)]


def text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


class Agent:
    """A follower without a broker: what it reads is acknowledged unless a test says otherwise."""

    def __init__(self, *patterns: Path) -> None:
        self.patterns = [str(pattern) for pattern in patterns]
        self.said: list[str] = []
        self.discovery = Discovery(self.patterns, [], self.said.append)

    def turn(self, *, is_final: bool = False, acknowledge: bool = True) -> list[str]:
        """One look and one read of each file. The lines; None of a line that is too long is the word LONG."""
        self.discovery.look()
        lines = []
        for content, piece in self.discovery.read(is_final=is_final):
            sent = content.send(piece)
            if acknowledge:
                content.settle(sent)
            lines.append("LONG" if piece.raw is None else piece.raw.decode())
        return lines

    def restart(self) -> None:
        """As after a kill: nothing but the saved places is left."""
        places = [content.place for content in self.discovery.contents]
        self.discovery = Discovery(self.patterns, [Content.of(place) for place in places], self.said.append)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture(params=[False, True], ids=["running", "restarted"])
def between(request: pytest.FixtureRequest) -> Callable[[Agent], None]:
    """What happens to the agent while the files are rotated."""
    return Agent.restart if request.param else lambda _: None


def append(path: Path, more: str) -> None:
    with path.open("a") as file:
        file.write(more)


def test_a_line_without_its_end_waits_for_it(log: Path, between: Callable[[Agent], None]) -> None:
    agent = Agent(log)
    assert agent.turn() == []
    append(log, "one\ntw")
    assert agent.turn() == ["one"]
    between(agent)
    assert agent.turn(is_final=True) == []
    append(log, "o\nthree\n")
    assert agent.turn() == ["two", "three"]


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_a_renamed_file_is_read_on_and_the_new_one_from_its_start(log: Path, pattern: str) -> None:
    agent = Agent(log.with_name(pattern))
    log.write_text(text(FIRST[:30]))
    assert agent.turn() == FIRST[:30]
    log.rename(log.with_name("app.log.1"))
    append(log.with_name("app.log.1"), text(FIRST[30:]))
    log.write_text(text(SECOND))
    assert sorted(agent.turn()) == FIRST[30:] + SECOND
    assert agent.turn() == []


def test_after_a_restart_a_renamed_file_is_read_on(log: Path) -> None:
    agent = Agent(log.with_name("app.log*"))
    log.write_text(text(FIRST[:30]))
    assert agent.turn() == FIRST[:30]
    log.rename(log.with_name("app.log.1"))
    append(log.with_name("app.log.1"), text(FIRST[30:]))
    log.write_text(text(SECOND))
    agent.restart()
    assert sorted(agent.turn()) == FIRST[30:] + SECOND


def test_what_was_copied_before_a_truncation_is_read_from_the_copy(log: Path, between: Callable[[Agent], None]) -> None:
    agent = Agent(log.with_name("app.log*"))
    log.write_text(text(FIRST[:30]))
    assert agent.turn() == FIRST[:30]
    append(log, text(FIRST[30:]))
    shutil.copy(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    append(log, text(SECOND))
    between(agent)
    lines = agent.turn() + agent.turn() + agent.turn()
    assert sorted(lines) == FIRST[30:] + SECOND
    assert any("truncated" in line for line in agent.said)
    append(log, "third\n")
    assert agent.turn() == ["third"]


def test_a_truncated_file_that_has_grown_beyond_its_old_size_is_noticed(log: Path) -> None:
    agent = Agent(log)
    log.write_text("header\n" + text(FIRST[:3]))
    agent.turn()
    log.write_text("header\n" + text(SECOND))
    assert agent.turn() + agent.turn() == ["header", *SECOND]


def test_a_file_that_is_written_anew_to_its_old_size_is_noticed(log: Path) -> None:
    agent = Agent(log)
    log.write_text(text(FIRST))
    agent.turn()
    again = [line.upper() for line in FIRST]
    log.write_text(text(again))
    os.utime(log, (0, 0))
    assert agent.turn() + agent.turn() == again


@pytest.mark.parametrize("rotate", ["rename", "truncate", "delete"])
def test_a_new_log_that_begins_as_the_old_one_did_is_read(log: Path, rotate: str) -> None:
    agent = Agent(log.with_name("app.log*"))
    banner = [f"banner {n:02} {60 * '='}" for n in range(20)]
    log.write_text(text(banner + FIRST))
    assert agent.turn() == banner + FIRST
    if rotate == "rename":
        log.rename(log.with_name("app.log.1"))
    elif rotate == "delete":
        log.unlink()
        agent.restart()
        agent.turn()
    log.write_text(text(banner))
    assert agent.turn() + agent.turn() == banner


def test_a_copy_of_a_file_that_is_there_is_not_read_and_one_that_differs_is(log: Path) -> None:
    agent = Agent(log.with_name("*"))
    log.write_text(text(FIRST[:30]))
    agent.turn()
    shutil.copy(log, log.with_name("backup"))
    log.with_name("part").write_text(text(FIRST[:10]))
    log.with_name("other").write_text(text([*FIRST[:10], "other"]))
    assert agent.turn() == [*FIRST[:10], "other"]
    append(log, text(FIRST[30:]))
    assert agent.turn() == FIRST[30:]
    append(log.with_name("part"), "its own\n")
    assert agent.turn() == [*FIRST[:10], "its own"]


def test_a_copy_that_lacks_the_last_lines_is_not_read_again(log: Path, between: Callable[[Agent], None]) -> None:
    agent = Agent(log.with_name("app.log*"))
    log.write_text(text(FIRST))
    agent.turn()
    os.truncate(log, 0)
    append(log, text(SECOND))
    between(agent)
    assert agent.turn() + agent.turn() == SECOND
    log.with_name("app.log.1").write_text(text(FIRST[:35]))
    assert agent.turn() == []
    between(agent)
    assert agent.turn() == []


def test_a_copy_is_read_where_its_lines_were_sent_and_not_acknowledged(log: Path) -> None:
    agent = Agent(log.with_name("app.log*"))
    log.write_text(text(FIRST[:30]))
    agent.turn()
    append(log, text(FIRST[30:]))
    assert agent.turn(acknowledge=False) == FIRST[30:]
    log.with_name("app.log.1").write_text(text(FIRST[:35]))
    os.truncate(log, 0)
    assert agent.turn() + agent.turn() == []
    agent.restart()
    assert agent.turn() + agent.turn() == FIRST[30:35]


def test_a_packed_file_is_read_once(log: Path, between: Callable[[Agent], None]) -> None:
    agent = Agent(log.with_name("app.log*"))
    with gzip.open(log.with_name("app.log.3.gz"), "wt") as file:
        file.write(text(SECOND) + "without an end")
    assert agent.turn() == [*SECOND, "without an end"]
    log.write_text(text(FIRST[:30]))
    assert agent.turn() == FIRST[:30]
    append(log, text(FIRST[30:]))
    between(agent)
    with gzip.open(log.with_name("app.log.2.gz"), "wt") as file:
        file.write(log.read_text())
    if between is not Agent.restart:
        assert agent.turn() == FIRST[30:]
        log.unlink()
        assert agent.turn(is_final=True) == []
    else:
        log.unlink()
        assert agent.turn() == FIRST[30:]
    between(agent)
    assert agent.turn() == []
    assert agent.turn() == []


def test_a_packed_file_that_breaks_off_is_read_when_it_is_whole(log: Path) -> None:
    agent = Agent(log.with_name("*.gz"))
    packed = gzip.compress(text(FIRST).encode())
    log.with_name("a.gz").write_bytes(packed[:-9])
    assert agent.turn() == []
    assert any("no complete gzip file" in line for line in agent.said)
    log.with_name("a.gz").write_bytes(packed)
    assert agent.turn() == FIRST


def test_a_deleted_file_is_read_to_its_end_and_forgotten_when_it_is_quiet(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(log)
    log.write_text(text(FIRST[:30]))
    agent.turn()
    append(log, text(FIRST[30:]) + "no end")
    log.unlink()
    assert agent.turn() == FIRST[30:]
    monkeypatch.setattr(discovery_module, "QUIET_SECONDS", -1)
    assert agent.turn() == ["no end"]
    assert agent.turn() == []
    assert not agent.discovery.live
    log.write_text(text(SECOND))
    assert agent.turn() == SECOND


def test_at_the_end_a_deleted_file_s_last_line_is_sent_without_an_end(log: Path) -> None:
    agent = Agent(log)
    log.write_text("one\nno end")
    assert agent.turn() == ["one"]
    log.unlink()
    assert agent.turn() == []
    assert agent.turn(is_final=True) == ["no end"]


def test_a_rotated_file_s_last_line_is_sent_without_an_end_when_it_is_quiet(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(log.with_name("app.log*"))
    log.write_text("one\nno end")
    assert agent.turn() == ["one"]
    monkeypatch.setattr(discovery_module, "QUIET_SECONDS", -1)
    assert agent.turn() == []
    log.rename(log.with_name("app.log.1"))
    assert agent.turn() == ["no end"]
    agent.restart()
    assert agent.turn() == []


def test_an_inode_that_is_used_again_is_another_file(log: Path) -> None:
    agent = Agent(log)
    log.write_text(text(FIRST))
    agent.turn()
    place = agent.discovery.contents[0].place
    agent.restart()
    log.unlink()
    log.write_text(text(SECOND * 2))
    status = log.stat()
    agent.discovery = Discovery(
        agent.patterns,
        [Content.of(replace(place, device=status.st_dev, inode=status.st_ino))],
        agent.said.append,
    )
    assert agent.turn() == SECOND * 2


def test_contents_that_begin_alike_have_identities_of_their_own(log: Path) -> None:
    agent = Agent(log.with_name("*"))
    log.with_name("a").write_text("started\na\n")
    log.with_name("b").write_text("started\nb\n")
    assert sorted(agent.turn()) == ["a", "b", "started", "started"]
    first, second = (content.identity for content in agent.discovery.contents)
    assert first != second
    again = Agent(log.with_name("a"))
    again.turn()
    assert again.discovery.contents[0].identity == first


def test_contents_that_are_gone_are_remembered_over_restarts(log: Path) -> None:
    agent = Agent(log.with_name("*"))
    for name, lines in {"a": FIRST, "b": SECOND}.items():
        log.with_name(name).write_text(text(lines))
    assert agent.turn() == FIRST + SECOND
    for name in ("a", "b"):
        log.with_name(name).unlink()
    for _ in range(2):
        agent.restart()
        assert agent.turn() == []
    log.with_name("a.gz").write_bytes(gzip.compress(text(FIRST).encode()))
    log.with_name("b.gz").write_bytes(gzip.compress(text([*SECOND, "more"]).encode()))
    assert agent.turn() == ["more"]


def test_lines_that_are_too_long_cost_no_neighbour(log: Path) -> None:
    agent = Agent(log)
    log.write_text("before\n" + "x" * (3 * MAX_LINE_BYTES) + "\n" + "y" * MAX_LINE_BYTES + "\nafter\n")
    lines = [line for _ in range(20) for line in agent.turn()]
    assert lines == ["before", "LONG", "y" * MAX_LINE_BYTES, "after"]


def test_a_hole_that_a_truncation_left_is_passed_over(log: Path) -> None:
    agent = Agent(log)
    log.write_text(text(FIRST))
    agent.turn()
    with log.open("r+b") as file:
        file.truncate(0)
        file.seek(MAX_LINE_BYTES * 2)
        file.write(text(SECOND).encode())
    lines = [line for _ in range(20) for line in agent.turn()]
    assert lines == SECOND


def test_a_clock_that_jumps_back_hides_no_line(log: Path) -> None:
    agent = Agent(log)
    log.write_text(text(FIRST))
    assert agent.turn() == FIRST
    append(log, text(SECOND))
    os.utime(log, (0, 0))
    assert agent.turn() == SECOND


def test_a_binary_file_is_named_and_left_out(log: Path) -> None:
    agent = Agent(log.with_name("*"))
    log.with_name("core").write_bytes(b"\x7fELF\x00\x01\n")
    log.write_text(text(FIRST))
    assert agent.turn() == FIRST
    assert any("core is a binary file" in line for line in agent.said)


def test_a_place_is_that_of_the_first_line_that_is_not_settled(log: Path) -> None:
    agent = Agent(log)
    log.write_text("one\ntwo\nthree\n")
    agent.discovery.look()
    (content,) = agent.discovery.contents
    one, two, three = (content.send(piece) for _, piece in agent.discovery.read())
    assert content.place.position_bytes == 0
    content.settle(two, 0, 7)
    content.settle(three, 1, 3)
    assert (content.place.position_bytes, content.place.lines) == (0, 0)
    content.settle(one, 0, 6)
    assert (content.place.position_bytes, content.place.lines) == (14, 3)


def test_what_cannot_be_followed_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        check(str(tmp_path))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BadInput, match="is a FIFO") as raised:
        check(str(tmp_path / "fifo"))
    assert "cat" in raised.value.hint
    with pytest.raises(BadInput, match="no regular file"):
        check("/dev/null")
    check(str(tmp_path / "later.log"))
