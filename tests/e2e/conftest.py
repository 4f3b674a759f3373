"""Stacks for the tests that need one of their own kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shardlake.testing.stack import RunningStack, running_stack
from tests.support import ROOT, copy_pipeline


@pytest.fixture(scope="module")
def one_partition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack whose topic of events has one partition, with jobs of parallelism 1."""
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=1)
    with running_stack(folder, tmp_path_factory.mktemp("state"), parallelism=1) as stack:
        yield stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RunningStack]:
    """A stack of the test's own: it may kill what it likes."""
    with running_stack(ROOT, tmp_path / "state") as running:
        yield running
