"""A line against a template of texts and fields, in time that grows with the line's length and no faster.

`re` tries each way to share a line out to several fields of any letters, one after the other: with eight such fields a
line of 2 kB takes it half a minute. Here, from the template's last part to its first, the places of the line from which
the rest of the template fits are worked out all at once: a set of places is an integer with a bit for each, and adding
carries a place across a run of letters that a field may have, as Parabix does. Then each field takes, from left to
right, the fewest letters that leave a rest that fits: what `re` finds with lazy fields.

Where each field ends at a letter that it cannot hold, as in the Combined Log Format, there is one way to share a line
out. Then `re` does it, in half the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

ESCAPED = re.compile(rb"\\.", re.DOTALL)
SPACE = re.compile(r"\s")
BYTES = bytes(range(256))
SPACES = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"
"""The ASCII letters that `\\s` matches."""


def _ones(wanted: Iterable[int]) -> bytes:
    """Return a table for `bytes.translate` that makes the digit 1 of the wanted bytes, and 0 of all others."""
    return bytes(b"01"[byte in wanted] for byte in BYTES)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A field's form. The field matches `pattern`, and has at least `least` bytes, of those that `ones` makes a 1.

    In a quoted field a letter behind a backslash is as any other, and the backslash is never the last letter. A bare
    field has none of Unicode's spaces either.
    """

    pattern: str
    ones: bytes
    least: int = 0
    is_quoted: bool = False
    is_bare: bool = False


BARE = Shape(r"(\S*?)", _ones(set(BYTES) - set(SPACES)), is_bare=True)
SPACED = Shape(r"(.*?)", _ones(set(BYTES) - set(b"\n")))
WORDS = Shape(r'([^\["]*?)', _ones(set(BYTES) - set(b'["')))
BRACKETED = Shape(r"([^\]]*)", _ones(set(BYTES) - set(b"]")))
NUMBER = Shape(r"([0-9]{1,19})", _ones(b"0123456789"), least=1)
QUOTED = Shape(r'((?:[^"\\]|\\.)*)', _ones(set(BYTES) - set(b'"')), is_quoted=True)
BACKSLASH = _ones(b"\\")


class Template:
    """Texts and fields in the order of a line. Space at the line's end belongs to none."""

    def __init__(self, parts: Iterable[str | Shape]) -> None:
        """The parts are in the order of a line: a string stands for itself, a Shape for a field."""
        self._parts = list(_joined(parts))
        self._pattern = re.compile(pattern_of(self._parts)) if _has_one_way(self._parts) else None
        texts = b"".join(part for part in self._parts if isinstance(part, bytes))
        self._bytes = {byte: _ones([byte]) for byte in texts}
        self._shapes = {part for part in self._parts if isinstance(part, Shape)}

    def groups(self, line: str) -> list[str] | None:
        """Return the text of each field in the line, None where the line does not fit the template."""
        if self._pattern is not None:
            match = self._pattern.fullmatch(line)
            return None if match is None else list(match.groups())
        return self.by_places(line)

    def by_places(self, line: str) -> list[str] | None:
        """Do what `groups` does, for a template of any form."""
        raw = line.encode(errors="surrogatepass")
        size = len(raw)
        fits = self._fits(line, raw)
        if not fits[0] >> size & 1:
            return None
        found: list[str] = []
        start = 0
        for part, rest in zip(self._parts, fits[1:], strict=True):
            if isinstance(part, bytes):
                start += len(part)
                continue
            # The nearest place from which the rest fits: of those to the right it is the highest bit.
            to_right = rest & ((2 << (size - start - part.least)) - 1)
            end = size + 1 - to_right.bit_length()
            found.append(raw[start:end].decode(errors="surrogatepass"))
            start = end
        return found

    def _fits(self, line: str, raw: bytes) -> list[int]:
        """For each part the places from which it and all behind it fit; at last those in the space at the line's end.

        A place is the bit of its distance from the end.
        """
        at = {byte: _set(raw, ones) for byte, ones in self._bytes.items()}
        runs = {shape: _set(_as_seen_by(shape, line, raw), shape.ones) for shape in self._shapes}
        escapes = _set(_escaped(raw), BACKSLASH) if QUOTED in self._shapes else 0
        fits = [(2 << len(raw) - len(line.rstrip().encode(errors="surrogatepass"))) - 1]
        for part in reversed(self._parts):
            places = fits[-1]
            if isinstance(part, bytes):
                for byte in reversed(part):
                    places = (places & at[byte]) << 1
            else:
                run = runs[part]
                if part.is_quoted:
                    places &= ~escapes
                for _ in range(part.least):
                    places = (places & run) << 1
                places |= ((places & run) + run) ^ run
            fits.append(places)
        return fits[::-1]


def _joined(parts: Iterable[str | Shape]) -> Iterator[bytes | Shape]:
    for is_text, these in groupby(filter(None, parts), lambda part: isinstance(part, str)):
        if is_text:
            yield b"".join(part.encode() for part in these if isinstance(part, str))
        else:
            yield from (part for part in these if isinstance(part, Shape))


def pattern_of(parts: Iterable[bytes | Shape]) -> str:
    """The template as a regular expression."""
    return "".join(part.pattern if isinstance(part, Shape) else re.escape(part.decode()) for part in parts) + r"\s*"


def _has_one_way(parts: Sequence[bytes | Shape]) -> bool:
    """Tell whether each field is followed by a letter that the field cannot hold."""
    behind = [*parts[1:], b" "]
    return all(
        isinstance(after, bytes) and not all(part.ones[byte] == ord("1") for byte in after)
        for part, after in zip(parts, behind, strict=False)
        if isinstance(part, Shape)
    )


def _set(raw: bytes, ones: bytes) -> int:
    return int(raw.translate(ones) or b"0", 2)


def _as_seen_by(shape: Shape, line: str, raw: bytes) -> bytes:
    if shape.is_quoted:
        return _escaped(raw)
    if shape.is_bare and not line.isascii():
        return SPACE.sub(lambda space: " " * len(space[0].encode()), line).encode(errors="surrogatepass")
    return raw


def _escaped(raw: bytes) -> bytes:
    return ESCAPED.sub(rb"\\.", raw) if b"\\" in raw else raw
