"""The broker, asked through a process that may die of it: it is started again, and what it takes is bounded in time."""

from __future__ import annotations

import pickle
import select
import subprocess
import sys
import time

from shardlake.errors import Unavailable
from shardlake.kafka_login import client
from shardlake.lag.answers import Answers

ANSWER_SECONDS = 15
"""A broker that stands still is said to be after so long."""


class Broker:
    """One cluster. Not for several threads at once."""

    def __init__(self, bootstrap_servers: str, seconds: float = ANSWER_SECONDS) -> None:
        """An answer is waited for `seconds` at most; a question that is open longer than ANSWER_SECONDS is given up."""
        client(bootstrap_servers)  # raises BadInput where its settings are wrong, here rather than in the other process
        self._servers = bootstrap_servers
        self._seconds = seconds
        self._asker: subprocess.Popen[bytes] | None = None
        self._asked: float | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that asks, None before the first time."""
        return self._asker.pid if self._asker else None

    def ask(self) -> Answers:
        """Raises Unavailable where no broker answers in time."""
        deadline = time.monotonic() + self._seconds
        words = f"there is no answer after {self._seconds:g} s"
        while time.monotonic() < deadline:
            was_open = self._asked is not None
            answer = self._ask(deadline)
            if isinstance(answer, Answers):
                if was_open:
                    continue  # what was asked earlier is no answer of now
                return answer
            if answer is not None:
                words = answer
                break
        raise Unavailable(
            f"No Kafka broker answers at {self._servers}: {words}.",
            "Start the stack with `shardlake up`, or set KAFKA_BOOTSTRAP_SERVERS.",
        )

    def close(self) -> None:
        """Leave nothing running."""
        if self._asker:
            self._asker.kill()
            self._asker.communicate()
            self._asker = self._asked = None

    def _ask(self, deadline: float) -> Answers | str | None:
        """The answer, what the client says of a failure, or None where there was none."""
        asker = self._asker or self._start()
        assert asker.stdin
        assert asker.stdout
        try:
            if self._asked is None:
                asker.stdin.write(b"\n")
                asker.stdin.flush()
                self._asked = time.monotonic()
            # What it says comes in one piece once it begins.
            ready, _, _ = select.select([asker.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if ready:
                answer: Answers | str = pickle.load(asker.stdout)
                self._asked = None
                return answer
            if time.monotonic() - self._asked > ANSWER_SECONDS:
                self.close()
        except (OSError, EOFError, pickle.UnpicklingError):
            return self._died(asker)
        return None

    def _start(self) -> subprocess.Popen[bytes]:
        self._asker = subprocess.Popen(
            [sys.executable, "-m", "shardlake.lag.asker", self._servers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the program that asks; the other ends with its input
        )
        return self._asker

    def _died(self, asker: subprocess.Popen[bytes]) -> str | None:
        """None where it was a signal, as where the client crashes: it is started again."""
        try:
            code = asker.wait(1)
        except subprocess.TimeoutExpired:
            code = 0
        self.close()
        return f"the process that asks ended with exit code {code}; its error is above" if code > 0 else None
