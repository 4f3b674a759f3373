"""The alarms for real: Prometheus scrapes the containers of compose.yaml, faults are planted in servers and workers.

Each must be alarmed within a minute; an idle stack in good health alarms nobody for ten. How long each alarm took is
told at the end.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from grafana_dashboards.queries import queries
from shardlake.stack.containers import docker
from shardlake.testing.containers import PROMETHEUS_PORT, SERVERS, RunningContainers, running_containers
from shardlake.testing.plugin import skip_without_engine
from tests.support import ROOT, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(3600)]

PRODUCERS = ("producer-1", "producer-2")
CONSUMERS = ("consumer-1", "consumer-2")
FIRES_SECONDS = 60
KNOWN_BY_ITS_NAME = 'kafka_consumergroup_lag_sum non-histogram and non-summary metrics should not have "_sum" suffix\n'
"""What promtool has against a name of danielqsj's exporter, which dashboards know."""
CLEARS_SECONDS = 180
IDLE_SECONDS = 600
HANGS = """
import time
from pathlib import Path

BEGAN = time.monotonic()


def process_record(record):
    \"\"\"Works for twenty seconds, and not any more.\"\"\"
    if time.monotonic() - BEGAN > 20:
        Path(SIGN).touch()
        time.sleep(3600)
"""
SLOW_SHARD = """
import time


def process_record(record):
    \"\"\"One shard of four takes a second for each record.\"\"\"
    if record.shard_id.endswith("-0"):
        time.sleep(1)
"""
SLOW = """
import time


def process_record(record):
    \"\"\"Every record takes longer than the next one needs to come.\"\"\"
    time.sleep(0.5)
"""


class Watched:
    """The containers, and the Prometheus that watches them."""

    def __init__(self, containers: RunningContainers) -> None:
        self.containers = containers
        self.servers = containers.settings.kafka_bootstrap_servers
        self._url = f"http://127.0.0.1:{containers.variables[PROMETHEUS_PORT]}/api/v1"
        self.began = time.time()
        self.alarmed: list[str] = []

    def ask(self, path: str, **parameters: Any) -> Any:
        url = f"{self._url}/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]

    def value(self, query: str) -> float | None:
        """Of a query of one series, None where there is none."""
        found = self.ask("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self, **labels: str) -> set[str]:
        """The alarms that fire now, of those with these labels."""
        return {
            one["labels"]["alertname"]
            for one in self.ask("alerts")["alerts"]
            if one["state"] == "firing" and labels.items() <= one["labels"].items()
        }

    def fired_within(self, seconds: float) -> dict[str, int]:
        """The alarms that fired in the last seconds, with how many evaluations they did."""
        query = f'sum by (alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{int(seconds)}s]))'
        found = self.ask("query", query=query)["result"]
        return {one["metric"]["alertname"]: int(one["value"][1]) for one in found}

    def await_alarm(self, name: str, began: float, **labels: str) -> None:
        """It fires with these labels, a minute after `began` at the latest."""
        left = FIRES_SECONDS - (time.monotonic() - began)
        wait_for(lambda: name in self.firing(**labels), f"{name} to fire", seconds=left)
        self.alarmed.append(f"{name} {time.monotonic() - began:.0f} s")

    def await_quiet(self, *but: str) -> None:
        """Until none fires but these."""
        deadline = time.monotonic() + CLEARS_SECONDS
        while left := self.firing() - set(but):
            assert time.monotonic() < deadline, f"still firing: {left}"
            time.sleep(2)

    def services(self, verb: str, *names: str) -> None:
        """`docker stop`, `kill` or `start` of their containers."""
        docker(verb, *(self.containers.container(name).name for name in names))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Watched]:
    skip_without_engine()
    services = (*SERVERS, "setup", "jobs", *PRODUCERS, *CONSUMERS, "lag", "prometheus")
    with running_containers(
        ROOT, tmp_path_factory.mktemp("state"), services=services, profiles=["obs"], checkpoint_seconds=5
    ) as containers:
        one = Watched(containers)
        wait_for(lambda: one.value('sum(kafka_consumergroup_lag{consumergroup="traffic"})') is not None, "lag")
        one.await_quiet()
        yield one
        plugin: Callable[[str], Any] = pytestconfig.pluginmanager.get_plugin
        with plugin("capturemanager").global_and_fixture_disabled():
            plugin("terminalreporter").write_line(f"\nalarmed after: {', '.join(one.alarmed)}")


@contextmanager
def worker(watched: Watched, folder: Path, name: str, code: str) -> Iterator[None]:
    """A worker of a group of its own, with a consumer in which a fault is planted, from the topic's end on."""
    shutil.copytree(ROOT / "schemas", folder / "schemas")
    (folder / "consumers").mkdir()
    (folder / "consumers" / f"{name}.py").write_text(code.lstrip())
    command = watched.containers.command("consume", name, "--position", "LATEST", "--timeout", "0")
    command[command.index("--pipeline") + 1] = str(folder)
    environment = {**watched.containers.environment, "SHARDLAKE_PIPELINE": str(ROOT)}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.kill()
        running.wait()
        forget(watched, name)


def forget(watched: Watched, group: str) -> None:
    """Delete a group, once its members are gone."""
    admin = AdminClient({"bootstrap.servers": watched.servers})

    def gone() -> bool:
        try:
            admin.delete_consumer_groups([group])[group].result()
        except KafkaException:  # its members are still known
            return False
        return True

    wait_for(gone, f"group {group} to go")


