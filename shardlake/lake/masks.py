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
from shardlake.lake.written import UNMASKED, mask_of, names_of

KEYED = frozenset({"hash", "truncate_network"})
KINDS = KEYED | {"drop", "truncate_query", UNMASKED}
URL = re.compile(rb"[A-Za-z0-9+.\-]+://")
QUERY = re.compile(rb"[?#]")
PORT = re.compile(rb":[0-9]{1,5}")
HEX_GROUP = re.compile(rb"[0-9A-Fa-f]{0,4}")
IPV4_PART = re.compile(rb"0|[1-9][0-9]{0,2}")


class Masks:
    """The masks of one schema, and of the older versions of it, with the keys that are known, the present one first.

    `uncompared` are the fields whose masks need a key where none is known: their columns are null.
    """

    def __init__(self, schema: dict[str, Any], keys: Sequence[str], older: Iterable[dict[str, Any]] = ()) -> None:
        """`older` are versions of the schema with which files of the lake may have been written."""
        self._masks = {field["name"]: [mask_of(field)] for field in schema["fields"]}
        for version in older:
            before = {field["name"]: mask_of(field) for field in version["fields"]}
            for field in schema["fields"]:
                masks = self._masks[field["name"]]
                masks += [before[name] for name in names_of(field) if name in before and before[name] not in masks]
        self._keys = list(keys)
        self.key_ids = [pii.key_id(key) for key in keys]
        self.uncompared = [] if keys else [name for name, masks in self._masks.items() if not KEYED.isdisjoint(masks)]

    def columns_of(self, name: str) -> list[str]:
        """Name the columns that hold what the lake may have of a field.

        FIELD has it with the present mask, FIELD@MASK with an older mask. For each older key of a hash there is one
        more, FIELD@KEYID or FIELD@MASK@KEYID.
        """
        return [one for mask in self._masks[name] for one in self._columns(name, mask)]

    def apply(self, name: str, column: pa.Array) -> dict[str, pa.Array]:
        """A field's values as the lake may have them, by `columns_of`."""
        found: dict[str, pa.Array] = {}
        for mask in self._masks[name]:
            found |= zip(self._columns(name, mask), self._masked(name, mask, column), strict=True)
        return found

    def _columns(self, name: str, mask: str) -> list[str]:
        first = name if mask == self._masks[name][0] else f"{name}@{mask}"
        return [first, *(f"{first}@{key_id}" for key_id in self.key_ids[1:] if mask in KEYED)]

    def _masked(self, name: str, mask: str, column: pa.Array) -> list[pa.Array]:
        if mask == UNMASKED:
            return [column]
        if mask == "drop" or name in self.uncompared:
            return [pa.nulls(len(column), column.type)]
        if mask == "truncate_query":
            return [_truncated(column)]
        functions = [
            _network_or(pii.hasher(key)) if mask == "truncate_network" else pii.hasher(key) for key in self._keys
        ]
        return _of_distinct(column, functions)


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
