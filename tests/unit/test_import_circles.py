"""Checks that no module of the engine imports itself by way of other modules; imports for type checking count too."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp
import pytest

pytestmark = pytest.mark.unit


def test_no_imports_go_in_a_circle() -> None:
    graph = grimp.build_graph("shardlake", cache_dir=None)
    assert "shardlake.shards.lane" in graph.find_modules_directly_imported_by("shardlake.shards.shard")
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()
