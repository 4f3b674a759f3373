"""The load: producers and consumers as a user would start them, each a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from shardlake.child import die_with_parent
from shardlake.errors import ShardlakeError
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

PRODUCERS = 2
CONSUMERS = 2
CONSUMER = "traffic"
POISON_EACH_SECOND = 1
BURST_POISON = 1000
LONGEST_SECONDS = 86_400
"""Of a producer: it is told to end before."""

COMMAND_SECONDS = 400
PRODUCER_END_SECONDS = 150
"""It waits for a broker that is gone for 120 s."""

CONSUMER_END_SECONDS = 30
ASKED_TO_END = frozenset({0, 130, -signal.SIGTERM})
"""The last is of one that had not yet begun."""


@dataclass(frozen=True, slots=True)
class Commands:
    """`shardlake` commands, for the stack with these settings; what they say goes to `logs`.

    Every setting is said, so that none of the user's environment leads to servers that are not ours.
    """

    pipeline: Pipeline
    settings: Settings
    state: Path
    logs: Path

    def run(self, *arguments: str) -> str:
        """Run one to its end; what it wrote to standard output. Raises ShardlakeError with its last words where its
        exit code is not 0."""
        code, output = self.exit_code(*arguments)
        if code:
            msg = f"shardlake {' '.join(arguments[:2])} ended with exit code {code}: {self.last_words(arguments[0])}"
            raise ShardlakeError(msg, f"All it said is in {self._log(arguments[0])}.")
        return output

    def exit_code(self, *arguments: str) -> tuple[int, str]:
        """Run one to its end; its exit code and what it wrote to standard output."""
        try:
            with self._log(arguments[0]).open("ab") as log:
                done = subprocess.run(
                    self._program(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                    env=self._environment(), start_new_session=True, preexec_fn=die_with_parent(), check=False,
                    timeout=COMMAND_SECONDS,
                )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            msg = f"shardlake {' '.join(arguments[:2])} had not ended after {COMMAND_SECONDS} s."
            raise ShardlakeError(msg, f"All it said is in {self._log(arguments[0])}.") from error
        return done.returncode, done.stdout

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one, in a process group of its own; it says what it says to the log of that name."""
        with self._log(name).open("ab") as log:
            return subprocess.Popen(
                self._program(*arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment(), start_new_session=True, preexec_fn=die_with_parent(),
            )  # fmt: skip

    def last_words(self, name: str) -> str:
        """The last lines of the log of that name."""
        return " ".join(self._log(name).read_text(errors="replace").splitlines()[-2:])

    def _program(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "shardlake", "--pipeline", str(self.pipeline.folder), *arguments]

    def _environment(self) -> dict[str, str]:
        said = {str(Settings.model_fields[name].alias): str(value) for name, value in self.settings}
        return {**os.environ, **said, "SHARDLAKE_STATE": str(self.state)}

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


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
