"""Where a shard is read from, and what is told when that is not where it should be."""

from __future__ import annotations

import pytest

from shardlake.errors import BadInput
from shardlake.shards.start import Found, InitialPosition, Kind, start

pytestmark = pytest.mark.unit

HORIZON, LATEST = InitialPosition(), InitialPosition(Kind.LATEST)
AT = InitialPosition(Kind.AT_TIMESTAMP, since_ms=1)
AFTER = InitialPosition(Kind.AFTER_SEQUENCE_NUMBER, after=((0, 14), (1, 99)))


@pytest.mark.parametrize(
    ("number", "found", "position", "partition", "offset", "words"),
    [
        (1, Found(10, 20), HORIZON, 0, 10, ""),
        (2, Found(10, 20), LATEST, 0, 20, ""),
        (3, Found(10, 20, committed=15), LATEST, 0, 15, ""),  # a checkpoint wins
        (4, Found(10, 20, committed=10), HORIZON, 0, 10, ""),
        (5, Found(10, 20, committed=20), HORIZON, 0, 20, ""),
        (6, Found(10, 20, committed=4), HORIZON, 0, 10, "6 records, 4 to 9, went by retention"),
        (7, Found(10, 20, committed=4), LATEST, 0, 10, "6 records"),  # never jumps over the rest
        (8, Found(10, 20, committed=21), HORIZON, 0, 10, "21 is committed, and the topic ends at 20"),
        (9, Found(0, 0, committed=7), LATEST, 0, 0, "made anew"),
        (10, Found(10, 20, at_time=13), AT, 0, 13, ""),
        (11, Found(10, 20, at_time=20), AT, 0, 20, ""),  # nothing has come since
        (12, Found(10, 20), AFTER, 0, 15, ""),
        (13, Found(10, 20), AFTER, 2, 10, ""),  # not named
        (14, Found(10, 20), AFTER, 1, 10, "99 is not there, only 10 to 19"),
        (15, Found(15, 20), AFTER, 0, 15, ""),  # the record after it is the first that is left
        (16, Found(16, 20), AFTER, 0, 16, "14 is not there"),
        (17, Found(0, 0), HORIZON, 0, 0, ""),
        # Committed by a reader of uncommitted records, beside an open transaction: nothing comes again.
        (18, Found(10, 20, committed=26, high=26), HORIZON, 0, 26, ""),
        (19, Found(10, 20, committed=23, high=26), LATEST, 0, 23, ""),
        (20, Found(10, 20, committed=27, high=26), HORIZON, 0, 10, "27 is committed, and the topic ends at 26"),
    ],
)
def test_where_a_shard_begins(
    number: int, found: Found, position: InitialPosition, partition: int, offset: int, words: str
) -> None:
    at, said = start(found, position, partition)
    assert at == offset, number
    assert words in said, number
    assert bool(words) == bool(said), number


def test_positions_are_read_as_kinesis_writes_them() -> None:
    assert InitialPosition.read("TRIM_HORIZON", "t") == HORIZON
    assert InitialPosition.read("latest", "t") == LATEST
    for text in (
        "AT_TIMESTAMP=2026-11-25T10:00:00Z",
        "AT_TIMESTAMP=2026-11-25T12:00:00+02:00",
        "at-timestamp=2026-11-25T10:00",
    ):
        assert InitialPosition.read(text, "t").since_ms == 1_795_600_800_000
    named = InitialPosition.read("AFTER_SEQUENCE_NUMBER=app.logs-0:14, app.logs-1:99", "app.logs")
    assert named == AFTER


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NEWEST", "no initial position 'NEWEST'"),
        ("LATEST=3", "takes no value"),
        ("AT_TIMESTAMP", "'' is no time"),
        ("AT_TIMESTAMP=yesterday", "'yesterday' is no time"),
        ("AFTER_SEQUENCE_NUMBER", "names no sequence numbers"),
        ("AFTER_SEQUENCE_NUMBER=u-0:4", "names no sequence numbers"),
        ("AFTER_SEQUENCE_NUMBER=t-0:4,t-1", "names no sequence numbers"),
        (f"AFTER_SEQUENCE_NUMBER=t-0:{'9' * 5000}", "names no sequence numbers"),
        ("AFTER_SEQUENCE_NUMBER=t-9999999999:4", "names no sequence numbers"),
        ("AFTER_SEQUENCE_NUMBER=t-\u0663:4", "names no sequence numbers"),
    ],
)
def test_a_position_that_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        InitialPosition.read(text, "t")
