"""Seconds that the checks of `verify` take, by name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Seconds(dict[str, float]):
    """A sum for each name."""

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Add the seconds that a block takes."""
        began = time.monotonic()
        yield
        self[name] = self.get(name, 0.0) + time.monotonic() - began
