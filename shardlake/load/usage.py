"""What the processes of each role take: CPU by the kernel's own count, children with them, and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import psutil

PRODUCERS, CONSUMERS, MEASURING = "producers", "consumers", "measuring"


class Meter:
    """CPU-seconds since the begin, by role; what a process took before it ended stays counted up to the last look."""

    def __init__(self, roles: Mapping[str, Callable[[], Iterable[int]]]) -> None:
        """By role, the processes that it has at the moment; their children are counted with them, but for those that an
        earlier role has: whoever measures has started most of the others."""
        self._roles = roles
        self._seen: dict[str, dict[tuple[int, float], float]] = {role: {} for role in roles}
        self.processes: dict[str, int] = {}
        self.most_processes: dict[str, int] = dict.fromkeys(roles, 0)
        self.memory_mb: dict[str, float] = {}
        self.max_memory_mb: dict[str, float] = dict.fromkeys(roles, 0.0)

    def look(self) -> dict[str, float]:
        """CPU-seconds of each role's processes over their lives, up to now."""
        taken: set[int] = set()
        for role, pids in self._roles.items():
            seen, memory_bytes, count = self._seen[role], 0, 0
            for process in _families(pids()):
                if process.pid in taken:
                    continue
                taken.add(process.pid)
                try:
                    with process.oneshot():
                        times = process.cpu_times()
                        seen[process.pid, process.create_time()] = times.user + times.system
                        memory_bytes += process.memory_info().rss
                        count += 1
                except psutil.NoSuchProcess:
                    continue
            self.processes[role] = count
            self.most_processes[role] = max(self.most_processes[role], count)
            self.memory_mb[role] = memory_bytes / 1e6
            self.max_memory_mb[role] = max(self.max_memory_mb[role], memory_bytes / 1e6)
        return {role: sum(seen.values()) for role, seen in self._seen.items()}


def _families(pids: Iterable[int]) -> Iterable[psutil.Process]:
    for pid in pids:
        try:
            process = psutil.Process(pid)
            yield process
            yield from process.children(recursive=True)
        except psutil.NoSuchProcess:
            continue
