"""What a stack leaves is for its owner alone, but for the lake."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from shardlake.lock import Held, Lock
from shardlake.pii import KEY_FILE, taskmanager_environment
from shardlake.planner import planning_environment
from shardlake.stack.java import java
from shardlake.stack.stack import Stack

pytestmark = pytest.mark.unit


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("s3", [False, True])
def test_folders_of_raw_records_are_for_their_owner_alone_those_of_older_versions_too(tmp_path: Path, s3: bool) -> None:
    state, data = tmp_path / "state", tmp_path / "data"
    for older in (state / "logs", data / "flink"):
        older.mkdir(parents=True, mode=0o755)
    stack = Stack(state, data=data, s3=s3, servers=())
    stack._plans = lambda: iter(())  # type: ignore[method-assign]  # noqa: SLF001 - no server is started here
    stack._spawn()  # noqa: SLF001
    private = {"kafka", "registry", "flink", "s3" if s3 else "jobs"}
    assert {one.name: oct(mode(one)) for one in data.iterdir() if one.name in private} == dict.fromkeys(
        private, "0o700"
    )
    assert mode(state / "logs") == 0o700
    assert s3 or mode(data / "lake") & 0o005 == 0o005
    assert mode(state / "stack.json") == 0o600


def test_nobody_else_may_hold_a_lock(tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    file.write_text("1")
    file.chmod(0o644)  # as an older version made it
    lock = Lock(file)
    assert mode(file) == 0o600
    with pytest.raises(Held, match=str(os.getpid())):
        Lock(file)
    lock.release()
    Lock(file).release()
    assert file.read_text() == str(os.getpid())


def test_no_jvm_writes_its_counters_into_the_shared_temporary_folder(tmp_path: Path) -> None:
    command = java("kafka", tmp_path, heap_mb=16, options=["-XX:+PrintFlagsFinal"])
    said = subprocess.run([*command, "-version"], capture_output=True, text=True, check=True).stdout
    assert next(line.split()[3] for line in said.splitlines() if " UsePerfData " in line) == "false"
    assert "-XX:-UsePerfData" in planning_environment()["JVM_ARGS"].split()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as another user")
def test_another_user_reads_nothing_raw_holds_no_lock_and_signals_no_process() -> None:
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(["sleep", "600"]) as process:
        Path(folder).chmod(0o755)  # nothing above the stack's own folders protects them
        state, data = Path(folder) / "state", Path(folder) / "data"
        data.mkdir()
        lock = Lock(data / ".lock")
        key = taskmanager_environment(data, {})[KEY_FILE]
        stack = Stack(state, data=data, servers=())
        stack._plans = lambda: iter(())  # type: ignore[method-assign]  # noqa: SLF001 - no server is started here
        stack._spawn()  # noqa: SLF001
        (data / "lake" / "part").write_text("for others too")

        def tries(*command: str) -> int:
            other = {"user": 65_534, "group": 65_534, "extra_groups": []}
            return subprocess.run(command, **other, capture_output=True, check=False).returncode  # type: ignore[call-overload,no-any-return]

        assert tries("cat", str(data / "lake" / "part")) == 0
        for private in (state, *(data / name for name in ("kafka", "registry", "flink", "jobs"))):
            assert tries("ls", str(private)) != 0, private
        for file in (state / "stack.json", Path(key), data / ".lock"):
            assert tries("cat", str(file)) != 0, file
        assert tries("flock", "-n", str(data / ".lock"), "true") != 0
        assert tries("rm", "-f", str(data / ".lock")) != 0
        assert tries("kill", "-9", str(process.pid)) != 0
        assert tries("cat", f"/proc/{process.pid}/environ") != 0
        assert process.poll() is None
        lock.release()
        process.kill()
