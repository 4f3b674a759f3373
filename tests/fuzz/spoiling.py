"""Bytes as they come when something goes wrong: cut, doubled, spliced, flipped, and with what parsers stumble over."""

from __future__ import annotations

from random import Random

MOST_BYTES = 64 << 10
"""The size up to which the time of a parser is promised."""
GIANT_SHARE = 0.002
TOKENS = (
    b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x1b]52;c;YQ==\x07", b"\r", b"\n", b"\xef\xbb\xbf", b"\xe2\x80\xae",
    b'"', b"\\", b'\\"', b"[", b"]", b"{", b"}", b"(", b"'", b"%", b"-", b" ", b"\t", b"=", b":", b"/", b"<13>",
    b"<999>",
    b"01/Jan/0001:00:00:00 +0100", b"31/Dec/9999:23:59:60 -2359", b"0001-01-01T00:00:00+14:00",
    b"9999-12-31T23:59:59-12:00", b"Feb 29 23:59:60", b"1e999", b"-1", b"9" * 30, b"9" * 400, b"NaN", b"null", b"true",
    "٣²".encode(), b"\\ud83d", b"\\u0000", b"0x1F", b"1_0", b'{"a":' * 200, b"[" * 2000, b"rt=0.", b" HTTP/1.1",
)  # fmt: skip


def spoiled(chance: Random, whole: bytes, other: bytes, most_bytes: int = MOST_BYTES) -> bytes:
    """One to four things gone wrong with `whole`; parts may come from `other`."""
    found = bytearray(whole)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        start, end = sorted((chance.randrange(len(found) + 1), chance.randrange(len(found) + 1)))
        match chance.randrange(9):
            case 0:
                del found[start:]
            case 1:
                del found[start : min(end, start + 16)]
            case 2:
                found[start:start] = found[start:end]
            case 3:
                found[start:end] = other[chance.randrange(len(other) + 1) :]
            case 4 | 5 if start < len(found):
                found[start] ^= 1 << chance.randrange(8)
            case 6 if start < len(found):
                found[start] = chance.randrange(256)
            case 7:
                found[start:end] = found[start:end][::-1]
            case _:
                found[start:start] = chance.choice(TOKENS)
    if chance.random() < GIANT_SHARE and found:
        start = chance.randrange(len(found))
        part = bytes(found[start : start + chance.choice((1, 2, 5, 20, 200))])
        found[start:start] = part * (most_bytes // len(part))
    return bytes(found[:most_bytes])
