"""Values of Avro, spoiled, through the decoders in Python: the strict one, the one of batches, and the judge of both.

A value is a record that encodes to the very bytes, or is refused; and both decoders say the same of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import numpy as np

from producers.poison import poison
from shardlake.avro.batch import BatchDecoder
from shardlake.avro.codec import Decoder, Undecodable, encoder
from shardlake.avro.registry import Registry, UnknownSchema
from shardlake.lake.reread import Judge
from shardlake.pipeline import Pipeline
from tests.fuzz.spoiling import spoiled
from tests.fuzz.tries import Fault, Try
from tests.support import ROOT

PIPELINE = Pipeline.load(ROOT)
TOPIC = PIPELINE.events_topic
SCHEMA = PIPELINE.schema_of(TOPIC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH = 200
OLDER = {**SCHEMA, "fields": SCHEMA["fields"][:9]}
NESTED = {**SCHEMA, "fields": [{"name": "event_id", "type": {"type": "array", "items": "null"}}]}
SCHEMAS: dict[int, dict[str, Any]] = {1: SCHEMA, 2: PIPELINE.schemas["service_health"], 3: NESTED, 7: OLDER}
"""By id: the reader's own, another record's, one that is not decoded with, and the reader's of an older version."""


class Known(Registry):
    """The answers of a registry that has SCHEMAS."""

    def __init__(self) -> None:
        pass

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        """As the registry's."""
        if schema_id not in SCHEMAS:
            raise UnknownSchema(schema_id)
        return SCHEMAS[schema_id]

    def is_of_subject(self, schema_id: int, subject: str) -> bool:
        """Tell that every schema is of the topic's subject."""
        return subject == TOPIC.subject and schema_id in SCHEMAS

    def schema_id(self, subject: str, schema: dict[str, Any]) -> int:
        """The reader's own."""
        return 1


def record(chance: Random) -> dict[str, Any]:
    """An event with some of its fields, with values from all of their ranges."""

    def text() -> str:
        return "".join(chr(chance.choice((chance.randrange(32, 127), chance.randrange(1, 0xD800)))) for _ in range(9))

    given: dict[str, Any] = {
        "event_time": EPOCH + timedelta(milliseconds=chance.choice((0, 1_793_707_200_000, chance.randrange(10**14)))),
        "host": text(), "level": chance.choice(("INFO", "FATAL")), "message": text() * chance.randrange(20),
        "status": chance.choice((0, -(2**31), 2**31 - 1)), "response_bytes": chance.choice((-(2**63), 2**63 - 1)),
        "latency_ms": chance.choice((0.0, -0.0, float("inf"), float("nan"), chance.random())),
    }  # fmt: skip
    some = {name: value for name, value in given.items() if chance.random() < 0.7}
    return {"event_id": text(), "service": text(), **some}


def values(chance: Random) -> Iterator[bytes]:
    """Valid values, poison of every known kind, and both spoiled, by the reader's schema and an older one."""
    encoders = {number: encoder(SCHEMAS[number], number) for number in (1, 7)}
    fields = {number: {field["name"] for field in SCHEMAS[number]["fields"]} for number in encoders}
    known = [value for _, value in poison(encoders[1], SCHEMA, foreign_id=2)]
    while True:
        number = chance.choice((1, 1, 1, 7))
        made = record(chance)
        valid = encoders[number]({name: value for name, value in made.items() if name in fields[number]})
        kind = chance.random()
        if kind < 0.1:
            yield valid
        elif kind < 0.15:
            yield chance.choice(known)
        elif kind < 0.9:
            # The five bytes of the header are spoiled less often: behind them is more to be got wrong.
            start = 0 if chance.random() < 0.1 else 5
            yield valid[:start] + spoiled(chance, valid[start:], chance.choice(known))
        else:
            yield valid[:5] + chance.randbytes(chance.randrange(60))


def tries(chance: Random) -> Iterator[Try]:
    """Each value by itself, then all of a batch together."""
    decoder = Decoder(SCHEMA, Known(), TOPIC.subject)
    encode = encoder(SCHEMA, 1)
    batches, judge = BatchDecoder(SCHEMA, 1), Judge(TOPIC, SCHEMA, Known())
    source = values(chance)

    def strictly(value: bytes) -> str:
        try:
            found = decoder.decode(value)
        except Undecodable as refused:
            return f"refused: {refused.error_class}"
        if value[:5] == b"\x00\x00\x00\x00\x01" and encode(found) != value:
            raise Fault("what was decoded is encoded to other bytes")
        return "event"

    def together(batch: list[bytes]) -> str:
        columns, valid = batches.decode(batch)
        for name, column in columns.items():
            for value, found, is_valid in zip(batch, column.to_pylist(), valid.tolist(), strict=True):
                wanted = decoder.decode(value)[name] if is_valid else None
                if isinstance(wanted, datetime):
                    wanted = wanted.replace(tzinfo=None)
                if repr(found) != repr(wanted):
                    raise Fault(f"{value!r}: {name} is {found!r} in a batch and {wanted!r} by itself")
        for value, is_valid in zip(batch, valid.tolist(), strict=True):
            if not is_valid and value[:5] == b"\x00\x00\x00\x00\x01" and strictly(value) == "event":
                raise Fault(f"{value!r}: an event that a batch does not take")
        judge.judge([*batch, None], np.full(len(batch) + 1, 1_793_707_200_000_000))
        return f"batch of {BATCH}"

    while True:
        batch = [next(source) for _ in range(BATCH)]
        for value in batch:
            yield value, partial(strictly, value)
        yield batch, partial(together, batch)
