"""A clock that moves when it is told to, or when somebody sleeps."""

from __future__ import annotations

from dataclasses import dataclass, field

from shardlake.patience import STILL_SECONDS, Patience


@dataclass
class Clock:
    now: float = 0.0
    stretch: float = 1.0
    said: list[str] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def patience(self, still_seconds: float = STILL_SECONDS) -> Patience:
        return Patience(
            self.said.append,
            still_seconds=still_seconds,
            clock=lambda: self.now,
            sleep=self.sleep,
            stretched=lambda: self.stretch,
        )
