"""What the lake must hold of PII: the jobs' masks, computed anew in Python and from the schema alone.

The jobs' own are Mask, TruncateQuery and TruncateNetwork (Java, Flink). None of them is used here, so that a fault of
theirs is seen. A mask is applied to the distinct values of a column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shardlake import pii

KEYED = frozenset({"hash", "truncate_network"})
URL = re.compile(rb"[A-Za-z0-9+.\-]+://")
QUERY = re.compile(rb"[?#]")
PORT = re.compile(rb":[0-9]{1,5}")
HEX_GROUP = re.compile(rb"[0-9A-Fa-f]{0,4}")
IPV4_PART = re.compile(rb"0|[1-9][0-9]{0,2}")


class Masks:
    """The masks of one schema with the keys that are known, the present one first.

    `uncompared` are the fields whose masks need a key where none is known: their columns are null.
    """

    def __init__(self, schema: dict[str, Any], keys: Sequence[str]) -> None:
        self._masks = {field["name"]: field["pii"] for field in schema["fields"] if "pii" in field}
        self._keys = list(keys)
        self.key_ids = [pii.key_id(key) for key in keys]
        self.uncompared = [name for name, mask in self._masks.items() if mask in KEYED and not keys]

    def columns_of(self, name: str) -> list[str]:
        """The columns that hold what the lake may have of a field: its own and, for each older key, `FIELD@KEYID`."""
        older = self.key_ids[1:] if self._masks.get(name) in KEYED else []
        return [name, *(f"{name}@{key_id}" for key_id in older)]

    def apply(self, name: str, column: pa.Array) -> dict[str, pa.Array]:
        """A field's values as the lake may have them, by `columns_of`."""
        mask = self._masks.get(name)
        if mask is None:
            return {name: column}
        if mask == "drop" or name in self.uncompared:
            return {name: pa.nulls(len(column), column.type)}
        if mask == "truncate_query":
            return {name: _truncated(column)}
        functions = [
            _network_or(pii.hasher(key)) if mask == "truncate_network" else pii.hasher(key) for key in self._keys
        ]
        return dict(zip(self.columns_of(name), _of_distinct(column, functions), strict=True))


def _of_distinct(column: pa.Array, functions: Iterable[Callable[[str], str]]) -> list[pa.Array]:
    encoded = column.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    return [pa.array([mask(one) for one in distinct], pa.string()).take(encoded.indices) for mask in functions]


def _truncated(column: pa.Array) -> pa.Array:
    """As `truncate_query` for each; most values have nothing to cut off."""
    encoded = column.dictionary_encode()
    distinct = encoded.dictionary
    maybe = pc.match_substring_regex(distinct, "[?#]|://")
    cut = [truncate_query(value) for value in distinct.filter(maybe).to_pylist()]
    return pc.replace_with_mask(distinct, maybe, pa.array(cut, pa.string())).take(encoded.indices)


def truncate_query(value: str) -> str:
    """What stands before ? or #, and no `user:password@` of an absolute URL (RFC 3986, section 3)."""
    text = QUERY.split(value.encode(), maxsplit=1)[0]
    scheme = URL.match(text)
    if scheme:
        authority, slash, path = text[scheme.end() :].partition(b"/")
        text = scheme[0] + authority.rpartition(b"@")[2] + slash + path
    return text.decode()


def _network_or(hashed: Callable[[str], str]) -> Callable[[str], str]:
    return lambda value: truncate_network(value.encode()) or hashed(value)


def truncate_network(text: bytes) -> str | None:
    """The network of an address without its port and zone; None where it is none."""
    if text.startswith(b"["):  # [2001:db8::1]:443
        address, closed, port = text[1:].partition(b"]")
        return _ipv6_network(address) if closed and (not port or PORT.fullmatch(port)) else None
    if text.count(b":") > 1:
        return _ipv6_network(text)
    address, colon, port = text.partition(b":")
    if (colon and not PORT.fullmatch(colon + port)) or _ipv4(address) is None:
        return None
    return f"{address.rpartition(b'.')[0].decode()}.0/24"


def _ipv6_network(text: bytes) -> str | None:
    groups = _ipv6(text)
    if groups is None:
        return None
    if groups[:6] == [0, 0, 0, 0, 0, 0xFFFF]:  # an IPv4 client on a socket for both
        return f"{groups[6] >> 8}.{groups[6] & 0xFF}.{groups[7] >> 8}.0/24"
    kept, bits = groups[:3], 48
    if groups[0] == 0x2002:  # 6to4 (RFC 3056): its 48 bits are a whole IPv4 address
        kept[2], bits = kept[2] & 0xFF00, 40
    while kept and kept[-1] == 0:
        kept.pop()
    return f"{':'.join(f'{group:x}' for group in kept)}::/{bits}"


def _ipv4(text: bytes) -> int | None:
    """The 32 bits. A leading zero is refused: some read it as octal."""
    parts = text.split(b".")
    if len(parts) != 4 or not all(IPV4_PART.fullmatch(part) and int(part) < 256 for part in parts):
        return None
    return int.from_bytes(bytes(map(int, parts)), "big")


def _ipv6(text: bytes) -> list[int] | None:
    """The eight groups of 16 bits, the zone left out (RFC 4291, section 2.2)."""
    text, percent, zone = text.partition(b"%")
    if percent and not zone:
        return None
    halves = [half.split(b":") if half else [] for half in text.split(b"::")]
    if len(halves) > 2:
        return None
    if halves[-1] and b"." in halves[-1][-1]:  # the last two groups as IPv4
        address = _ipv4(halves[-1].pop())
        if address is None:
            return None
        halves[-1] += [b"%x" % (address >> 16), b"%x" % (address & 0xFFFF)]
    if not all(group and HEX_GROUP.fullmatch(group) for half in halves for group in half):
        return None
    groups = [[int(group, 16) for group in half] for half in halves]
    count = sum(map(len, groups))
    if count != 8 if len(groups) == 1 else count >= 8:
        return None
    return groups[0] if len(groups) == 1 else [*groups[0], *[0] * (8 - count), *groups[1]]
