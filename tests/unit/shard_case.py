"""A shard with real lanes and a dead-letter topic that is made up, looked after as a worker does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from shardlake.shards.contract import Contract, Failure
from shardlake.shards.dead_letters import Source
from shardlake.shards.feed import Options
from shardlake.shards.handler import Consumer, LaneHandler
from shardlake.shards.shard import Shard
from tests.support import wait_for


class Buried:
    """A dead-letter topic that takes all, or nothing while `down`."""

    def __init__(self) -> None:
        self.down = False
        self.letters: dict[int, Failure] = {}

    def send(self, _: Source, one: Any, failure: Failure, stopping: Callable[[], bool]) -> bool:
        while self.down:
            if stopping():
                return False
            time.sleep(0.01)
        self.letters[one.offset()] = failure
        return True


class ShardCase:
    """A shard of a consumer."""

    def __init__(
        self,
        consumer: Consumer,
        make_handler: Callable[[Consumer, str, Callable[[int], None]], LaneHandler],
        factor: int,
        **contract: Any,
    ) -> None:
        self.said: list[str] = []
        self.buried = Buried()
        self.shard = Shard(
            "t-0",
            Source("t", 0),
            0,
            consumer,
            Options(
                make_handler=make_handler, contract=Contract(**{"backoff_seconds": 0.01, **contract}), factor=factor
            ),
            self.buried,  # type: ignore[arg-type]
            self.said.append,
        )

    def settles(self) -> int:
        """The position when nothing is open. Raises what would end the worker."""

        def quiet() -> bool:
            self.shard.look_after_lanes(time.monotonic())
            if self.shard.error:
                raise self.shard.error
            return not self.shard.in_flight

        wait_for(quiet, "all to be done")
        return self.shard.position

    def end(self, seconds: float = 2) -> bool:
        """Whether all lanes have ended in time."""
        self.shard.request_end()
        return self.shard.await_end(seconds)
