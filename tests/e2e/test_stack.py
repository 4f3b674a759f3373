"""The stack's life: ready, found, kept or thrown away, and never an orphan."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from shardlake import topics
from shardlake.flink.submit import Submission
from shardlake.stack.stack import PRIVATE
from shardlake.testing.stack import RunningStack, free_port_base
from tests.support import PATIENCE_SECONDS, ROOT, Topic, command_line, event, wait_for

pytestmark = pytest.mark.e2e


def launch(state: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "shardlake", "--pipeline", str(ROOT), "up", *arguments]
    environment = {**os.environ, "SHARDLAKE_STATE": str(state)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def state_of(state: Path) -> dict[str, object]:
    try:
        found: dict[str, object] = json.loads((state / "stack.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found


def servers(state: Path) -> list[psutil.Process]:
    found = state_of(state).get("servers", {})
    assert isinstance(found, dict)
    return [psutil.Process(server["pid"]) for server in found.values()]


def of_group(leader: int) -> list[psutil.Process]:
    """Those of a task manager's own: its workers for functions in Python."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader and process.pid != leader:
                found.append(process)
        except ProcessLookupError:
            continue
    return found


def is_starting(worker: psutil.Process) -> bool:
    """Whether it is the program that starts one; not where it has ended since it was listed."""
    return "beam_boot" in command_line(worker)


def watchers(launcher: subprocess.Popen[str]) -> list[psutil.Process]:
    return [one for one in psutil.Process(launcher.pid).children() if command_line(one).endswith("jobs watch")]


def gone(processes: list[psutil.Process]) -> bool:
    def runs(process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess):
            return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
        return False

    return not any(map(runs, processes))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_server_outlives_its_launcher(tmp_path: Path, sent: signal.Signals) -> None:
    launcher = launch(tmp_path, "--port-base", str(free_port_base()))
    wait_for(lambda: len(state_of(tmp_path).get("servers", {})) == 5, "five servers")  # type: ignore[arg-type]
    # SIGINT comes when all is ready, the kill in the middle of the start.
    if sent is signal.SIGINT:
        wait_for(lambda: state_of(tmp_path).get("provisioned"), "ready")
    running = servers(tmp_path)
    if sent is signal.SIGINT:
        running += wait_for(lambda: watchers(launcher), "the process that watches the jobs")
    data = Path(str(state_of(tmp_path)["data"]))
    launcher.send_signal(sent)
    output = launcher.communicate(timeout=PATIENCE_SECONDS)[0]
    wait_for(lambda: gone(running), "the end of all servers")
    if sent is signal.SIGINT:
        assert launcher.returncode == 0
        assert "ready in" in output
        assert not data.exists()
    else:
        # What a killed launcher left is cleaned up by whoever looks next.
        asked = subprocess.run(
            [sys.executable, "-m", "shardlake", "status"],
            env={**os.environ, "SHARDLAKE_STATE": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode == 3
        assert "No stack is running" in asked.stderr
        assert not data.exists()


@pytest.mark.thorough
def test_no_python_worker_outlives_its_task_manager_not_even_one_that_is_starting(stack: RunningStack) -> None:
    leader = stack.stack.servers["taskmanager"].pid
    jobs = stack.start("jobs", "run", "archive", "error_alerts")
    # It asks the task manager what to do, and would wait for the answer for ever.
    wait_for(lambda: any(map(is_starting, of_group(leader))), "a worker that starts")
    os.kill(leader, signal.SIGKILL)
    wait_for(lambda: not of_group(leader), "the end of all workers")
    jobs.terminate()
    jobs.communicate(timeout=PATIENCE_SECONDS)


def test_a_taken_port_is_named_with_its_holder_and_nothing_is_started(tmp_path: Path) -> None:
    base = free_port_base()
    before = psutil.Process().children(recursive=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 4))
        taken.listen()
        launcher = launch(tmp_path, "--port-base", str(base))
        output = launcher.communicate(timeout=PATIENCE_SECONDS)[0]
    assert launcher.returncode == 3
    assert f"{base + 4} (registry)" in output
    assert f"process {os.getpid()}" in output
    assert "--port-base" in output
    assert not set(psutil.Process().children(recursive=True)) - set(before)


def test_a_server_that_fails_to_start_takes_the_others_with_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "kafka" / "logs").mkdir(parents=True)
    (data / "kafka" / "logs" / "meta.properties").write_text("cluster.id=another\nnode.id=7\nversion=1\n")
    launcher = launch(tmp_path, "--port-base", str(free_port_base()), "--data", str(data))
    output = launcher.communicate(timeout=PATIENCE_SECONDS)[0]
    assert launcher.returncode == 3
    assert "kafka ended while starting" in output
    assert "kafka.log" in output
    here = str(tmp_path)
    assert not [p for p in psutil.process_iter(["cmdline"]) if here in " ".join(p.info["cmdline"] or [])]


