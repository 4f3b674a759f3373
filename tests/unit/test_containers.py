"""What is said of a container that is not well, and of an engine that does not answer."""

from __future__ import annotations

import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from shardlake.errors import ShardlakeError, Unavailable
from shardlake.stack import containers
from shardlake.stack.containers import Container, docker, why
from tests.support import ROOT

pytestmark = pytest.mark.unit

WELL = Container("kafka-1", "x-kafka-1-1", "running", "healthy", 0, 0, False, 512 << 20, "127.0.0.1:1", "")


def engine(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A `docker` that does this."""
    command = folder / "docker"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("changes", "is_well"),
    [
        ({}, True),
        ({"health": ""}, True),
        ({"health": "starting"}, False),
        ({"health": "unhealthy"}, False),
        ({"state": "exited"}, False),
        ({"service": "setup", "state": "exited", "health": ""}, True),
        ({"service": "setup", "state": "exited", "health": "", "exit_code": 1}, False),
        ({"service": "jobs", "state": "running", "health": ""}, True),
    ],
)
def test_whether_a_container_is_well(changes: dict[str, object], is_well: bool) -> None:
    assert replace(WELL, **changes).is_well is is_well  # type: ignore[arg-type]


def test_causes_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cause, fix = why(replace(WELL, state="exited", exit_code=137, out_of_memory=True))
    assert cause == "it needed more than its limit of 512 MB"
    assert "mem_limit" in fix
    said = "driver failed programming external connectivity: Bind for 127.0.0.1:1 failed: port is already allocated"
    assert why(replace(WELL, state="created", said=said))[0] == said
    cause, fix = why(replace(WELL, state="paused", health="unhealthy"))
    assert (cause, fix) == ("it is paused", "Let it go on: `docker unpause x-kafka-1-1`.")
    engine(tmp_path, monkeypatch, "echo INFO fine; echo 'error: The volume at /data was written by x.'; echo '  Do y.'")
    cause, _ = why(replace(WELL, state="restarting", exit_code=3))
    assert cause == "it ends with exit code 3: The volume at /data was written by x. Do y."
    engine(tmp_path, monkeypatch, "echo '12:00 ERROR disk is slow'; echo INFO fine")
    assert why(replace(WELL, health="unhealthy"))[0] == "it runs and does not answer: 12:00 ERROR disk is slow"


def test_an_engine_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="no `docker` command"):
        docker("info")
    engine(tmp_path, monkeypatch, "echo 'Got permission denied while trying to connect to the socket' >&2; exit 1")
    with pytest.raises(Unavailable, match="its socket refuses"):
        docker("info")
    engine(tmp_path, monkeypatch, "echo 'Cannot connect to the Docker daemon. Is it running?' >&2; exit 1")
    with pytest.raises(Unavailable, match="No Docker engine answers"):
        docker("info")
    engine(tmp_path, monkeypatch, "echo 'Error: No such object: x' >&2; exit 1")
    with pytest.raises(ShardlakeError, match="docker inspect failed: Error: No such object"):
        docker("inspect", "x")
    engine(tmp_path, monkeypatch, "sleep 5")
    monkeypatch.setattr(containers, "ENGINE_SECONDS", 0.2)
    with pytest.raises(Unavailable, match="has not answered within"):
        docker("info")


def volume_version(folder: Path, version: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(ROOT / "docker" / "volume-version"), str(folder), version], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def test_a_volume_of_another_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    assert volume_version(tmp_path, "kafka 4.4.0") == (0, "")
    (tmp_path / "logs").write_text("data")
    assert volume_version(tmp_path, "kafka 4.4.0") == (0, "")
    code, said = volume_version(tmp_path, "kafka 4.5.0")
    assert code == 3
    assert said.startswith(
        f"error: The volume at {tmp_path} was written by kafka 4.4.0, and this image is kafka 4.5.0."
    )
    assert "docker compose down -v" in said
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        ".written-by": "kafka 4.4.0\n", "logs": "data",
    }  # fmt: skip
    (tmp_path / ".written-by").unlink()
    assert volume_version(tmp_path, "kafka 4.4.0")[0] == 3
