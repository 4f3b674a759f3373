"""Reading lines of a file or of standard input, as they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shardlake.errors import BadInput

MAX_LINE_BYTES = 1 << 20
SNIFFED_BYTES = 8192
STDIN = "-"


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
    if b"\x00" in start:
        msg = f"{name} is a binary file: it holds NUL bytes."
        raise BadInput(msg, "Give a log file of text lines; unpack a compressed one first.")


def read(name: str) -> Iterator[Line]:
    """The lines of a checked file, or of standard input, without their ends. Blank lines are left out."""
    source = "stdin" if name == STDIN else text_of(Path(name).name)
    with nullcontext(sys.stdin.buffer) if name == STDIN else Path(name).open("rb") as file:
        yield from _split(file, source)


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
