"""One shard that a worker holds: its lanes begin, hang, end, and take over from one another.

working ──► done ──► idle          a lane whose handler answers
   │
   └─ too long ──► given up        its task goes on in a new lane, with the failure as the reply
"""

from __future__ import annotations

import time

from shardlake.errors import ShardlakeError
from shardlake.shards.contract import Failure, Reply
from shardlake.shards.dead_letters import DeadLetters, Source
from shardlake.shards.feed import Feed, Options, Say
from shardlake.shards.handler import Consumer, Form
from shardlake.shards.lane import Lane

HUNG_LANES = 8
"""The most threads that may hang in a handler. The worker ends when more do, since only its end frees them."""
HUNG = "Give the handler time limits of its own, or use --lanes process, where a lane that hangs is killed."


class Shard(Feed):
    """A feed with its lanes. The worker's thread starts, watches and ends the lanes."""

    def __init__(
        self, shard_id: str, source: Source, position: int, consumer: Consumer, options: Options,
        dead_letters: DeadLetters | None, say: Say,
    ) -> None:  # fmt: skip
        """Start the lanes. `position` is the offset of the next record."""
        super().__init__(shard_id, source, position, consumer, options, dead_letters, say)
        self._hung: list[Lane] = []
        self._seen: dict[Lane, tuple[tuple[int, int], float]] = {}
        self.lanes: list[Lane] = [Lane(self, self._consumer) for _ in range(self.options.factor)]

    def look_after_lanes(self, now: float) -> None:
        """Give up each lane whose handler takes too long, and start a lane that continues its work."""
        limit = self.options.contract.timeout_seconds
        if limit is None:
            return
        for lane in list(self.lanes):
            at = (lane.calls, lane.handler.done.value)
            before = self._seen.get(lane)
            if lane.working is None or before is None or before[0] != at:
                self._seen[lane] = at, now
            elif now - before[1] > limit:
                self._time_out(lane, limit)

    def request_end(self, *, lost: bool = False) -> None:
        """Let the lanes finish every record up to the last one begun, so that all of these records can be committed.

        Where the shard is `lost`, nothing can be committed any more, and lanes begin no record.
        """
        stop_from = 0
        if not lost:
            # Called twice, because lanes go on until the first call has told all of them.
            for _ in range(2):
                stop_from = max(stop_from, 1 + max(lane.begun() for lane in self.lanes))
                for lane in self.lanes:
                    lane.end(stop_from)
        self.end_from(stop_from)
        if lost:
            for lane in self.lanes:
                lane.lose()

    @property
    def is_busy(self) -> bool:
        """Tell whether a lane has not ended yet."""
        return not all(lane.ended(0) for lane in self.lanes)

    def await_end(self, seconds: float) -> bool:
        """Wait up to `seconds` for the lanes to end, give up the others, and tell whether all had ended in time."""
        deadline = time.monotonic() + seconds
        slow = [lane for lane in self.lanes if not lane.ended(max(0.0, deadline - time.monotonic()))]
        for lane in slow:
            lane.give_up()
        for lane in (*self.lanes, *self._hung):
            lane.handler.kill()
        return not slow

    def _time_out(self, lane: Lane, limit: float) -> None:
        if (working := lane.give_up()) is None:  # it has come back at the last moment
            return
        done = lane.handler.done.value
        # Who takes one record at a time has told how far it is.
        blames = self._consumer.form is Form.RECORD or len(working.unit.messages) == 1
        failure = Failure("HandlerTimeout", f"the handler took more than {limit:g} s")
        self.lanes.remove(lane)
        self._seen.pop(lane, None)
        self._hung = [one for one in (*self._hung, lane) if not one.ended(0)]
        if len(self._hung) > HUNG_LANES:
            self.fail(ShardlakeError(f"{self.shard_id}: {len(self._hung)} handlers hang, and cannot be ended.", HUNG))
            return
        self.lanes.append(Lane(self, self._consumer, (lane, working, Reply(done, error=failure, blames=blames))))
