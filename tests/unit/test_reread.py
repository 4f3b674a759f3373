"""What is an event, and how a topic is shared among processes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.avro.codec import encoder
from shardlake.errors import Unavailable
from shardlake.lake.evidence import shares
from shardlake.lake.reread import STATES, Judge
from shardlake.pipeline import Pipeline
from tests.support import ROOT
from tests.unit.test_codec import KnownSchemas

pytestmark = pytest.mark.unit

PIPELINE = Pipeline.load(ROOT)
TOPIC = PIPELINE.events_topic
SCHEMA = PIPELINE.schema_of(TOPIC)
OLDER = {**SCHEMA, "fields": SCHEMA["fields"][:9]}
ARRIVAL = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, MILLI = timedelta(hours=1), timedelta(milliseconds=1)


class OneSubject(KnownSchemas):
    def schema_id(self, subject: str, schema: dict[str, Any]) -> int:
        return 1


def judged(values: list[bytes | None]) -> tuple[list[dict[str, Any]], list[str]]:
    judge = Judge(TOPIC, SCHEMA, OneSubject({1: SCHEMA, 7: OLDER}))
    arrivals = np.full(len(values), int(ARRIVAL.timestamp()) * 1_000_000)
    columns, states = judge.judge(values, arrivals)
    rows = zip(*(column.to_pylist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows], [STATES[state].as_py() for state in states]


def test_values_of_an_older_schema_stand_among_the_others_with_their_own_fields() -> None:
    newer, older = encoder(SCHEMA, 1), encoder(OLDER, 7)

    def one(n: int) -> dict[str, Any]:
        return {"event_id": f"e{n}", "event_time": ARRIVAL, "service": "ü" * n, "level": "WARN", "status": n}

    values = [newer(one(0)), older(one(1)), None, older(one(2))[:-1], newer(one(3)), older(one(4)), b""]
    rows, states = judged(values)
    assert states == ["event", "event", "null", "poison", "event", "event", "poison"]
    for n in (0, 1, 4):
        at = {0: 0, 1: 1, 4: 5}[n]
        assert rows[at] == {
            **dict.fromkeys(rows[at]), **one(n), "event_time": ARRIVAL.replace(tzinfo=None),
        }  # fmt: skip
    for at in (2, 3, 6):
        assert set(rows[at].values()) == {None}
    assert judged([older(one(1)), older(one(2))[:-1]])[1] == ["event", "poison"]
    assert judged([]) == ([], [])


@pytest.mark.parametrize("written_by", [1, 7])
def test_an_event_time_before_1970_or_more_than_an_hour_after_arrival_is_poison(written_by: int) -> None:
    encode = encoder(SCHEMA if written_by == 1 else OLDER, written_by)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    times = [None, epoch, epoch - MILLI, ARRIVAL + HOUR, ARRIVAL + HOUR + MILLI, datetime(9999, 1, 1, tzinfo=UTC)]
    rows, states = judged([encode({"event_id": "a", "service": "b", "event_time": time}) for time in times])
    assert states == ["event", "event", "poison", "event", "poison", "poison"]
    assert [row["event_id"] for row in rows] == ["a", "a", None, "a", None, None]


def test_a_registry_that_is_down_says_nothing_of_a_record() -> None:
    class Down(OneSubject):
        def schema_by_id(self, schema_id: int) -> dict[str, Any]:
            raise Unavailable("down")

    judge = Judge(TOPIC, SCHEMA, Down({}))
    with pytest.raises(Unavailable):
        judge.judge([b"\x00\x00\x00\x00\x09"], np.zeros(1, np.int64))


@given(st.dictionaries(st.integers(0, 20), st.tuples(st.integers(0, 50), st.integers(0, 50))), st.integers(1, 4))
def test_shares_are_the_whole_and_as_large_as_each_other(drawn: dict[int, tuple[int, int]], count: int) -> None:
    ranges = {partition: (start, start + size) for partition, (start, size) in drawn.items()}
    found = shares(ranges, count)
    offsets = [
        (partition, n) for share in found for partition, (start, end) in share.items() for n in range(start, end)
    ]
    assert sorted(offsets) == sorted(
        (partition, n) for partition, (start, end) in ranges.items() for n in range(start, end)
    )
    assert len(set(offsets)) == len(offsets)
    sizes = [sum(end - start for start, end in share.values()) for share in found]
    assert max(sizes) - min(sizes) <= 1 + (max(sizes) > 0)
