"""Metrics that take their time: asked for in a thread, so that whoever does not answer holds up no scrape."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from shardlake.errors import ShardlakeError
from shardlake.metric import Kind, Metric, Samples, Values

EVERY_SECONDS = 5
STALE_SECONDS = 15


class Background:
    """Asks again and again. `<name>_up` is 1 while answers come; without one for a while there are no other series."""

    def __init__(self, name: str, ask: Callable[[], Values], say: Callable[[str], None]) -> None:
        self.up = up(name)
        self._ask = ask
        self._say = say
        self._answer: tuple[float, list[tuple[Metric, Samples]]] | None = None
        self._said = ""
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def samples(self) -> Values:
        """What the last answer says, unless it is stale."""
        answer = self._answer
        if answer is None or time.monotonic() - answer[0] > STALE_SECONDS:
            yield self.up, [((), 0)]
            return
        yield self.up, [((), 1)]
        yield from answer[1]

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self._answer = time.monotonic(), list(self._ask())
                self._said = ""
            except Exception as error:  # whatever it is, who asks goes on asking
                self._answer = None
                words = error.message if isinstance(error, ShardlakeError) else f"{type(error).__name__}: {error}"
                if words != self._said:
                    self._said = words
                    self._say(words)
            time.sleep(max(0.0, began + EVERY_SECONDS - time.monotonic()))


def up(name: str) -> Metric:
    """Whether it answers."""
    return Metric(
        f"shardlake_{name}_up",
        Kind.GAUGE,
        f"1 while there is an answer of {name} no older than {STALE_SECONDS} s; without one, no other series of it.",
    )
