"""A group in a partition as it is told of: how far behind, since when, held by whom."""

from __future__ import annotations

from shardlake.lag.answers import NOBODY, Member
from shardlake.lag.reader import Measurement
from shardlake.lag.status import Verdict, drain_seconds, judge
from shardlake.lag.track import Track

NOT_STARTED_LAG = -1


class Shard:
    """Kept from sample to sample. All ages are in seconds, at `now_ms`, the time of the last sample."""

    __slots__ = (
        "exported", "group", "interpolated_ms", "labels", "measured", "now_ms", "open_since_ms", "owner",
        "partition", "records", "topic", "track",
    )  # fmt: skip

    def __init__(self, group: str, topic: str, partition: int, track: Track) -> None:
        self.group, self.topic, self.partition = group, topic, partition
        self.track = track
        self.owner: Member = NOBODY
        self.measured: Measurement | None = None
        """Of the record that waits, or of one that waited before it."""
        self.interpolated_ms: float | None = None
        """When the record that waits arrived, by the samples; None where they do not tell."""
        self.open_since_ms: float | None = None
        """When the transaction that holds records back began to write; None where there is none, or it is not known."""
        self.now_ms = track.seen_ms
        self.labels: tuple[Member, tuple[str, str, str]] | None = None
        """For the exporter, which writes them again and again."""
        self.count()

    @property
    def waiting(self) -> int:
        """The offset of the first record that waits, if any does."""
        return self.track.position.next

    @property
    def has_started(self) -> bool:
        """Whether it has ever committed anything that is still known."""
        return self.track.committed is not None

    @property
    def is_empty(self) -> bool:
        """Whether what lies before the end is known to hold no record, only markers of transactions."""
        found = self.measured
        return found is not None and found.is_empty and (found.offset, found.end) == (self.waiting, self.track.end)

    def count(self) -> None:
        """What has changed changes the records behind."""
        self.records = 0 if self.is_empty else self.track.lag
        """Records behind; what has not started is behind by all there are."""
        is_ahead = self.track.position.is_ahead
        self.exported = None if is_ahead else self.records if self.has_started else NOT_STARTED_LAG
        """The same as the exporter shows it: -1 where the group has not started, never 0; None if it is not known, as
        where more is committed than there is."""

    @property
    def held_back(self) -> int:
        """Offsets behind an open transaction, which the group may not read yet."""
        return self.track.position.held_back

    @property
    def open_seconds(self) -> float | None:
        """How long that transaction has been open; None where there is none, or it is not known."""
        return None if self.open_since_ms is None else max(0.0, (self.now_ms - self.open_since_ms) / 1000)

    @property
    def is_measured(self) -> bool:
        """Whether what was measured is the record that waits now."""
        return self.measured is not None and self.measured.offset == self.waiting

    @property
    def measured_seconds(self) -> float | None:
        """Iterator age by the arrival of the record that was read: as of now if it is the one that waits, else as it
        was then."""
        found = self.measured
        if self._nothing_waits:
            return self._rest_seconds
        if found is None or found.arrival_ms is None:
            return None
        return max(0.0, ((self.now_ms if self.is_measured else found.taken_ms) - found.arrival_ms) / 1000)

    @property
    def measured_age_seconds(self) -> float:
        """How long ago that was so: 0 for what is so now."""
        if self.measured is None or self.is_measured or not self.records:
            return 0.0
        return max(0.0, (self.now_ms - self.measured.taken_ms) / 1000)

    @property
    def interpolated_seconds(self) -> float | None:
        """Iterator age by the end offsets at samples before and after the record's arrival."""
        if self._nothing_waits:
            return self._rest_seconds
        if self.interpolated_ms is None:
            return None
        return max(0.0, (self.now_ms - self.interpolated_ms) / 1000)

    @property
    def seconds(self) -> float | None:
        """Iterator age: how long the first record that waits has been waiting; 0 when caught up, None if unknown.

        Measured, if the record was read that waits now; else interpolated; else what it was, when it was measured."""
        if self.is_measured or not self.records:
            found = self.measured_seconds
            return self.interpolated_seconds if found is None else found
        found = self.interpolated_seconds
        return self.measured_seconds if found is None else found

    @property
    def _nothing_waits(self) -> bool:
        return not self.records and self.has_started

    @property
    def _rest_seconds(self) -> float | None:
        """Every time of a shard where nothing waits: none can be told where more is committed than there is."""
        return None if self.track.position.is_ahead else 0.0

    @property
    def verdict(self) -> Verdict:
        """Its status, and why."""
        return judge(self.track, self.now_ms, self.owner is not NOBODY, self.is_empty, self.open_since_ms)

    @property
    def drain_seconds(self) -> float | None:
        """Until nothing waits; infinite where it does not get less, None if unknown."""
        if self._nothing_waits:
            return self._rest_seconds
        return drain_seconds(self.track, self.now_ms)

    def retention_risk(self, retention_ms: int | None) -> float | None:
        """Iterator age / retention time: at 1 the record goes unread. None if unknown, or if nothing goes by time."""
        seconds = self.seconds
        return None if seconds is None or not retention_ms else 1000 * seconds / retention_ms
