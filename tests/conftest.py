"""How the tests are shared out to the processes that run them side by side."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

LONGEST_FIRST = ("integration", "e2e", "pipeline", "unit")
IN_CONTAINERS = "tests/integration/"


class ByStack(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests share a stack, and all those in containers share one set of containers."""

    def _split_scope(self, nodeid: str) -> str:
        return IN_CONTAINERS if nodeid.startswith(IN_CONTAINERS) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByStack:
    """For `-n 2`."""
    return ByStack(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The short ones last, so that the processes end together."""

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(config.rootpath / "tests").parts[0]
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=place)
