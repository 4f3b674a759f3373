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

    def __init__(self, bootstrap_servers: str) -> None:
        client(bootstrap_servers)  # raises BadInput where its settings are wrong, here rather than in the other process
        self._servers = bootstrap_servers
        self._asker: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that asks, None before the first time."""
        return self._asker.pid if self._asker else None

    def ask(self, seconds: float = ANSWER_SECONDS) -> Answers:
        """Raises Unavailable where no broker answers in time."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self._ask(deadline)
            if isinstance(answer, Answers):
                return answer
            if answer is None and time.monotonic() < deadline:
                continue  # its process has died of the question
            words = "it stands still" if answer is None else answer
            raise Unavailable(
                f"No Kafka broker answers at {self._servers}: {words}.",
                "Start the stack with `shardlake up`, or set KAFKA_BOOTSTRAP_SERVERS.",
            )

    def close(self) -> None:
        """Leave nothing running."""
        if self._asker:
            self._asker.kill()
            self._asker.communicate()
            self._asker = None

    def _ended(self) -> int:
        """How it ended by itself: below 0 by a signal."""
        assert self._asker
        try:
            return self._asker.wait(1)
        except subprocess.TimeoutExpired:
            return 0

    def _ask(self, deadline: float) -> Answers | str | None:
        """The answer, what the client says of a failure, or None where there was none."""
        if self._asker is None:
            self._asker = subprocess.Popen(
                [sys.executable, "-m", "shardlake.lag.asker", self._servers],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the program that asks; the other ends with its input
            )
        assert self._asker.stdin
        assert self._asker.stdout
        try:
            self._asker.stdin.write(b"\n")
            self._asker.stdin.flush()
            # What it says comes in one piece once it begins.
            ready, _, _ = select.select([self._asker.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if ready:
                answer: Answers | str = pickle.load(self._asker.stdout)
                return answer
            self.close()
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            code = self._ended()
            self.close()
            if code > 0:
                raise RuntimeError(f"the process that asks the broker ended with exit code {code}") from error
        return None
