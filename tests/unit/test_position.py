"""Where a group stands, from a committed offset and a partition's three bounds: a numbered table."""

from __future__ import annotations

import pytest

from shardlake.position import Bounds, Position

pytestmark = pytest.mark.unit

QUIET, OPEN = Bounds(10, 100, 100), Bounds(10, 94, 100)
"""Without a transaction, and with one that holds six offsets back."""

CASES = [
    ("1. at the end", QUIET, 100, {"end": 100, "lag": 0, "held_back": 0}),
    ("2. behind", QUIET, 60, {"next": 60, "lag": 40, "held_back": 0, "lost": 0}),
    ("3. nothing committed: all that is there waits", QUIET, None, {"next": 10, "lag": 90, "lost": 0}),
    ("4. before the first: what is left waits", QUIET, 3, {"next": 10, "lag": 90, "lost": 7}),
    ("5. after the high watermark", QUIET, 101, {"is_ahead": True, "lag": 0, "held_back": 0}),
    ("6. at the stable offset: read as far as it may be", OPEN, 94, {"end": 94, "lag": 0, "held_back": 6}),
    ("7. before the stable offset: behind that one", OPEN, 90, {"end": 94, "lag": 4, "held_back": 6}),
    ("8. at the high watermark: caught up", OPEN, 100, {"end": 100, "lag": 0, "held_back": 0, "is_ahead": False}),
    ("9. between the two: it reads uncommitted records", OPEN, 97, {"end": 100, "lag": 3, "held_back": 0}),
    ("10. after the high watermark beside a transaction", OPEN, 101, {"is_ahead": True, "lag": 0, "held_back": 0}),
    ("11. nothing committed beside a transaction", OPEN, None, {"lag": 84, "held_back": 6, "is_ahead": False}),
    ("12. a transaction from the first offset on", Bounds(0, 0, 6), 0, {"lag": 0, "held_back": 6, "next": 0}),
    ("13. retention took all but the transaction", Bounds(94, 94, 100), 3, {"lost": 91, "lag": 0, "held_back": 6}),
    ("14. an empty partition", Bounds(0, 0, 0), None, {"lag": 0, "held_back": 0, "is_ahead": False}),
]  # fmt: skip


@pytest.mark.parametrize(("bounds", "committed", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_where_a_group_stands(bounds: Bounds, committed: int | None, expected: dict[str, object]) -> None:
    found = Position(bounds, committed)
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.reads_uncommitted == (committed is not None and committed > bounds.stable)