@pytest.mark.thorough
def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    from shardlake.testing.stack import running_stack

    data = tmp_path / "kept"
    with running_stack(ROOT, tmp_path / "state", data=data) as first:
        Topic(first).send_events([event(number) for number in range(50)])
        first.shardlake("jobs", "run", "archive")
        wait_for(lambda: list(data.rglob("lake/app_logs/**/[!.]*.parquet")), "rows")
        first.shardlake("jobs", "stop")
        ids = first.shardlake("query", "--json", "select event_id from app_logs order by 1")
    with running_stack(ROOT, tmp_path / "state", data=data) as second:
        assert sum(end for _, end in topics.offsets(second.settings.kafka_bootstrap_servers, "app-logs").values()) == 50
        assert second.shardlake("query", "--json", "select event_id from app_logs order by 1") == ids
        Topic(second).send_events([event(number) for number in range(50, 60)])
        assert "resumed from" in second.shardlake("jobs", "run", "archive")
        second.shardlake("jobs", "finish")
        found = second.shardlake("query", "--json", "select count(*) n, count(distinct event_id) d from app_logs")
        assert json.loads(found) == [{"n": 60, "d": 60}]


def test_everything_listens_on_loopback_only(stack: RunningStack) -> None:
    for name, server in stack.stack.servers.items():
        listening = [c for c in psutil.Process(server.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert listening, name
        assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} == {"127.0.0.1"}, (name, listening)


def test_a_client_plans_in_the_planner_of_the_stack(
    stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARDLAKE_STATE", str(stack.stack.state))
    lock = stack.stack.state / "planner" / "lock"
    before = {child.pid for child in psutil.Process().children()}
    submission = Submission(stack.pipeline, stack.settings, {"archive": {}}, tmp_path / "submit.log")
    (client,) = (child for child in psutil.Process().children() if child.pid not in before)

    def jvms() -> list[psutil.Process]:
        return [child for child in client.children() if child.name() == "java"]

    def has_claimed() -> bool:
        return lock.exists() and lock.read_text() == str(client.pid)

    try:
        wait_for(lambda: has_claimed() or jvms(), "the client to claim the planner, or to start a JVM")
        assert has_claimed()
        assert jvms() == []
    finally:
        submission.abandon()


AS_ANOTHER_USER = """
import json, os, sys
folders, processes = json.loads(sys.argv[1])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
def may(act, *arguments):
    try:
        act(*arguments)
    except PermissionError:
        return False
    return True
print(json.dumps({
    "listed": [name for name, fd in folders.items() if may(os.listdir, f"/proc/self/fd/{fd}")],
    "stopped": [name for name, pid in processes.items() if may(os.kill, pid, 0)],
    "environment": [name for name, pid in processes.items() if may(open, f"/proc/{pid}/environ", "rb")],
}))
"""
"""Folders come as open descriptors, so that a closed folder above hides nothing of their own modes."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as a second user")
def test_a_second_user_lists_nothing_raw_and_stops_nothing(stack: RunningStack) -> None:
    data, state = stack.stack.data, stack.stack.state
    private = {name: data / name for name in PRIVATE} | {"state": state, "logs": state / "logs"}
    folders = {name: os.open(folder, os.O_PATH) for name, folder in {**private, "lake": data / "lake"}.items()}
    processes = {name: server.pid for name, server in stack.stack.servers.items()}
    assert {"kafka", "taskmanager"} <= set(processes)
    try:
        told = subprocess.run(
            [sys.executable, "-I", "-c", AS_ANOTHER_USER, json.dumps([folders, processes])],
            pass_fds=tuple(folders.values()),
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        for descriptor in folders.values():
            os.close(descriptor)
    # The lake is for others to read.
    assert json.loads(told.stdout) == {"listed": ["lake"], "stopped": [], "environment": []}


FLINK_S_OWN_PAGE = [
    ("GET", "/overview", {}),
    ("GET", "/overview", {"Host": "localhost:{port}", "Origin": "http://localhost:{port}"}),
    ("GET", "/overview", {"Host": "[::1]:{port}", "Sec-Fetch-Site": "same-origin"}),
    ("GET", "/", {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}),
    ("GET", "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}),  # a link to it
]
ANY_OTHER_PAGE = [
    ("GET", "/overview", {"Host": "rebound.example"}),
    ("GET", "/overview", {"Host": "rebound.example:{port}", "Origin": "http://rebound.example:{port}"}),
    ("GET", "/overview", {"Host": ""}),
    ("GET", "/overview", {"Host": "127.0.0.1.rebound.example"}),
    ("GET", "/overview", {"Origin": "http://other.example"}),
    ("GET", "/overview", {"Origin": "null"}),
    ("GET", "/overview", {"Origin": "http://127.0.0.1:1"}),
    ("GET", "/overview", {"Sec-Fetch-Site": "same-site"}),
    ("GET", "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}),
    ("POST", "/jobs", {"Origin": "http://other.example"}),
    ("GET", "/jobs/00000000000000000000000000000000/yarn-cancel", {}),
    ("GET", "/v1/jobs/00000000000000000000000000000000/yarn%2Dcancel/?a=b", {}),
]


def test_flink_answers_programs_and_its_own_page_alone(stack: RunningStack) -> None:
    port = int(stack.settings.flink_rest_url.rsplit(":", 1)[1])
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + b"x" * 9_000 + b"\r\n--b--\r\n"

    def asked(method: str, path: str, headers: dict[str, str]) -> tuple[int, str | None]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        sent = {"Content-Type": "multipart/form-data; boundary=b"} | headers
        sent = {name: value.format(port=port) for name, value in sent.items()}
        connection.request(method, path, file if method == "POST" else None, sent)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.getheader("Access-Control-Allow-Origin") or None

    assert {asked(*request) for request in FLINK_S_OWN_PAGE} == {(200, None)}
    assert [request for request in ANY_OTHER_PAGE if asked(*request) != (403, None)] == []
    assert asked("POST", "/jars/upload", {})[0] == 400  # nothing there takes files


def test_status_logs_doctor_and_version_tell_of_it(stack: RunningStack) -> None:
    found = json.loads(stack.shardlake("status", "--json"))
    assert {server["server"]: server["state"] for server in found["servers"]} == dict.fromkeys(
        ["kafka", "registry", "jobmanager", "taskmanager", "planner"], "running"
    )
    assert "Kafka Server started" in stack.shardlake("logs", "kafka", "-n", "100000")
    (there,) = re.findall("There is: (.*).$", stack.shardlake("logs", "zookeeper", exit_code=2), re.MULTILINE)
    assert {"jobmanager", "kafka", "planner", "registry", "taskmanager"} <= set(there.split(", "))
    assert "running, launcher process" in stack.shardlake("doctor")
    assert json.loads(stack.shardlake("version", "--json"))["kafka_2.13"] == "4.4.0"


def test_the_registry_refuses_a_schema_that_old_records_do_not_fit(broker: RunningStack) -> None:
    from shardlake.avro.registry import Registry
    from shardlake.errors import ShardlakeError

    registry = Registry(broker.settings.schema_registry_url)
    schema = broker.pipeline.schemas["app_log"]
    incompatible = {**schema, "fields": [*schema["fields"], {"name": "must_be_there", "type": "string"}]}
    with pytest.raises(ShardlakeError, match="refuses the schema of app-logs-value"):
        registry.register("app-logs-value", incompatible)
    assert registry.schema_id("app-logs-value", schema) == registry.register("app-logs-value", schema)
