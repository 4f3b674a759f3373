"""A process is known by its start, whatever the clock says and whoever gets its number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from shardlake.errors import Unavailable
from shardlake.load.servers import Servers
from shardlake.process import identity, runs, send_signal
from shardlake.stack.ended import server_state
from shardlake.stack.lock import lock_data
from shardlake.stack.stack import find

pytestmark = pytest.mark.unit


def publish(state: Path, data: Path, **more: Any) -> None:
    data.mkdir()
    content = {"launcher_pid": os.getpid(), "data": str(data), "kept": False} | more
    (state / "stack.json").write_text(json.dumps(content))


def test_a_stack_stays_the_running_one_when_the_clock_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, tmp_path / "data", launcher_identity=identity(os.getpid()))
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: 1.0)
    assert find(tmp_path)
    assert (tmp_path / "data").exists()


def test_another_process_with_the_launcher_s_number_is_no_stack(tmp_path: Path) -> None:
    mine = str(identity(os.getpid()))
    publish(tmp_path, tmp_path / "data", launcher_identity=f"{mine.rpartition('/')[0]}/1")
    assert find(tmp_path) is None
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("hours", [0, 1])
def test_a_stack_that_an_older_version_started_is_known_by_its_time(tmp_path: Path, hours: int) -> None:
    started = psutil.Process().create_time() + hours * 3600
    publish(tmp_path, tmp_path / "data", launcher_started=started)
    assert bool(find(tmp_path)) is (hours == 0)


def test_no_process_has_no_identity_and_two_have_two() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert identity(child.pid) not in (None, identity(os.getpid()))
        child.communicate(b"\n")
    assert identity(child.pid) is None


def test_a_data_folder_has_one_stack(tmp_path: Path) -> None:
    lock = lock_data(tmp_path)
    with pytest.raises(Unavailable, match=f"process {os.getpid()}"):
        lock_data(tmp_path)
    lock.release()
    lock_data(tmp_path).release()


def test_a_data_folder_is_free_once_its_launcher_is_killed(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from shardlake.stack.lock import lock_data; "
        f"held = lock_data(Path({str(tmp_path)!r})); print(); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        with pytest.raises(Unavailable, match=f"process {child.pid}"):
            lock_data(tmp_path)
        child.kill()
    lock_data(tmp_path).release()


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for a line."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_signal_reaches_the_process_that_was_known_and_none_with_its_number(child: subprocess.Popen[bytes]) -> None:
    known = str(identity(child.pid))
    another = f"{known.rpartition('/')[0]}/1"
    assert not send_signal(child.pid, another, signal.SIGKILL)
    assert not send_signal(child.pid, None, signal.SIGKILL)
    assert child.poll() is None
    assert runs(child.pid, known)
    assert not runs(child.pid, another)
    assert send_signal(child.pid, known, signal.SIGTERM)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not runs(child.pid, known)  # it has ended, and nobody has waited for it
    assert child.wait() == -signal.SIGTERM
    assert not send_signal(child.pid, known, signal.SIGTERM)


def test_a_server_is_down_though_another_process_has_its_number(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    known = str(identity(child.pid))
    entry = {"pid": child.pid, "log": str(tmp_path / "log"), "exit_code": None}
    assert server_state("kafka", {**entry, "identity": known}).state == "running"
    assert server_state("kafka", entry).state == "running"  # as an older version wrote it
    assert server_state("kafka", {**entry, "identity": f"{known.rpartition('/')[0]}/1"}).state == "down"


def test_a_load_kills_and_wakes_no_process_that_has_a_server_s_number(
    child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    another = f"{str(identity(child.pid)).rpartition('/')[0]}/1"
    entry = {"pid": child.pid, "identity": another}
    there = {"kafka": entry, "planner": entry}
    publish(tmp_path, tmp_path / "data", launcher_pid=child.pid, launcher_identity=another, servers=there)
    servers = Servers(tmp_path, is_local=True)
    assert servers.names == ["kafka"], "a load is not the planner's"
    assert servers.pids("kafka") == []
    servers.kill("kafka")
    with pytest.raises(Unavailable, match="launcher has ended"):
        servers.start()
    assert child.poll() is None


def test_python_workers_end_though_another_process_has_their_task_manager_s_number(
    child: subprocess.Popen[bytes],
) -> None:
    another = f"{str(identity(child.pid)).rpartition('/')[0]}/1"
    program = f"from shardlake.flink.python_worker import end_with; end_with({child.pid}, {another!r})"
    done = subprocess.run([sys.executable, "-c", program], start_new_session=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert child.poll() is None
