"""Waiting for servers that start: as long as their processes work, or their logs say something new."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from shardlake.errors import Unavailable
from shardlake.patience import Patience, in_sight
from shardlake.progress import Logs, Uses, Work, of_processes


class Starting(Protocol):
    """A server that is on its way."""

    log: Path

    @property
    def pid(self) -> int:
        """The process id."""

    def is_ready(self) -> bool:
        """Whether it answers. Raises Unavailable where it has ended."""

    def log_tail(self) -> str:
        """The last lines of its log."""


def await_ready(
    servers: Mapping[str, Starting],
    on_ready: Callable[[str], None] = lambda _: None,
    patience: Patience | None = None,
    measure: Callable[[list[int]], Uses] = of_processes,
) -> None:
    """Wait until all of these answer; `on_ready` is called with each one's name.

    Raises Unavailable with the end of a log where one ends, or where nothing moves any more.
    """
    waiting, patience = dict(servers), patience or Patience(stretched=in_sight)
    logs = Logs([server.log for server in servers.values()])
    work = Work(lambda: measure([server.pid for server in waiting.values()]), clock=patience.clock)
    while True:
        for name, server in list(waiting.items()):
            if server.is_ready():
                del waiting[name]
                on_ready(name)
        if not waiting:
            return
        signs = (work.count(), logs.count()) if patience.is_long else ()
        if not patience.goes_on(_in_words(list(waiting)), ("waiting", *waiting), signs):
            raise _still(next(iter(waiting)), servers, patience)


def _still(name: str, servers: Mapping[str, Starting], patience: Patience) -> Unavailable:
    msg = (
        f"The {name} does not answer: for {patience.still_for} its process has not worked, and its log has said "
        f"nothing new. Its log ends:\n{servers[name].log_tail()}"
    )
    return Unavailable(msg, f"The whole log is {servers[name].log}.")


def _in_words(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
