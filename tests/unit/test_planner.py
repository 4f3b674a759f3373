"""A client claims the stack's planner, or starts a JVM of its own where the planner is not for it."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from shardlake import planner
from shardlake.planner import Claim, tell

ENVIRONMENT = {"JAVA_HOME": "/java", "AWS_SECRET_ACCESS_KEY": "hidden", "LANG": "C"}


@pytest.fixture
def listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A planner that was told and listens; `_listens` is asked of real processes in a test of its own."""
    tell(tmp_path, ENVIRONMENT)
    (tmp_path / "port").write_bytes((40_001).to_bytes(4, "big"))
    monkeypatch.setattr(planner, "_listens", lambda port: port == 40_001)
    return 40_001


def test_a_client_gets_port_and_token_and_no_other_client_at_the_same_time(tmp_path: Path, listening: int) -> None:
    claim = Claim.of(tmp_path, ENVIRONMENT | {"LANG": "de"})
    assert claim is not None
    assert claim.port == listening
    assert claim.token == json.loads((tmp_path / "token").read_text())["token"]
    assert Claim.of(tmp_path, ENVIRONMENT) is None
    del claim
    assert Claim.of(tmp_path, ENVIRONMENT) is not None


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("changed", [{"AWS_SECRET_ACCESS_KEY": "another"}, {"JAVA_HOME": "/old"}, {"AWS_REGION": "x"}])
def test_a_client_with_another_environment_starts_its_own(tmp_path: Path, changed: dict[str, str]) -> None:
    assert Claim.of(tmp_path, ENVIRONMENT | changed) is None


def test_a_stack_without_a_planner_and_a_damaged_note_are_no_planner(tmp_path: Path) -> None:
    assert Claim.of(tmp_path / "none", ENVIRONMENT) is None
    for damaged in ("", "{", "[]", "7", '{"token": 7}', '{"token": "x", "environment": null}'):
        (tmp_path / "token").write_text(damaged)
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


def test_a_port_that_another_program_has_taken_is_no_planner(tmp_path: Path) -> None:
    tell(tmp_path, os.environ)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (tmp_path / "port").write_bytes(port.to_bytes(4, "big"))
        assert Claim.of(tmp_path, os.environ) is None
    assert Claim.of(tmp_path, os.environ) is None, "nobody listens there any more"
