"""A client claims the stack's planner, or starts a JVM of its own where the planner is not for it."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardlake.folders import STACK_FILE
from shardlake.planner import NAME, Claim, tell
from shardlake.process import identity

pytestmark = pytest.mark.unit

ENVIRONMENT = {"JAVA_HOME": "/java", "AWS_SECRET_ACCESS_KEY": "hidden", "LANG": "C"}
PORT = 40_001


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The planner's folder below the stack's state folder, which is `tmp_path`."""
    folder = tmp_path / NAME
    folder.mkdir()
    return folder


@pytest.fixture
def running(tmp_path: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that the stack has noted as its planner, which was told and has a port."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        entry = {"pid": child.pid, "identity": identity(child.pid)}
        (tmp_path / STACK_FILE).write_text(json.dumps({"servers": {NAME: entry}}))
        tell(folder, ENVIRONMENT)
        (folder / "port").write_bytes(PORT.to_bytes(4, "big"))
        yield child


@pytest.mark.usefixtures("running")
def test_a_client_gets_port_and_token_and_no_other_client_at_the_same_time(tmp_path: Path, folder: Path) -> None:
    claim = Claim.of(tmp_path, ENVIRONMENT | {"LANG": "de"})
    assert claim is not None
    assert claim.port == PORT
    assert claim.token == json.loads((folder / "token").read_text())["token"]
    assert Claim.of(tmp_path, ENVIRONMENT) is None
    del claim
    assert Claim.of(tmp_path, ENVIRONMENT) is not None


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("changed", [{"AWS_SECRET_ACCESS_KEY": "another"}, {"JAVA_HOME": "/old"}, {"AWS_REGION": "x"}])
def test_a_client_with_another_environment_starts_its_own(tmp_path: Path, changed: dict[str, str]) -> None:
    assert Claim.of(tmp_path, ENVIRONMENT | changed) is None


@pytest.mark.usefixtures("running")
def test_a_stack_without_a_planner_and_a_damaged_note_are_no_planner(tmp_path: Path, folder: Path) -> None:
    assert Claim.of(tmp_path / "none", ENVIRONMENT) is None
    for damaged in ("", "{", "[]", "7", '{"token": 7}', '{"token": "x", "environment": null}'):
        (folder / "token").write_text(damaged)
        assert Claim.of(tmp_path, ENVIRONMENT) is None, damaged


def test_each_start_has_a_token_of_its_own_and_no_value_is_written_down(tmp_path: Path) -> None:
    first = tell(tmp_path, ENVIRONMENT)
    (tmp_path / "port").write_bytes(b"1234")
    second = tell(tmp_path, ENVIRONMENT)
    assert len({first, second}) == 2
    assert not (tmp_path / "port").exists(), "the port of the start before"
    written = (tmp_path / "token").read_text()
    assert json.loads(written)["token"] == second.decode().strip()
    assert "hidden" not in written
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_a_port_that_another_program_has_taken_is_no_planner(
    tmp_path: Path, folder: Path, running: subprocess.Popen[bytes]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (folder / "port").write_bytes(port.to_bytes(4, "big"))
        running.communicate(b"\n")
        assert Claim.of(tmp_path, ENVIRONMENT) is None
    assert Claim.of(tmp_path, ENVIRONMENT) is None, "nobody listens there any more"


def test_a_process_with_the_planner_s_number_is_no_planner(tmp_path: Path, running: subprocess.Popen[bytes]) -> None:
    entry = {"pid": running.pid, "identity": identity(os.getpid())}
    (tmp_path / STACK_FILE).write_text(json.dumps({"servers": {NAME: entry}}))
    assert Claim.of(tmp_path, ENVIRONMENT) is None
    assert running.poll() is None
