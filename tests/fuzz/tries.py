"""What a kind of fuzzing gives: inputs, each with the call that takes it and says in a few words what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Try = tuple[Any, Callable[[], str]]
"""An input, and a call that returns the outcome that is counted. Any exception of the call is a fault."""
Kind = Callable[[Random], Iterator[Try]]
"""Endless tries, which follow from the random numbers alone."""


class Fault(Exception):
    """The product did something else than it promises for an input."""
