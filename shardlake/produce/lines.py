"""Reading lines of a file or of standard input, as they are: UTF-8, or UTF-16 behind its byte order mark."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from shardlake.errors import BadInput

MAX_LINE_BYTES = 1 << 20
SNIFFED_BYTES = 8192
STDIN = "-"
UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""Encodings by their byte order marks. Windows' tools write UTF-16."""
BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Line:
    """A line and where it is: bytes from the start of `source`, and its number from 1.

    `text` is None where it is longer than MAX_LINE_BYTES. Bytes that are not UTF-8 are kept as \\xNN.
    """

    source: str
    offset_bytes: int
    number: int
    text: str | None


def text_of(name: str) -> str:
    """A file's name as text, of which every byte that is not UTF-8 is kept as \\xNN: it stands in events and ids."""
    return os.fsencode(name).decode(errors="backslashreplace")


def check(name: str) -> None:
    """Raises BadInput where the file is missing, unreadable, empty, a folder or no text."""
    if name == STDIN:
        return
    path = Path(name)
    if not path.exists():
        msg = f"There is no file {name}."
        raise BadInput(msg, "Give the path of a log file, or - for standard input.")
    if path.is_dir():
        msg = f"{name} is a folder."
        raise BadInput(msg, "Give one log file.")
    try:
        with path.open("rb") as file:
            start = file.read(SNIFFED_BYTES)
    except OSError as error:
        msg = f"{name} cannot be read: {error.strerror}."
        raise BadInput(msg, "Check its permissions.") from error
    if not start:
        msg = f"{name} is empty."
        raise BadInput(msg, "There is nothing to produce.")
    if b"\x00" in start and (start[:2] not in UTF_16 or start.startswith(codecs.BOM_UTF32_LE)):
        msg = f"{name} is a binary file: it holds NUL bytes."
        raise BadInput(msg, "Give a log file of text lines; unpack a compressed one first.")


def read(name: str) -> Iterator[Line]:
    """The lines of a checked file, or of standard input, without their ends. Blank lines are left out."""
    source = "stdin" if name == STDIN else text_of(Path(name).name)
    with nullcontext(sys.stdin.buffer) if name == STDIN else Path(name).open("rb") as file:
        # A reader without `peek` has no beginning to look at.
        codec = UTF_16.get(file.peek(2)[:2]) if isinstance(file, BufferedReader) else None
        yield from _split(file, source) if codec is None else _split_utf16(file, source, codec)


def decoded(raw: bytes) -> str:
    """A line's text without its end. Bytes that are not UTF-8 are kept as \\xNN."""
    return raw.rstrip(b"\r\n").decode(errors="backslashreplace")


def _split(file: BinaryIO, source: str) -> Iterator[Line]:
    offset = 0
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        start, offset = offset, offset + len(raw)
        if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(MAX_LINE_BYTES)
                offset += len(raw)
            yield Line(source, start, number, None)
            continue
        text = decoded(raw)
        if text:
            yield Line(source, start, number, text)


def _split_utf16(file: BinaryIO, source: str, codec: str) -> Iterator[Line]:
    end, offset, number = "\n".encode(codec), 0, 0
    while True:
        raw, length = _utf16_line(file, end)
        if not length:
            return
        number += 1
        start, offset = offset, offset + length
        if len(raw.removesuffix(end)) > MAX_LINE_BYTES:
            yield Line(source, start, number, None)
            continue
        text = raw.decode(codec, errors="backslashreplace").rstrip("\r\n")
        if number == 1:
            text = text.removeprefix(BYTE_ORDER_MARK)
        if text:
            yield Line(source, start, number, text)


def _utf16_line(file: BinaryIO, end: bytes) -> tuple[bytes, int]:
    """The bytes of a line with its end, no more of them than show that the line is too long, and how many there are.

    The byte of a line feed is also half of other letters: a line ends where both bytes are there, at an even place.
    """
    kept, length, last = bytearray(), 0, b""
    while piece := file.readline(MAX_LINE_BYTES):
        if end[:1] == piece[-1:] == b"\n" and (length + len(piece)) % 2:
            piece += file.read(1)
        length += len(piece)
        last = (last + piece)[-2:]
        if len(kept) <= MAX_LINE_BYTES + len(end):
            kept += piece
        if last == end and length % 2 == 0:
            break
    return bytes(kept), length
