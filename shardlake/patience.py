"""How long a command waits: as long as something moves, and a while longer.

No limit is set on the whole wait, because a slow or busy machine would decide it. Whoever waits looks at signs of
progress; a sign that was not there before in this wait is progress. The wait ends where STILL_SECONDS pass without any:
on a machine that has more to do than processors to do it with, so many times as long, unless it is seen who starves.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from shardlake.errors import Unavailable
from shardlake.terminal import LINE, visible

STILL_SECONDS = 60.0
SAY_EVERY_SECONDS = 10.0
SAID = "waiting for "
"""Each line that tells of a wait begins so."""
LONGEST_STRETCH = 5.0
BLIND_SECONDS = 35.0
"""A look that comes later than this after the one before was late itself: the machine slept, or whoever looks was
stopped. Only so much of the time in between counts. Longer than a request may take."""
LATE = re.compile(r"\btimed? ?out\b", re.IGNORECASE)
"""How the clients of Kafka and S3 say that a server is there and did not answer in time."""
SOON_SECONDS, LATER_SECONDS = 0.05, 0.5
T = TypeVar("T")


def to_stderr(line: str) -> None:
    """Write a line for people, whatever standard output is used for."""
    sys.stderr.write(f"{visible(line, LINE)}\n")
    sys.stderr.flush()


def stretch() -> float:
    """How many times as long everything takes here: what wants to run, for each processor; at least 1."""
    return max(1.0, min(LONGEST_STRETCH, os.getloadavg()[0] / len(os.sched_getaffinity(0))))


def in_sight() -> float:
    """1, for who sees the processes that are waited for: that they starve is progress, and needs no more time."""
    return 1.0


class Patience:
    """One wait. Not for several threads."""

    def __init__(
        self,
        say: Callable[[str], None] = to_stderr,
        *,
        still_seconds: float = STILL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        stretched: Callable[[], float] = stretch,
    ) -> None:
        """The wait begins now. `still_seconds` may pass without progress; `clock` counts seconds."""
        self._say, self.clock, self._sleep, self._stretched = say, clock, sleep, stretched
        self._limit = still_seconds
        self._began = self._looked = self._moved = self._said = clock()
        self._still = 0.0
        self._seen: set[Hashable] = set()

    @property
    def still_for(self) -> str:
        """How long nothing has moved, in words: `62 s`."""
        return f"{self.clock() - self._moved:.0f} s"

    @property
    def is_long(self) -> bool:
        """Tell whether the wait has lasted for SAY_EVERY_SECONDS. A shorter wait needs no costly signs of progress."""
        return self.clock() - self._began >= SAY_EVERY_SECONDS

    def goes_on(self, waited_for: str, *signs: Hashable) -> bool:
        """Whether to look again: then a moment has passed when this returns. A sign that is new is progress.

        `waited_for` is said every SAY_EVERY_SECONDS, and not before so much has passed.
        """
        now = self.clock()
        new = set(signs) - self._seen
        if new:
            self._seen |= new
            self._moved, self._still = now, 0.0
        else:
            self._still += min(now - self._looked, BLIND_SECONDS) / self._stretched()
        self._looked = now
        if self._still >= self._limit:
            return False
        if now - self._said >= SAY_EVERY_SECONDS:
            self._said = now
            still = now - self._moved
            quiet = f", nothing new for {still:.0f} s" if still >= SAY_EVERY_SECONDS else ""
            self._say(f"{SAID}{waited_for} ({now - self._began:.0f} s{quiet})")
        self._sleep(LATER_SECONDS if self.is_long else SOON_SECONDS)
        return True


def insist(
    ask: Callable[[], T],
    waited_for: str,
    patience: Patience,
    signs: Callable[[], Hashable] = lambda: None,
    passes: Callable[[Unavailable], bool] = lambda _: True,
) -> T:
    """The answer of servers that are known to be there and may be too busy to give it at once.

    Raises Unavailable where it does not come and `signs` no longer change, and at once where it is an error that does
    not pass.
    """
    while True:
        try:
            return ask()
        except Unavailable as error:
            if not passes(error) or not patience.goes_on(waited_for, signs()):
                raise


def patiently(ask: Callable[[], T], whose: str) -> T:
    """An answer that may come late. Raises Unavailable at once where a server refuses: then it is not there."""
    return insist(ask, f"an answer of {whose}", Patience(), passes=lambda error: bool(LATE.search(error.message)))
