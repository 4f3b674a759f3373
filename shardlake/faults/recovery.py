"""When a fault is over, asked of the broker alone: when what was in the topic at the heal has been dealt with.

jobs       their group has committed it: it is checkpointed, and so seen in the lake or among the dead letters
consumers  their group has committed it
producers  the topic has more than at the heal
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shardlake import topics
from shardlake.errors import Unavailable

POLL_SECONDS = 0.2
STUCK_SECONDS = 120
"""What takes longer is stuck."""

Offsets = Mapping[int, int]
"""By partition, one past the last record."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from the fault and from its heal until it was over; the topic's ends at the heal, and when it was
    over."""

    fault_seconds: float
    heal_seconds: float
    healed_ends: Offsets
    ends: Offsets


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a topic, and the groups that read it, are. Every question may find the broker away, and gets None."""

    bootstrap_servers: str
    topic: str

    def ends(self) -> Offsets | None:
        """One past the last record of each partition."""
        try:
            return {p: end for p, (_, end) in topics.offsets(self.bootstrap_servers, self.topic).items()}
        except Unavailable:
            return None

    def is_past(self, group: str | None, wanted: Offsets) -> bool:
        """Whether the group has committed all of `wanted`; without a group, whether the topic has more."""
        if group is None:
            ends = self.ends()
            return ends is not None and sum(ends.values()) > sum(wanted.values())
        try:
            return topics.covers(topics.committed(self.bootstrap_servers, group, self.topic), wanted)
        except Unavailable:
            return False


def rate(before: Offsets, after: Offsets, seconds: float) -> float:
    """Records a second that came in between."""
    return (sum(after.values()) - sum(before.values())) / max(seconds, 0.001)


def await_recovery(
    progress: Progress,
    group: str | None,
    wanted: Offsets | None,
    faulted: float,
    healed: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> Recovery | None:
    """Wait until a fault is over, which came and was healed at these times of `time.monotonic`; None where it is stuck.

    `wanted` are the topic's ends at the heal; None where the broker was not there to tell. `meanwhile` is called
    between two looks.
    """
    while time.monotonic() - healed < STUCK_SECONDS:
        wanted = wanted or progress.ends()
        if wanted is not None and progress.is_past(group, wanted):
            now = time.monotonic()
            return Recovery(now - faulted, now - healed, wanted, progress.ends() or wanted)
        meanwhile()
        time.sleep(POLL_SECONDS)
    return None
