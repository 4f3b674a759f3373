"""Where a shard is read from: its committed offset where that can be, else an initial position. Pure.

The positions are those of Kinesis' GetShardIterator. A committed offset wins over them, as a checkpoint does there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from shardlake.counted import counted
from shardlake.errors import BadInput
from shardlake.position import Bounds, Position


class Kind(StrEnum):
    """The kinds of initial positions."""

    TRIM_HORIZON = "TRIM_HORIZON"
    """The first record that is still there."""
    LATEST = "LATEST"
    """What comes from now on."""
    AT_TIMESTAMP = "AT_TIMESTAMP"
    """The first record that arrived then or later."""
    AFTER_SEQUENCE_NUMBER = "AFTER_SEQUENCE_NUMBER"
    """The record after the one that is named, for each shard."""


@dataclass(frozen=True, slots=True)
class InitialPosition:
    """`since_ms` for AT_TIMESTAMP; `after` by partition for AFTER_SEQUENCE_NUMBER, where the shards that it does not
    name are read from their TRIM_HORIZON."""

    kind: Kind = Kind.TRIM_HORIZON
    since_ms: int | None = None
    after: tuple[tuple[int, int], ...] = ()

    @classmethod
    def read(cls, text: str, topic: str) -> InitialPosition:
        """`TRIM_HORIZON`, `LATEST`, `AT_TIMESTAMP=2026-11-25T10:00:00Z`, or `AFTER_SEQUENCE_NUMBER=topic-0:41,…`.

        A time without an offset is UTC. Raises BadInput.
        """
        name, _, rest = text.partition("=")
        try:
            kind = Kind(name.upper().replace("-", "_"))
        except ValueError:
            raise BadInput(f"There is no initial position {name!r}.", f"They are: {', '.join(Kind)}.") from None
        if kind in (Kind.TRIM_HORIZON, Kind.LATEST):
            if rest:
                raise BadInput(f"{kind} takes no value, and was given {rest!r}.")
            return cls(kind)
        if kind is Kind.AT_TIMESTAMP:
            return cls(kind, since_ms=milliseconds(rest))
        form = re.compile(rf"{re.escape(topic)}-([0-9]{{1,9}}):([0-9]{{1,18}})")
        found = [form.fullmatch(part.strip()) for part in rest.split(",")]
        if not all(found):
            msg = f"{rest!r} names no sequence numbers."
            raise BadInput(msg, f"Write them as AFTER_SEQUENCE_NUMBER={topic}-0:41,{topic}-1:17.")
        return cls(kind, after=tuple((int(one[1]), int(one[2])) for one in found if one))


@dataclass(frozen=True, slots=True)
class Found:
    """What the broker says of a partition. `end` is its last stable offset, `high` its high watermark, None where that
    is no other; `at_time` is the offset for AT_TIMESTAMP, the end where there is none."""

    first: int
    end: int
    committed: int | None = None
    at_time: int | None = None
    high: int | None = None


def start(found: Found, position: InitialPosition, partition: int) -> tuple[int, str]:
    """The offset to read from, and what must be told because records are passed over or come again; '' if nothing."""
    committed = found.committed
    if committed is not None:
        high = found.end if found.high is None else found.high
        reached = Position(Bounds(found.first, found.end, high), committed)
        if reached.lost:
            gone = f"{counted(reached.lost, 'record')}, {committed:,} to {found.first - 1:,}"
            return found.first, f"{gone}, went by retention before they were read"
        if reached.is_ahead:
            text = (
                f"{committed:,} is committed, and the topic ends at {high:,}: it was made anew or has lost records; "
                f"all that is there, from {found.first:,} on, is read"
            )
            return found.first, text
        return committed, ""
    if position.kind is Kind.LATEST:
        return found.end, ""
    if position.kind is Kind.AT_TIMESTAMP and found.at_time is not None:
        return min(max(found.at_time, found.first), found.end), ""
    wanted = dict(position.after).get(partition)
    if wanted is None:
        return found.first, ""
    if not found.first - 1 <= wanted < max(found.end, found.first):
        there = f"only {found.first:,} to {found.end - 1:,}"
        return found.first, f"sequence number {wanted:,} is not there, {there}; it starts with the first"
    return wanted + 1, ""


def milliseconds(text: str) -> int:
    """Since 1970, of an ISO 8601 time; without an offset it is UTC. Raises BadInput."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text!r} is no time.", "Write it as 2026-11-25T10:00:00Z.") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
