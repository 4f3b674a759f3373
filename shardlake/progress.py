"""Signs of progress: processes that work or want to, and logs that say something new. See `patience`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOK_SECONDS = 5.0
WORKS = 0.1
"""Of a processor: a broker or a Flink that idles takes 3 to 7 %."""
WAITS = 0.8
"""Of a processor, had and waited for: a thread that is able to run all the time has 1, whatever it gets. Where the
machine is busy, idle ones wait too whenever they wake, for up to 0.45 in sum."""
READ_BYTES = 1 << 20
LONGEST_MEMORY = 100_000
_TELLS_APART = re.compile(rb"\S*\d\S*")
"""Times, counts, ids: what differs between two rounds of one loop."""


@dataclass(frozen=True, slots=True)
class Use:
    """Seconds of a processor that somebody has had, and has waited for one while able to run."""

    ran: float
    waited: float = 0.0


Uses = Mapping[tuple[Hashable, Hashable], Use]
"""By who, and which thread or other part of it."""


class Work:
    """Counts the looks at which one of several had worked since the look before, or had waited for a processor."""

    def __init__(
        self,
        measure: Callable[[], Uses],
        *,
        every_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`measure` gives the use of each part since it began."""
        self._measure, self._every, self._clock = measure, every_seconds, clock
        self._count = 0
        self._at: float | None = None
        self._before: Uses = {}

    def count(self) -> int:
        """Looks with work so far; it looks where `every_seconds` have passed since the last time."""
        now = self._clock()
        if self._at is not None and now - self._at < self._every:
            return self._count
        found = self._measure()
        if self._at is not None:
            self._count += any(self._is_work(use, now - self._at) for use in self._since(found))
        self._at, self._before = now, found
        return self._count

    def _since(self, found: Uses) -> Iterable[Use]:
        """The use of each since the look before, over its parts; a part that has ended takes nothing back."""
        sums: dict[Hashable, Use] = {}
        for (who, part), use in found.items():
            before, so_far = self._before.get((who, part), Use(0.0)), sums.get(who, Use(0.0))
            ran, waited = max(0.0, use.ran - before.ran), max(0.0, use.waited - before.waited)
            sums[who] = Use(so_far.ran + ran, so_far.waited + waited)
        return sums.values()

    def _is_work(self, use: Use, seconds: float) -> bool:
        return use.ran > WORKS * seconds or use.ran + use.waited > WAITS * seconds


def of_processes(pids: Iterable[int]) -> Uses:
    """The use of each thread of these processes and of their descendants; those that are gone are left out."""
    found: dict[tuple[Hashable, Hashable], Use] = {}
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                with suppress(OSError, psutil.Error):
                    found |= _of_threads(one)
    return found


def _of_threads(process: psutil.Process) -> dict[tuple[Hashable, Hashable], Use]:
    use: dict[tuple[Hashable, Hashable], Use] = {}
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        with suppress(ProcessLookupError, FileNotFoundError):
            ran, waited, _ = (thread / "schedstat").read_text().split()
            use[process.pid, thread.name] = Use(int(ran) / 1e9, int(waited) / 1e9)
    if use:
        return use
    # A kernel that does not count the waits.
    return {(process.pid, thread.id): Use(thread.user_time + thread.system_time) for thread in process.threads()}


class Lines:
    """Counts lines that were not there before, whatever their numbers: a loop that goes round says nothing new."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def count(self, lines: Iterable[bytes]) -> int:
        """Different lines so far, with these."""
        if len(self._seen) < LONGEST_MEMORY:
            self._seen |= {_TELLS_APART.sub(b"", line).strip() for line in lines}
        return len(self._seen)


class Logs:
    """What is new in log files that grow."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._read = dict.fromkeys(paths, 0)
        self._lines = Lines()

    def count(self) -> int:
        """Different lines so far, in all of them."""
        lines: list[bytes] = []
        for path, begin in self._read.items():
            with suppress(OSError), path.open("rb") as file:
                file.seek(begin)
                whole, newline, _ = file.read(READ_BYTES).rpartition(b"\n")
                lines += whole.splitlines()
                self._read[path] = begin + len(whole) + len(newline)
        return self._lines.count(lines)
