"""Which port each server has."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from shardlake.errors import BadInput
from shardlake.stack.ports import Ports
from shardlake.testing.stack import free_port_base

pytestmark = pytest.mark.unit


def test_each_server_has_its_distance_from_the_base() -> None:
    ports = Ports.from_base(9090)
    assert (ports.kafka, ports.registry, ports.flink_rest, ports.s3, ports.s3_filer_grpc) == (
        9092, 9094, 9096, 9100, 9108,
    )  # fmt: skip
    assert (ports.flink_jobmanager_metrics, ports.flink_taskmanager_metrics) == (9091, 9109)
    assert 9101 not in asdict(ports).values()


@pytest.mark.parametrize(("base", "first", "last"), [(1023, 1024, 1042), (65516, 65517, 65535)])
def test_the_lowest_and_the_highest_base(base: int, first: int, last: int) -> None:
    ports = asdict(Ports.from_base(base)).values()
    assert (min(ports), max(ports)) == (first, last)


@pytest.mark.parametrize("base", [1022, 65517])
def test_others_are_refused_with_the_range(base: int) -> None:
    with pytest.raises(BadInput) as refused:
        Ports.from_base(base)
    assert "1023 to 65516" in refused.value.hint


def test_no_two_processes_of_the_tests_try_the_same_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    tried: list[set[int]] = []
    for number in range(3):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", f"gw{number}")
        tried.append({free_port_base() for _ in range(50)})
    assert len(set.union(*tried)) == sum(map(len, tried))
    assert {base % 20 for bases in tried for base in bases} == {0}