def test_metrics_are_named_as_prometheus_wants_them(watched: Watched) -> None:
    """By `promtool check metrics`; Flink's names are Flink's."""
    prometheus = watched.containers.container("prometheus").name
    for service, port in (("lag", 9308), ("consumer-1", 9310), ("producer-1", 9311)):
        ask = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/metrics').read().decode(), end='')"
        text = docker("exec", watched.containers.container(service).name, "/opt/venv/bin/python", "-c", ask)
        assert "# TYPE " in text
        checked = subprocess.run(
            ["docker", "exec", "-i", prometheus, "promtool", "check", "metrics"],
            input=text, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert checked.stdout + checked.stderr == (KNOWN_BY_ITS_NAME if service == "lag" else ""), service


def test_an_idle_stack_in_good_health_alarms_nobody_for_ten_minutes(watched: Watched) -> None:
    watched.services("stop", *PRODUCERS)
    wait_for(lambda: watched.value("sum(kafka_consumergroup_lag > 0) or vector(0)") == 0, "all to catch up")
    time.sleep(IDLE_SECONDS)
    assert watched.fired_within(IDLE_SECONDS) == {}
    age_seconds = watched.value('shardlake_lake_freshness_seconds{table="app_logs"}')
    assert age_seconds is not None
    assert age_seconds > IDLE_SECONDS
    watched.services("start", *PRODUCERS)
    time.sleep(60)
    assert watched.fired_within(60) == {}


def test_workers_that_are_stopped(watched: Watched) -> None:
    watched.services("stop", *CONSUMERS)
    watched.await_alarm("ConsumerStopped", time.monotonic(), group="traffic")
    watched.services("start", *CONSUMERS)
    watched.await_quiet()


def test_a_worker_that_hangs(watched: Watched, tmp_path: Path) -> None:
    sign = tmp_path / "hangs"
    with worker(watched, tmp_path / "pipeline", "hangs", f"SIGN = {str(sign)!r}\n{HANGS}"):
        wait_for(sign.exists, "it to hang")
        watched.await_alarm("ConsumerStalled", time.monotonic(), group="hangs")
    watched.await_quiet()


def test_a_worker_that_goes_back(watched: Watched) -> None:
    consumer = Consumer(
        {"bootstrap.servers": watched.servers, "group.id": "goes-back", "auto.offset.reset": "earliest"}
    )
    try:
        consumer.commit(offsets=[TopicPartition("app-logs", 0, 100)], asynchronous=False)
        committed = 'kafka_consumergroup_current_offset{consumergroup="goes-back"}'
        wait_for(lambda: watched.value(committed), "its commit")
        began = time.monotonic()
        consumer.commit(offsets=[TopicPartition("app-logs", 0, 10)], asynchronous=False)
        watched.await_alarm("ConsumerRewound", began, group="goes-back")
    finally:
        consumer.close()
        forget(watched, "goes-back")
    watched.await_quiet()


def test_a_worker_that_is_slow(watched: Watched, tmp_path: Path) -> None:
    with worker(watched, tmp_path / "pipeline", "slow", SLOW):
        wait_for(lambda: watched.value('count(kafka_consumergroup_lag{consumergroup="slow"} > 0)'), "its lag")
        watched.await_alarm("IteratorAgeHigh", time.monotonic(), group="slow")
    watched.await_quiet()


def test_a_shard_that_is_hot(watched: Watched, tmp_path: Path) -> None:
    with worker(watched, tmp_path / "pipeline", "hot", SLOW_SHARD):
        wait_for(lambda: watched.value('count(kafka_consumergroup_lag{consumergroup="hot"} > 0)'), "its lag")
        watched.await_alarm("HotShard", time.monotonic(), group="hot")
    watched.await_quiet()


def test_poison(watched: Watched) -> None:
    began = time.monotonic()
    watched.containers.shardlake("produce", "--synthetic", "--rate", "50", "--duration", "4", "--poison", "30")
    watched.await_alarm("DeadLetterRate", began, topic="app-logs.dlq")
    watched.await_quiet()


def test_checkpoints_that_do_not_come(watched: Watched) -> None:
    began = time.monotonic()
    watched.services("kill", "taskmanager-1", "taskmanager-2")
    watched.await_alarm("CheckpointStale", began)
    watched.await_alarm("LakeStale", began)
    watched.services("start", "taskmanager-1", "taskmanager-2")
    watched.await_quiet("LakeFreshnessBurn14x", "LakeFreshnessBurn6x")


def test_a_broker_that_is_killed(watched: Watched) -> None:
    began = time.monotonic()
    watched.services("kill", "kafka-3")
    watched.await_alarm("UnderReplicatedPartition", began, topic="app-logs")
    watched.services("start", "kafka-3")
    watched.await_quiet("LakeFreshnessBurn14x", "LakeFreshnessBurn6x")


def test_an_exporter_that_is_gone_is_no_silence(watched: Watched) -> None:
    began = time.monotonic()
    watched.services("stop", "lag")
    watched.await_alarm("LagMetricsMissing", began)
    watched.services("start", "lag")
    watched.await_quiet("LakeFreshnessBurn14x", "LakeFreshnessBurn6x")


def test_every_query_of_the_dashboards_found_something_meanwhile(watched: Watched) -> None:
    """Over the time of the tests before, in which everything happened that panels are about."""
    step = max(5, int((time.time() - watched.began) / 400))
    empty = [
        f"{query.dashboard}, {query.panel}: {query.expr}"
        for query in queries()
        if not watched.ask("query_range", query=query.expr, start=watched.began, end=time.time(), step=step)["result"]
    ]
    assert empty == []
