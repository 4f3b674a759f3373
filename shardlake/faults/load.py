"""The load: producers and consumers as a user would start them, each a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from shardlake.commands import Commands
from shardlake.errors import ShardlakeError

PRODUCERS = 2
CONSUMERS = 2
CONSUMER = "traffic"
POISON_EACH_SECOND = 1
BURST_POISON = 1000
LONGEST_SECONDS = 86_400
"""Of a producer: it is told to end before."""

PRODUCER_END_SECONDS = 150
"""It waits for a broker that is gone for 120 s."""

CONSUMER_END_SECONDS = 30
ASKED_TO_END = frozenset({0, 130, -signal.SIGTERM})
"""The last is of one that had not yet begun."""


class Load:
    """Producers of synthetic events with poison among them, and consumers. Not for several threads."""

    def __init__(self, commands: Commands, ledgers: Path, rate: float, seed: int) -> None:
        """Nothing is started yet. `rate` is events a second of all producers together."""
        self._commands = commands
        self._ledgers = ledgers
        self._rate = rate / PRODUCERS
        self._seeds = count(seed * 1000)  # one for each producer that is started: no two send the same events
        self._producers: dict[str, subprocess.Popen[bytes]] = {}
        self._consumers: dict[str, subprocess.Popen[bytes]] = {}
        self.exit_codes: dict[str, int] = {}

    def start(self) -> None:
        """Start those that are missing."""
        while len(self._producers) < PRODUCERS:
            seed = next(self._seeds)
            poison = POISON_EACH_SECOND * LONGEST_SECONDS // PRODUCERS
            self._producers[f"produce-{seed}"] = self._produce(seed, self._rate, LONGEST_SECONDS, poison)
        while len(self._consumers) < CONSUMERS:
            name = f"consume-{next(self._seeds)}"
            self._consumers[name] = self._commands.start(name, "consume", CONSUMER)

    def kill_producers(self) -> None:
        """Kill (-9) all of them, so that what comes to the topic afterwards comes from new ones."""
        for name in list(self._producers):
            _kill(self._producers.pop(name))

    def kill_consumer(self) -> None:
        """Kill (-9) one."""
        _kill(self._consumers.pop(next(iter(self._consumers))))

    def burst_of_poison(self) -> None:
        """Send poison as fast as it goes, and wait until it is acknowledged."""
        seed = next(self._seeds)
        burst = self._produce(seed, 1, 1, BURST_POISON)
        if code := burst.wait(PRODUCER_END_SECONDS):
            raise ShardlakeError(f"The burst of poison ended with exit code {code}.", f"See produce-{seed}.log.")

    def ended(self) -> Iterator[tuple[str, int]]:
        """Those that have ended by themselves, and their exit codes; `start` replaces them."""
        for group in (self._producers, self._consumers):
            for name, child in list(group.items()):
                if (code := child.poll()) is not None:
                    del group[name]
                    yield name, code

    def end_producers(self) -> dict[str, int]:
        """Ask them to end, and wait until all they sent is accounted for; those that ended otherwise than asked."""
        return _end(self._producers, PRODUCER_END_SECONDS)

    def end_consumers(self) -> dict[str, int]:
        """Ask them to end; those that ended otherwise."""
        return _end(self._consumers, CONSUMER_END_SECONDS)

    def _produce(self, seed: int, rate: float, seconds: float, poison: int) -> subprocess.Popen[bytes]:
        return self._commands.start(
            f"produce-{seed}", "produce", "--synthetic", "--seed", str(seed), "--rate", f"{rate:g}",
            "--duration", f"{seconds:g}", "--poison", str(poison), "--ledger", str(self._ledgers),
        )  # fmt: skip


def _kill(child: subprocess.Popen[bytes]) -> None:
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _end(children: dict[str, subprocess.Popen[bytes]], seconds: float) -> dict[str, int]:
    for child in children.values():
        child.terminate()
    codes = {}
    for name, child in children.items():
        try:
            codes[name] = child.wait(seconds)
        except subprocess.TimeoutExpired:
            _kill(child)
            codes[name] = child.returncode
    children.clear()
    return {name: code for name, code in codes.items() if code not in ASKED_TO_END}
