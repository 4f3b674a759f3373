"""The pytest plugin: running servers with your pipeline's topics and schemas, started once a session.

    def test_my_job(shardlake_stack):  # Kafka, the registry and Flink
        stack = shardlake_stack.emptied()  # what earlier tests left is gone
        stack.shardlake("jobs", "run", "my_job")

    def test_my_producer(shardlake_broker):  # Kafka and the registry alone
        shardlake_broker.shardlake("produce", "web.log")

The pipeline is pytest's root folder, or the one named by `shardlake_pipeline` in its configuration. For a job without
servers see `shardlake.testing.jobs`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from shardlake.loopback import ask_directly

if TYPE_CHECKING:
    from shardlake.testing.containers import RunningContainers
    from shardlake.testing.stack import RunningStack

CONTAINERS = "SHARDLAKE_CONTAINERS"
"""Set to `required` where tests in containers must not be skipped."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's settings."""
    parser.addoption("--lake", choices=("files", "s3"), default="files", help="Where stacks keep the lake.")
    parser.addini("shardlake_pipeline", "The pipeline's folder, from pytest's root.", default=".")


def pytest_configure(config: pytest.Config) -> None:
    """Ask this machine's servers directly. Stacks that say nothing of their lake's home take the option's."""
    ask_directly()
    if config.getoption("--lake") == "s3":
        from shardlake.testing import stack

        stack.DEFAULT_HOME.s3 = True


@pytest.fixture(scope="session")
def shardlake_stack(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Kafka, the registry and Flink on free ports, with the pipeline's topics and schemas; stopped at the end."""
    from shardlake.testing.stack import running_stack

    folder = pytestconfig.rootpath / pytestconfig.getini("shardlake_pipeline")
    with running_stack(folder, tmp_path_factory.mktemp("shardlake")) as stack:
        yield stack


@pytest.fixture(scope="session")
def shardlake_broker(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """As `shardlake_stack`, without Flink: half the price for tests that run no jobs."""
    from shardlake.testing.stack import running_stack

    folder = pytestconfig.rootpath / pytestconfig.getini("shardlake_pipeline")
    with running_stack(folder, tmp_path_factory.mktemp("broker"), servers=("kafka", "registry")) as stack:
        yield stack


def skip_without_engine() -> None:
    """Skip, with the reason, where no Docker engine answers; fail where SHARDLAKE_CONTAINERS=required."""
    pytest.importorskip("testcontainers", reason='testcontainers is missing: pip install "shardlake[containers]"')
    from shardlake.errors import Unavailable
    from shardlake.stack.containers import docker

    try:
        docker("info")
    except Unavailable as error:
        if os.environ.get(CONTAINERS) == "required":
            pytest.fail(f"{CONTAINERS} is set to required. {error.message} {error.hint}")
        pytest.skip(f"{error.message} {error.hint}")


@pytest.fixture(scope="session")
def shardlake_containers(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningContainers]:
    """The servers of compose.yaml as containers on free ports, with the pipeline's topics and schemas; gone at the end.

    Skipped, with the reason, where no Docker engine answers; that fails where SHARDLAKE_CONTAINERS=required.
    """
    skip_without_engine()
    from shardlake.testing.containers import running_containers

    folder = pytestconfig.rootpath / pytestconfig.getini("shardlake_pipeline")
    with running_containers(folder, tmp_path_factory.mktemp("containers")) as containers:
        yield containers
