"""The plan of a job that was left out, beside that of the others: each finds its own state in the state of all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shardlake.flink.endpoints import Endpoints
from shardlake.flink.inserts import on_any_flink, planned
from shardlake.flink.kept_state import keeps
from shardlake.flink.lineage import table_of
from shardlake.flink.plan import compare, numbered, sinks_behind
from shardlake.flink.tables import group_of
from shardlake.pipeline import Pipeline
from shardlake.testing.jobs import mini_cluster_environment
from tests.support import ROOT

pytestmark = pytest.mark.pipeline

JOBS = ("archive", "error_alerts", "service_health", "sessions")
DEAD_LETTERS = "topics.app-logs.dlq"


@pytest.fixture(scope="module", autouse=True)
def java() -> Iterator[None]:
    with mini_cluster_environment():
        yield


def plan(*jobs: str, apart: str | None = None) -> str:
    """The plan of these jobs, as `jobs run` and `jobs take-up` make it."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for name, value in on_any_flink({}, 10).items():
        environment.get_config().set(name, value)
    endpoints = Endpoints("broker:9092", "http://registry", "file:///lake", group=group_of(apart))
    options: dict[str, dict[str, str]] = {job: {} for job in jobs}
    compiled, _ = planned(environment, Pipeline.load(ROOT), endpoints, options, apart=bool(apart))
    return numbered(compiled)


@pytest.fixture(scope="module")
def together(java: None) -> str:
    return plan(*JOBS)


def nodes(compiled: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(compiled)["nodes"]
    return found


def sinks(compiled: str) -> set[str]:
    return {str(table_of(node)) for node in nodes(compiled) if "dynamicTableSink" in node}


def with_state(compiled: str) -> set[int]:
    """The numbers of sources, sinks, and of all that keeps something between them."""
    ends = ("dynamicTableSink", "scanTableSource")
    return {node["id"] for node in nodes(compiled) if keeps(node) or any(end in node for end in ends)}


def test_a_job_apart_and_the_others_find_each_their_state_and_write_no_dead_letter_twice(together: str) -> None:
    shared = {"lake.late_events"}
    for job in ("error_alerts", "sessions"):
        others, own = plan(*(one for one in JOBS if one != job)), plan(job, apart=job)
        assert with_state(others) | with_state(own) == with_state(together)
        assert DEAD_LETTERS in sinks(others)
        assert DEAD_LETTERS not in sinks(own)
        assert sinks(others) & sinks(own) <= shared
        for part in (others, own):
            change = compare(together, part)
            assert change.added == ()
            assert set(change.removed) == sinks(together) - sinks(part)
        groups = {
            node["scanTableSource"]["table"]["resolvedTable"]["options"]["properties.group.id"]
            for node in nodes(own)
            if "scanTableSource" in node
        }
        assert groups == {f"shardlake-jobs.{job}"}


def test_a_node_is_known_by_its_number_to_lead_to_sinks(together: str) -> None:
    (source,) = [node["id"] for node in nodes(together) if "scanTableSource" in node]
    assert sinks_behind(together, [source]) == sinks(together)
    (alerts,) = [node["id"] for node in nodes(together) if table_of(node) == "lake.alerts"]
    assert sinks_behind(together, [alerts, 4711]) == {"lake.alerts"}
    assert sinks_behind(together, []) == set()
