"""Planted addresses, mail addresses, tokens and keys are found in the topics, and nowhere in lake, logs and metrics."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import psutil
import pytest

from shardlake import pii, topics
from shardlake.lake.query import database
from shardlake.storage import find
from shardlake.testing.stack import RunningStack, free_port_base
from tests.e2e.lake import all_accounted_for, has_rows, rows
from tests.support import PATIENCE_SECONDS, Topic, command_line, event, wait_for

pytestmark = pytest.mark.e2e

ADDRESS, ADDRESS_6, MAIL = "203.0.113.211", "2001:db8:dead:beef::99", "alice.planted@example.org"
TOKEN, PASSWORD = "tok-planted-5ecr3t", "pa55-planted"
PLANTED = (ADDRESS, ADDRESS_6, MAIL, "alice.planted", TOKEN, PASSWORD, "planted")
"""All end up in one search: the last finds whatever the others may have become."""
LINES = [
    f'{ADDRESS} - - [03/Nov/2026:12:00:00 +0000] "GET /reset?mail={MAIL}&t={TOKEN} HTTP/1.1" 200 12 '
    f'"https://alice:{PASSWORD}@shop.example/a?mail={MAIL}" "Robot/1 ({MAIL})"',
    f'{ADDRESS_6} - alice.planted [03/Nov/2026:12:00:01 +0000] "GET /a#{TOKEN} HTTP/1.1" 500 - "-" "-"',
    f'{ADDRESS} - - [03/Nov/2026:12:00:02 +0000] "{MAIL} {TOKEN}" 400 0 "-" "-"',
    f"login of {MAIL} from {ADDRESS} failed, token {TOKEN}, password {PASSWORD}",
]
FREE_TEXT = f"{MAIL} {ADDRESS} {ADDRESS_6} {TOKEN} {PASSWORD}"


def planted(number: int) -> dict[str, object]:
    """An event with something planted in each field that the schema marks."""
    return event(
        number, client_address=ADDRESS, path=f"/a?{FREE_TEXT}", referrer=f"https://{MAIL}@h/?{TOKEN}",
        message=FREE_TEXT, raw=FREE_TEXT, user_agent=FREE_TEXT,
    )  # fmt: skip


def bad(topic: Topic) -> list[bytes]:
    """Values that are no events, with something planted in them, each refused for another reason."""
    good = topic.encode(planted(0))
    unknown = b"\x00" + (4711).to_bytes(4, "big") + good[5:]
    not_utf8 = good.replace(TOKEN.encode(), b"\xff" + TOKEN.encode()[1:], 1)
    return [good[:-3], good + b"x", unknown, not_utf8, FREE_TEXT.encode(), good[:5] + FREE_TEXT.encode() * 9]


@pytest.fixture
def planting(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> RunningStack:
    """A stack whose task manager has a password in its environment: Python workers have it too, and Beam logged all of
    it."""
    monkeypatch.setenv("SOME_PASSWORD", PASSWORD)
    stack.stack.restart("taskmanager")
    monkeypatch.delenv("SOME_PASSWORD")
    wait_for(stack.stack.servers["taskmanager"].is_ready, "the task manager")
    return stack


def test_what_is_planted_is_in_the_topics_alone_also_across_a_rotation(planting: RunningStack, tmp_path: Path) -> None:
    stack, topic = planting, Topic(planting)
    key = stack.stack.data / "pii.key"
    first = pii.read(key)
    log = tmp_path / "web.log"
    log.write_text("\n".join([*LINES, f"{FREE_TEXT} ".ljust(1_100_000, "x"), ""]))
    told = [stack.shardlake("produce", str(log), exit_code=1)]
    told.append(stack.shardlake("jobs", "run"))
    consumer = stack.start("consume", "consumers/traffic.py")
    topic.send_events([planted(number) for number in range(20)])
    topic.send(list(bad(topic)), [ADDRESS.encode()] * 6)
    wait_for(has_rows(stack, 24), "the rows of the first key")
    told.append(stack.shardlake("jobs", "stop"))

    told += [stack.shardlake("pii", "rotate"), stack.shardlake("jobs", "run")]
    new = key.read_text()
    assert pii.key_id(new) in stack.shardlake("pii", "key")
    topic.send_events([planted(number) for number in range(20, 30)])
    wait_for(has_rows(stack, 34), "the rows of the second key")
    told += flink_pages(stack)
    told.append(metrics(stack))
    commands = " ".join(command_line(p) for p in psutil.Process().children(recursive=True))
    known = {name: environment_of(server.pid) for name, server in stack.stack.servers.items()}
    told.append(stack.shardlake("jobs", "finish"))
    for arguments in (["jobs", "list"], ["lag"], ["doctor"], ["status", "--json"], ["logs", "-n", "100000"]):
        told.append(stack.shardlake(*arguments))
    consumer.terminate()
    told.append(consumer.communicate(timeout=PATIENCE_SECONDS)[0])

    # Who has the old key finds a person's rows, and gives it in no command line.
    old = ("pii", "hash", "--key-file", str(key.with_name(f"{key.name}.{pii.key_id(first)}")))
    asked = subprocess.run(
        stack.command(*old), input=f"{ADDRESS}\n", capture_output=True, text=True, env=stack.environment, check=True
    )
    assert asked.stdout == f"{pii.hashed(first, ADDRESS)}\n"

    # It was there to be found.
    letters = b"".join(
        message.value() for message in topics.read(stack.settings.kafka_bootstrap_servers, "app-logs.dlq")
    )
    assert letters.count(MAIL.encode()) > 6
    assert all_accounted_for(stack)
    hashes = rows(stack, "SELECT client_address, count(*) FROM app_logs WHERE latency_ms IS NOT NULL GROUP BY 1")
    assert dict(hashes) == {pii.hashed(first, ADDRESS): 20, pii.hashed(new, ADDRESS): 10}
    # And it is not.
    searched = {"output": "\n".join(told), "commands": commands, **lake_and_logs(stack)}
    assert len(searched) > 20
    for where, text in searched.items():
        text = text.replace(str(tmp_path), "")
        for secret in (*PLANTED, first, new):
            at = text.find(secret)
            assert at < 0, f"{secret} in {where}: {text[max(0, at - 200) : at + 200]}"
    assert [name for name, found in known.items() if new in found or str(key) in found] == ["taskmanager"]


def lake_and_logs(stack: RunningStack) -> dict[str, str]:
    """Every file of the lake, as bytes and decoded, and every file of the state folder."""
    lake, state = stack.settings.lake, stack.stack.state
    files = [file.path for file in find(lake, "*") if file.path.is_file()]
    found = {str(path): path.read_bytes().decode("latin-1") for path in files}
    for path in files:
        if path.name.endswith(".parquet"):
            rows = database([lake]).execute("FROM read_parquet(?)", [str(path)])
            found[f"rows of {path}"] = str(rows.fetchall())
    return found | {str(path): path.read_text(errors="replace") for path in state.rglob("*") if path.is_file()}


def flink_pages(stack: RunningStack) -> list[str]:
    """What Flink's REST API tells of the running job, its plan, configuration and metrics."""
    pages = ["/jobmanager/config", "/jobmanager/environment", "/taskmanagers", "/config", "/jobs/metrics"]
    pages += [f"/taskmanagers/{one['id']}" for one in json.loads(page(stack, "/taskmanagers"))["taskmanagers"]]
    for job in json.loads(page(stack, "/jobs/overview"))["jobs"]:
        base = f"/jobs/{job['jid']}"
        pages += [base, *(f"{base}/{one}" for one in ("plan", "config", "exceptions", "checkpoints", "metrics"))]
        for vertex in json.loads(page(stack, base))["vertices"]:
            pages += [f"{base}/vertices/{vertex['id']}", f"{base}/vertices/{vertex['id']}/subtasks/metrics"]
    return [page(stack, one) for one in pages]


def page(stack: RunningStack, path: str) -> str:
    with urllib.request.urlopen(stack.settings.flink_rest_url + path, timeout=10) as answer:
        return str(answer.read().decode())


def metrics(stack: RunningStack) -> str:
    """What the exporter serves."""
    port = free_port_base()
    exporter = stack.start("lag", "--serve", "--port", str(port))

    def ask() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    found = wait_for(lambda: "shardlake-jobs" in ask() and ask(), "the jobs' group in the metrics")
    exporter.terminate()
    return str(found) + exporter.communicate(timeout=PATIENCE_SECONDS)[0]


def environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text(errors="replace")
