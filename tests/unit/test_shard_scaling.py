"""How many workers a group should have: a numbered table, and what comes of it over hours."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from shardlake.shards.scaling import Limits, Past, Sample, decide

pytestmark = pytest.mark.unit

NOW = 1000.0
LONG_AGO = Past(changed=0.0)
LIMITS = Limits(max_workers=8, drain_seconds=60, cooldown_seconds=10, hold_seconds=30, stuck_seconds=30)


def history(
    lag: float, done: float = 0, arriving: float = 0, *, seconds: int = 40, shards: int = 4, noise: float = 0,
    still: tuple[int, ...] = (), still_lag: int = 500, after: list[Sample] | None = None,
) -> list[Sample]:  # fmt: skip
    """A sample a second: `lag` records behind at first, so many done and arriving a second, alike in all shards. The
    shards that are `still` do not move and are behind. It goes on `after` another history."""
    draw = random.Random(1)
    committed, ends = [0.0] * shards, [still_lag if n in still else lag / shards for n in range(shards)]
    begin = NOW - seconds
    if after:
        committed = [float(after[-1].committed[f"t-{n}"] or 0) for n in range(shards)]
        ends = [after[-1].ends[f"t-{n}"] + lag / shards for n in range(shards)]
        begin = after[-1].taken + 1
    samples = []
    for second in range(seconds + 1):
        samples.append(Sample(begin + second, {f"t-{n}": int(c) for n, c in enumerate(committed)},
                              {f"t-{n}": int(e) for n, e in enumerate(ends)}))  # fmt: skip
        for n in range(shards):
            ends[n] += arriving / shards * (1 + draw.uniform(-noise, noise))
            if n not in still:
                committed[n] = min(ends[n], committed[n] + done / shards * (1 + draw.uniform(-noise, noise)))
    return samples


def ago(seconds: float, **fields: Any) -> Past:
    return Past(**{"changed": NOW - seconds, **fields})


NEVER = [replace(s, committed=dict.fromkeys(s.committed)) for s in history(4000, 0, 100)]
JUMPS = [replace(s, committed={k: v // 400 * 400 for k, v in s.committed.items() if v is not None})
         for s in history(40_000, 400, 100)]  # fmt: skip
ANEW = [
    *history(9_000, 100)[:20],
    *[replace(s, ends=dict.fromkeys(s.ends, 0)) for s in history(0, seconds=20)],
]
QUIET_THEN_BURST = history(8_000, 300, seconds=8, after=history(0, seconds=31))
QUIET_THEN_FLOOD = history(40_000, 300, seconds=8, after=history(0, seconds=31))
WAITS = [replace(s, taken=NOW - 40 + n, committed=dict.fromkeys(s.committed, 0), ends=dict.fromkeys(s.ends, 9_000))
         for n, s in enumerate(history(9_000, seconds=33))]  # fmt: skip
STARTS = [*WAITS, *history(0, 300, seconds=6, after=WAITS)]
SLOW = {"slow_samples": 2}

# name, samples, workers, past, changes to LIMITS, expected workers, word of the reason
CASES: list[tuple[str, list[Sample], int, Past, dict[str, Any], int, str]] = [
    ("1. no sample: as many as there are", [], 2, LONG_AGO, {}, 2, "no sample"),
    ("2. nothing committed anywhere yet, however much waits: no data, no change", NEVER, 1, ago(99, **SLOW), {}, 1,
     "nothing is committed"),
    ("3. samples of less than 5 s say nothing", history(9_000, 50, 0, seconds=4), 1, ago(99, **SLOW), {}, 1, "too few"),
    ("4. what was before a change, and while its workers start, says nothing", history(90_000, 50), 1, ago(9, **SLOW),
     {}, 1, "too few"),
    ("5. drains in less than what is allowed: no change", history(20_000, 300), 1, ago(99, **SLOW), {}, 1, "in time"),
    ("6. takes longer, and did in the two samples before: one more", history(60_000, 300), 1, ago(99, **SLOW), {}, 2,
     "takes 160 s"),
    ("7. takes longer for the first time: looked at again", history(60_000, 300), 1, ago(99), {}, 1, "again"),
    ("8. takes longer, but there was a change just now: not yet", history(60_000, 300), 2, ago(10.8, **SLOW),
     {"cooldown_seconds": 11}, 2, "again"),
    ("9. lag that grows never drains: one more", history(20_000, 100, 200), 1, ago(99, **SLOW), {}, 2, "does not get"),
    ("10. lag that neither grows nor falls never drains either", history(20_000, 100, 100), 1, ago(99, **SLOW), {}, 2,
     "does not get less"),
    ("11. many are needed: in steps, one without being told otherwise", history(900_000, 100, 500), 1, ago(99, **SLOW),
     {}, 2, "does not get less"),
    ("12. many are needed: as many as a step allows", history(900_000, 100, 500, shards=8), 1, ago(99, **SLOW),
     {"step": 4}, 5, ""),
    ("13. no more than are needed, also where a step allows it", history(42_000, 300, 30), 1, ago(99, **SLOW),
     {"step": 4}, 2, ""),
    ("14. as many as shards: no more, and said", history(900_000, 100), 4, ago(99, **SLOW), {}, 4, "no more to add"),
    ("15. as many as allowed: no more", history(900_000, 100), 2, ago(99, **SLOW), {"max_workers": 2}, 2, "no more"),
    ("16. shards fewer than workers: at once as many as shards", history(0, shards=2), 5, ago(1), {}, 2, "2 shards"),
    ("17. fewer than the least: at once as many", history(0), 1, ago(1), {"min_workers": 3}, 3, "least"),
    ("18. the least that was asked for is more than the shards: as many as shards", history(0, shards=2), 2, LONG_AGO,
     {"min_workers": 3}, 2, "keeps up"),
    ("19. a group whose topic is empty keeps up", history(0), 1, LONG_AGO, {}, 1, "keeps up"),
    ("20. nothing comes, for as long as it has to hold: one fewer", history(0), 4,
     ago(99, fewer_since=NOW - 30, capacity=100), {}, 3, "enough"),
    ("21. nothing comes, but not yet for that long", history(0), 4, ago(99, fewer_since=NOW - 29, capacity=100), {}, 4,
     "keeps up"),
    ("22. fewer would do, but there was a change just now", history(0), 4,
     ago(10.8, fewer_since=NOW - 30, capacity=1), {"cooldown_seconds": 11}, 4, "keeps up"),
    ("23. what comes is more than fewer can do with headroom: none fewer", history(0, 250, 250), 2,
     ago(99, fewer_since=NOW - 60, capacity=300), {}, 2, "keeps up"),
    ("24. what comes is less: one fewer", history(0, 230, 230), 2, ago(99, fewer_since=NOW - 60, capacity=300), {}, 1,
     "1 can do 300"),
    ("25. never fewer than the least", history(0), 2, ago(99, fewer_since=NOW - 60), {"min_workers": 2}, 2, "keeps up"),
    ("26. nothing is known of what one can do, and records come: none fewer", history(0, 90, 90), 2,
     ago(99, fewer_since=NOW - 60), {}, 2, "keeps up"),
    ("27. it drains in time, but not with fewer in half of it: none fewer", history(39_000, 800), 2,
     ago(99, fewer_since=NOW - 60, capacity=400), {"drain_seconds": 10}, 2, "in time"),
    ("28. a burst that one can do in time: no change, though more came than was done",
     QUIET_THEN_BURST, 1, replace(LONG_AGO, changed=0, slow_samples=2), {}, 1, "in time"),
    ("29. a burst that one cannot do in time: one more", QUIET_THEN_FLOOD, 1, ago(99, **SLOW), {}, 2, "to drain"),
    ("30. noise: what has just arrived is not behind", history(100, 1000, 1000, noise=0.5), 1, ago(99, **SLOW), {}, 1,
     ""),
    ("31. commits in jumps, as of batches, are rates all the same", JUMPS, 1, ago(99, **SLOW), {}, 2, "to drain"),
    ("32. rates of zero, all shards behind: none moves, so more would not help", history(9_000), 2, ago(99, **SLOW), {},
     2, "no shard moves"),
    ("33. one shard stuck, the others caught up: no change", history(0, 100, 100, still=(2,)), 1, ago(99, **SLOW),
     {}, 1, "keeps up"),
    ("34. one shard stuck with a mountain, the others drain in time: no change",
     history(20_000, 300, still=(2,), still_lag=900_000), 1, ago(99, **SLOW), {}, 1, "in time"),
    ("35. one shard stuck, the others do not drain in time: one more, for them", history(60_000, 300, still=(2,)), 1,
     ago(99, **SLOW), {}, 2, "to drain"),
    ("36. a stuck shard does not keep workers that nothing needs", history(0, still=(0,), still_lag=900_000), 3,
     ago(99, fewer_since=NOW - 60, capacity=100), {}, 2, "enough"),
    ("37. a shard that has only just stopped is left out already, if not called stuck",
     [*history(20_000, 300)[:35], *history(0, 300, still=(1,), seconds=5, after=history(20_000, 300)[:35])], 1,
     ago(99, **SLOW), {}, 1, "in time"),
    ("38. offsets that went back are no rate below zero", history(9_000, -100), 1, ago(99, **SLOW), {}, 1, "in time"),
    ("39. a topic that was made anew: nothing behind, no rate below zero", ANEW, 1, ago(99, **SLOW), {}, 1, "keeps up"),
    ("40. workers that take long to begin: measured from when they do", STARTS, 1, ago(40, **SLOW), {}, 2, "done"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "workers", "past", "limits", "expected", "word"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_decide(
    samples: list[Sample], workers: int, past: Past, limits: dict[str, Any], expected: int, word: str
) -> None:
    found = decide(samples, workers, past, replace(LIMITS, **limits))
    assert (found.workers, word if word in found.reason else found.reason) == (expected, word)
    if found.workers != workers and samples:
        assert found.past.changed == samples[-1].taken


@pytest.mark.parametrize(
    ("still", "seconds", "stuck"),
    [((2,), 40, ("t-2",)), ((2,), 29, ()), ((), 40, ()), ((0, 1, 2, 3), 40, ("t-0", "t-1", "t-2", "t-3"))],
)
def test_a_shard_is_called_stuck_after_its_time(still: tuple[int, ...], seconds: int, stuck: tuple[str, ...]) -> None:
    assert decide(history(40_000, 300, seconds=seconds, still=still), 1, LONG_AGO, LIMITS).stuck == stuck


def simulate(arriving: Any, capacity: float, seconds: int, limits: Limits = LIMITS) -> list[int]:
    """Workers, second by second; those that are new begin to work after 4 s."""
    draw = random.Random(2)
    workers, working_from = 1, 4.0
    past = Past(changed=0.0)
    committed, ends = [0.0] * 8, [0.0] * 8
    samples: list[Sample] = []
    counts = []
    for second in range(seconds):
        now = float(second)
        samples = [*samples[-90:], Sample(now, {f"t-{n}": int(c) for n, c in enumerate(committed)},
                                          {f"t-{n}": int(e) for n, e in enumerate(ends)})]  # fmt: skip
        found = decide(samples, workers, past, limits)
        if found.workers > workers:
            working_from = now + 4
        workers, past = found.workers, found.past
        counts.append(workers)
        able = (workers if now >= working_from else workers - 1) * capacity * draw.uniform(0.8, 1.2)
        for n in range(8):
            ends[n] += arriving(second) / 8 * draw.uniform(0.7, 1.3)
            done = min(ends[n] - committed[n], able / 8 * draw.uniform(0.8, 1.2))
            committed[n] += done
    return counts


def changes(counts: list[int]) -> int:
    return sum(one != following for one, following in pairwise(counts))


def test_steady_load_is_left_alone_for_hours() -> None:
    assert set(simulate(lambda _: 70, 100, 4 * 3600)) == {1}


@pytest.mark.parametrize("load", [95, 130, 199, 250, 330, 555])
def test_a_load_finds_its_number_and_stays_there(load: int) -> None:
    counts = simulate(lambda _: load, 100, 3600)
    assert counts[-1] >= load // 100
    assert changes(counts) <= load // 100 + 4
    assert changes(counts[1200:]) == 0


def test_a_burst_brings_workers_and_they_go_again() -> None:
    counts = simulate(lambda second: 2_000 if 60 <= second < 90 else 50, 100, 1200)
    assert max(counts) > 3
    assert counts[-1] == 1
    top = counts.index(max(counts))
    assert counts[:top] == sorted(counts[:top])
    assert counts[top:] == sorted(counts[top:], reverse=True)
