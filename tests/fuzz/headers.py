"""Headers as anybody may set them, drawn by hypothesis: of dead letters and redriven records, and those that imitate.

They decide nothing but by what is ours, they raise nothing, and a redriven record has its own back byte by byte.
"""

from __future__ import annotations

import json
from typing import Any

from confluent_kafka import Message
from hypothesis import strategies as st

from shardlake.cli.dlq_tables import as_json, letters_table, overview_table
from shardlake.dead_letter import (
    LATEST_MS,
    ORIGINAL,
    OURS,
    REDRIVEN_FROM,
    DeadLetter,
    Header,
    kept,
    original_headers,
    redriven_from,
)
from shardlake.redrive.letters import Letter
from shardlake.redrive.marks import Mark, counting, mark_key
from shardlake.redrive.selection import Selection
from shardlake.shards.lease import Lease
from tests.fuzz.tries import Fault

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70), st.sampled_from([-1, 0, 2**31 - 1, 2**31, 2**63 - 1, 2**63, LATEST_MS])
).map(lambda number: str(number).encode())
VALUES = st.one_of(st.none(), st.binary(max_size=8), NUMBERS, st.sampled_from([b"app-logs", b"app-logs/1/7", b"\xff"]))
IMITATIONS = [ORIGINAL * n + name for name in OURS for n in (0, 1, 2)]
NAMES = st.one_of(st.text(max_size=6), st.sampled_from(OURS), st.sampled_from(IMITATIONS))
RIGHT = DeadLetter("app-logs", 1, 7, 5_000, "io.shardlake.flink.NoSchemaId", "why", "traffic", 4).headers()
HEADERS: st.SearchStrategy[list[Header]] = st.one_of(
    st.lists(st.tuples(NAMES, VALUES), max_size=12),
    # Letters that are ours, or nearly: every header is there.
    st.tuples(*(st.one_of(st.just(value), st.just(value), st.just(value), VALUES) for _, value in RIGHT)).map(
        lambda values: [(name, value) for (name, _), value in zip(RIGHT, values, strict=True)]
    ),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=5,
)
LETTERS = st.builds(
    DeadLetter, st.just("app-logs"), st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.integers(-1, LATEST_MS),
    st.text(max_size=9), st.text(max_size=9), st.sampled_from(["", "traffic", "ä/b"]), st.integers(0, 2**31 - 1),
)  # fmt: skip


def of_records(headers: list[Header], letter: DeadLetter) -> str:
    """A record with these headers, as it is, as a dead letter, and redriven."""
    written = [*kept(headers), *letter.headers()]
    if original_headers(written) != headers:
        raise Fault("a dead letter does not give back its record's headers")
    found = DeadLetter.from_headers(written)
    if (found.topic, found.partition, found.offset) != (letter.topic, letter.partition, letter.offset):
        raise Fault("a record's headers decide where its dead letter is from")
    if DeadLetter.if_ours(kept(headers)) is not None:
        raise Fault("a record's own headers make it a dead letter of ours")
    redriven_from(headers)
    redriven_from([*headers, (REDRIVEN_FROM, b"app-logs/1/7")])
    source = DeadLetter.if_ours(headers)
    mark = Mark(0, "app-logs/1/9", "id") if source else None
    listed = [Letter(0, 0, source, b"\xff", 5, mark=mark), Letter(0, 1, found, None, 5)]
    as_json("app-logs.dlq", listed, 1)
    letters_table(listed)
    overview_table({"app-logs.dlq": ("the jobs", listed)})
    for letter_ in listed:
        Selection(key="a", since_ms=0).takes(letter_)
    return "foreign" if source is None else "ours"


def of_marks(value: bytes, key: bytes) -> str:
    """A record of the topic of marks, which is open to all; and a group's metadata, which is to its members."""
    message = Message(topic="shardlake.redriven", partition=0, offset=0, key=key, value=value)
    for found in counting([message], "app-logs.dlq", lambda _: "id").values():
        letter = Letter(0, 0, DeadLetter("app-logs", 0, 0, 0, "E", ""), None, 0, mark=found)
        as_json("app-logs.dlq", [letter], None)
        letters_table([letter])
    lease = Lease.from_metadata(value.decode(errors="replace"))
    if lease is not None:
        checked(lease)
    return "foreign" if lease is None else "ours"


def checked(lease: Lease) -> None:
    """Raise Fault where a lease is none to those who count with it."""
    if not (isinstance(lease.owner, str) and isinstance(lease.epoch, int) and isinstance(lease.renewed_ms, int)):
        raise Fault(f"{lease} is no lease")


def _mark(fields: dict[str, Any]) -> bytes:
    return json.dumps({"at_ms": 1, "to": "a", "topic_id": "id", **fields}).encode()


def _lease(fields: dict[str, Any]) -> bytes:
    return json.dumps({"owner": "a", "epoch": 1, "in_flight": 0, "renewed_ms": 1, **fields}).encode()


MARKS = st.one_of(
    st.binary(max_size=20),
    st.dictionaries(st.sampled_from(["at_ms", "to", "topic_id", "other"]), JSON, max_size=3).map(_mark),
    st.dictionaries(st.sampled_from(["owner", "epoch", "in_flight", "renewed_ms"]), JSON, max_size=3).map(_lease),
    st.sampled_from([b"[" * 4000, b'{"a":' * 4000, b"9" * 5000]),
)
KEYS = st.one_of(
    st.binary(max_size=9), st.just(mark_key("app-logs.dlq", DeadLetter("app-logs", 0, 0, 0, "E", "")).encode())
)
