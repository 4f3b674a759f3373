"""A machine that is slow or busy fails no test, and a parser that fails is not passed over in one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from producers.guard import Unforeseen

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def unforeseen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Exception]]:
    """The exceptions that the guard of the parsers kept from a producer: a test that expects one clears the list."""
    kept: list[Exception] = []
    add = Unforeseen.add

    def note(self: Unforeseen, error: Exception, place: str) -> None:
        kept.append(error)
        add(self, error, place)

    monkeypatch.setattr(Unforeseen, "add", note)
    yield kept
    assert kept == [], "a parser failed, and the guard kept it from the test"
