"""What is to be thought of a group in a partition: Burrow's statuses and rules, by what samples can show.

Burrow (its wiki, Consumer Lag Evaluation Rules) reads when each commit was made. Samples see when a committed offset
moved, and tell a STALL from a STOP by who holds the partition, or renews its lease. To these comes what offsets alone
say: nothing was ever committed, retention took what was not read, the topic was made anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from shardlake.counted import counted
from shardlake.lag.track import Track
from shardlake.position import Position

LEAST_WINDOW_SECONDS = 20
MOST_WINDOW_SECONDS = 600
BLIND_SECONDS = 60
"""One that was never seen to move is judged only after so long: who commits seldom is not known yet."""
GAPS = 3
"""Who takes so many times as long as usual to move does not move: a Flink job commits at its checkpoints alone."""
WARN_SECONDS = 60
HOT_RATIO = 4
HOT_RECORDS = 100
HOT_SECONDS = 10


class Status(StrEnum):
    """As in Burrow, and more."""

    OK = "OK"
    WARN = "WARN"
    """It moves, and its lag has not fallen for a minute; or a transaction has held it back for as long."""
    STALL = "STALL"
    """Somebody holds it, and it does not move."""
    STOP = "STOP"
    """Nobody holds it, and it does not move."""
    REWIND = "REWIND"
    """It went back, and has not caught up with where it was."""
    NOT_STARTED = "NOT_STARTED"
    """Nothing is committed. That is no lag of 0: everything there waits."""
    LOST = "LOST"
    """Committed before the first record that is still there: what lay between is gone unread."""
    AHEAD = "AHEAD"
    """Committed after the high watermark: the topic was made anew, or cut."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status, and why in words."""

    status: Status
    reason: str


def judge(
    track: Track, now_ms: float, is_held: bool, is_empty: bool = False, open_since_ms: float | None = None
) -> Verdict:
    """`is_held` is whether a member of the group has the partition; `is_empty` whether what lies between the committed
    offset and the end is known to hold no record: a transaction's marker has an offset too. `open_since_ms` is when the
    transaction began that holds records back, where one does and that is known."""
    position = track.position
    if track.committed is None:
        expired = (
            "its commit is gone: it expired, or was deleted" if track.was_committed else "nothing was committed yet"
        )
        return Verdict(Status.NOT_STARTED, f"{expired}; {_waiting(track)}")
    if position.is_ahead:
        ahead = f"committed {track.committed:,}, and the topic ends at {position.bounds.high:,}: was it made anew?"
        return Verdict(Status.AHEAD, ahead)
    if position.lost:
        return Verdict(Status.LOST, f"{counted(position.lost, 'offset')} went with retention before any was read")
    if track.behind_since_ms is None or is_empty:
        return _caught_up(position, now_ms, open_since_ms)
    still_ms = now_ms - max(track.moved_ms or track.behind_since_ms, track.behind_since_ms)
    if still_ms >= 1000 * window_seconds(track):
        renewed = track.renewed_ms is not None and now_ms - track.renewed_ms < 1000 * LEAST_WINDOW_SECONDS
        words = f"has not moved for {still_ms / 1000:,.0f} s, {_waiting(track)}"
        if renewed or is_held:
            return Verdict(Status.STALL, f"{words}; its worker is there")
        return Verdict(Status.STOP, f"{words}; nobody holds it")
    if track.rewound_from is not None:
        words = f"went back from {track.rewound_from:,}, is at {track.committed:,}"
        return Verdict(Status.REWIND, words)
    if now_ms - track.lag_fell_ms >= 1000 * WARN_SECONDS and track.lag > _lag_at(track, now_ms - 1000 * WARN_SECONDS):
        return Verdict(Status.WARN, f"its lag has not fallen for {(now_ms - track.lag_fell_ms) / 1000:,.0f} s")
    return Verdict(Status.OK, "it moves")


def _caught_up(position: Position, now_ms: float, open_since_ms: float | None) -> Verdict:
    if not position.held_back:
        also = ", with records that are not committed yet" if position.reads_uncommitted else ""
        return Verdict(Status.OK, f"caught up{also}")
    words = f"{position.held_back:,} behind the end, and all that is committed is read: a transaction "
    if open_since_ms is None:
        return Verdict(Status.OK, f"{words}is open")
    since = datetime.fromtimestamp(open_since_ms / 1000, UTC)
    status = Status.WARN if now_ms - open_since_ms >= 1000 * WARN_SECONDS else Status.OK
    return Verdict(status, f"{words}has been open since {since:%Y-%m-%d %H:%M:%S} UTC")


def window_seconds(track: Track) -> float:
    """How long a shard with records waiting may stand still."""
    if not track.gaps_ms:
        return BLIND_SECONDS
    return min(max(GAPS * max(track.gaps_ms) / 1000, LEAST_WINDOW_SECONDS), MOST_WINDOW_SECONDS)


def drain_seconds(track: Track, now_ms: float) -> float | None:
    """Until nothing waits, if both go on as in the last minute; infinite where it does not get less, None where too
    little was seen."""
    if track.committed is None:
        return None
    if not track.lag:
        return 0.0
    rates = track.rates(now_ms)
    if rates is None:
        return None
    faster = rates.committed - rates.arrived
    return track.lag / faster if faster > 0 else math.inf


def hot(shards: list[tuple[int, float | None]]) -> tuple[int, float] | None:
    """Of a group's shards in one topic, as (lag in records, iterator age in seconds): which one hides in the sum, and
    how many times the mean of the others it is behind; None where there is none.

    Hot is who has four times the lag of the others, waits for ten seconds and has a hundred records waiting.
    """
    if len(shards) < 2:
        return None
    index = max(range(len(shards)), key=lambda number: shards[number][0])
    lag, age_seconds = shards[index]
    others = (sum(one for one, _ in shards) - lag) / (len(shards) - 1)
    if lag < HOT_RECORDS or age_seconds is None or age_seconds < HOT_SECONDS or lag < HOT_RATIO * others:
        return None
    return index, lag / max(others, 1.0)


def _waiting(track: Track) -> str:
    return counted(track.lag, "record waits", "records wait")


def _lag_at(track: Track, time_ms: float) -> float:
    _, committed, end = track.at(time_ms)
    return end - committed
