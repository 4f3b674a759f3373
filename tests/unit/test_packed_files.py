"""Gzip files: how much of them is read and unpacked, and what those that are bombs or change are taken for."""

from __future__ import annotations

import gzip
import io
import os
import random
from pathlib import Path
from typing import Any

import pytest

from shardlake.produce import discovery as discovery_module
from shardlake.produce import tail
from shardlake.produce.content import Content
from shardlake.produce.discovery import Discovery
from shardlake.produce.tail import CHUNK_BYTES, NOTHING, Bomb, GzipSource, Tail

pytestmark = pytest.mark.unit


class Counting(io.FileIO):
    """A file that counts what is read of it."""

    read_bytes = 0

    def readinto(self, buffer: Any) -> int | None:
        size = super().readinto(buffer)
        self.read_bytes += size or 0
        return size

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size) or b""
        self.read_bytes += len(data)
        return data


class Unpacking(gzip.GzipFile):
    """Counts what it unpacks."""

    unpacked_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        Unpacking.unpacked_bytes += len(data)
        return data


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Lines of eight chunks, which pack to no less than half."""
    draw = random.Random(1)
    path = tmp_path / "a.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(8 * CHUNK_BYTES // 64):
            file.write(b"%063x\n" % draw.getrandbits(252))
    return path


def test_a_packed_file_is_read_to_see_that_it_is_whole_and_once_more(packed: Path) -> None:
    file: Any = Counting(packed)
    read = Tail(GzipSource(file), 0, 0, NOTHING, NOTHING)
    lines = 0
    while not read.is_at_end():
        lines += len(read.read())
    file.close()
    assert lines == 8 * CHUNK_BYTES // 64
    assert file.read_bytes <= 2 * packed.stat().st_size + 100


def test_a_bomb_is_unpacked_no_further_than_it_takes_to_see_that_it_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(24 << 20)))
    monkeypatch.setattr(tail, "FREE_BYTES", 1 << 20)
    monkeypatch.setattr(Unpacking, "unpacked_bytes", 0)
    monkeypatch.setattr(tail.gzip, "GzipFile", Unpacking)  # type: ignore[attr-defined]
    file: Any = Counting(path)
    with pytest.raises(Bomb):
        GzipSource(file)
    assert file.closed
    assert Unpacking.unpacked_bytes <= (1 << 20) + tail.MOST_TIMES * path.stat().st_size + CHUNK_BYTES
    assert Unpacking.unpacked_bytes < 24 << 19


def test_a_bomb_is_named_once_and_its_neighbour_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "FREE_BYTES", 1 << 20)
    (tmp_path / "a.gz").write_bytes(gzip.compress((24 << 20) * b"x"))
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"one\n"))
    said: list[str] = []
    found = Discovery([str(tmp_path / "*.gz")], [], said.append)
    lines = []
    for _ in range(3):
        found.look()
        lines += [piece.raw for _, piece in found.read()]
    assert lines == [b"one"]
    (line,) = said
    assert "a.gz holds more than 200 times its size and is not followed" in line
    assert f"zcat {tmp_path / 'a.gz'} | shardlake produce" in line


def test_what_is_packed_as_logs_are_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "FREE_BYTES", 0)
    lines = "".join(f"2026-11-03T12:00:{n % 60:02} GET /health 200\n" for n in range(50_000)).encode()
    (tmp_path / "a.gz").write_bytes(gzip.compress(lines))
    with tail.open_source(tmp_path / "a.gz")._raw as file:  # type: ignore[union-attr] # noqa: SLF001 - to close it
        assert len(lines) > 20 * os.fstat(file.fileno()).st_size


def test_a_packed_file_that_breaks_off_while_it_is_read_ends_nothing(packed: Path) -> None:
    whole = packed.read_bytes()
    said: list[str] = []
    found = Discovery([str(packed)], [], said.append)
    found.look()
    lines = [piece.raw for _, piece in found.read()]
    os.truncate(packed, len(whole) // 2)
    for _ in range(8):
        lines += [piece.raw for _, piece in found.read()]
    assert any("a.gz was truncated or replaced" in line for line in said)
    packed.write_bytes(whole)
    for _ in range(8):
        found.look()
        lines += [piece.raw for _, piece in found.read()]
    assert b"\n".join(line or b"" for line in lines) + b"\n" == gzip.decompress(whole)


def test_a_known_file_that_breaks_off_is_unpacked_again_only_when_it_has_changed(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = packed.read_bytes()
    found = Discovery([str(packed)], [], pytest.fail)
    found.look()
    for content, piece in found.read():
        content.settle(content.send(piece))
    packed.write_bytes(whole[:-9])
    opened: list[Path] = []
    open_source = tail.open_source

    def counted(path: Path) -> Any:
        opened.append(path)
        return open_source(path)

    monkeypatch.setattr(discovery_module, "open_source", counted)
    found = Discovery([str(packed)], [Content.of(content.place) for content in found.contents], lambda _: None)
    for _ in range(3):
        found.look()
    assert len(opened) == 1
    packed.write_bytes(whole)
    os.utime(packed, ns=(1, 1))
    found.look()
    assert len(opened) == 2
    assert next(iter(found.read()))
