"""How the tests are shared out to the processes that run them side by side."""

from __future__ import annotations

import random
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """What the tests of this repository take besides."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="Files, and the tests of a file, in a random order.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The short ones last, so that the processes end together; or shuffled."""
    seed = config.getoption("--shuffle")
    if seed is not None:
        chance = random.Random(seed)
        places = {path: chance.random() for path in sorted({item.path for item in items})}
        chance.shuffle(items)
        items.sort(key=lambda item: (item.get_closest_marker("last") is not None, places[item.path]))
        return

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(config.rootpath / "tests").parts[0]
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=lambda item: (place(item), item.get_closest_marker("last") is not None))
