"""The sum of a partition holds only where each record is exactly once: in the lake, a dead letter or a null value."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shardlake.lake.accounting import PartitionAccount, Rows

pytestmark = pytest.mark.unit

ROWS = Rows(count=90, distinct=90, min_offset=10, max_offset=109)
HOLDS = PartitionAccount(
    partition=0, first=10, end=110, rows=ROWS, dead_letters=7, dead_letters_distinct=7, null_values=2, in_both=0,
    control_records=1,
)  # fmt: skip


def test_a_partition_whose_records_are_each_somewhere_once_holds() -> None:
    assert (HOLDS.records, HOLDS.difference, HOLDS.doubled, HOLDS.holds) == (100, 0, 0, True)


@pytest.mark.parametrize(
    ("account", "difference", "doubled"),
    [
        pytest.param(replace(HOLDS, rows=replace(ROWS, count=89, distinct=89)), 1, 0, id="a row is lost"),
        pytest.param(replace(HOLDS, dead_letters=6, dead_letters_distinct=6), 1, 0, id="a dead letter is lost"),
        pytest.param(replace(HOLDS, null_values=1), 1, 0, id="a null value is lost"),
        pytest.param(replace(HOLDS, control_records=0), 1, 0, id="an offset is nobody's"),
        pytest.param(replace(HOLDS, rows=replace(ROWS, count=91)), -1, 1, id="a row is there twice"),
        pytest.param(replace(HOLDS, dead_letters=8), -1, 1, id="a dead letter is there twice"),
        pytest.param(replace(HOLDS, rows=replace(ROWS, distinct=89)), 0, 1, id="one is lost and another is doubled"),
        pytest.param(replace(HOLDS, in_both=1), 0, 1, id="a record is a row and a dead letter"),
    ],
)
def test_what_is_lost_or_doubled_is_counted_and_does_not_hold(
    account: PartitionAccount, difference: int, doubled: int
) -> None:
    assert (account.difference, account.doubled, account.holds) == (difference, doubled, False)
