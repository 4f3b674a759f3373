"""A Flink session cluster: one job manager, one task manager, started by `java` without Flink's shell scripts.

The scripts start a JVM each only to compute memory; what they would compute is set here.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from shardlake import registry_login
from shardlake.install import layout
from shardlake.stack.java import SHORT_LIVED, TEMPORARY, java, log4j
from shardlake.stack.ports import HOST, Ports
from shardlake.stack.server import ANSWER_SECONDS, ServerPlan
from shardlake.storage import S3

SLOTS = 4
JOBMANAGER_GONE_SECONDS = 15
TASK_HEAP_MB = 1024
FRAMEWORK_HEAP_MB = 128
AVRO = "org.apache.flink.avro.shaded.org.apache.avro.limits"
MAX_VALUE_BYTES = 1_048_576
JOBMANAGER_MAIN = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASKMANAGER_MAIN = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
REPORTER = "metrics.reporter.prometheus"
ON_LOOPBACK = [
    "-Dcom.sun.net.httpserver.HttpServerProvider=io.shardlake.flink.LoopbackHttpServers",
    "--add-exports=jdk.httpserver/sun.net.httpserver=ALL-UNNAMED",
]
"""Flink's reporter takes a port, but no address, and so would listen on every one."""
SETTINGS = {
    # The REST API has no password. These two take away the upload of jars and the page's button, and no more: whoever
    # reaches the port still submits jobs (as `jobs run` does) and cancels them.
    "web.submit.enable": "false",
    "web.cancel.enable": "false",
    # A browser reaches loopback for any page: RestGuard refuses what is not asked by Flink's own page, where
    # `shardlake.rest.hosts` is set, and no page of another origin may read an answer (Flink says `*`).
    "web.access-control-allow-origin": "",
    "taskmanager.numberOfTaskSlots": SLOTS,
    # One that was killed refuses the next heartbeats, and is given up after two; one that has too little of a processor
    # answers late, and is not.
    "heartbeat.interval": "2s",
    "heartbeat.timeout": "50s",
    # A task that is deployed, a slot that is offered, an answer of the REST API: on a busy machine each takes its time.
    "pekko.ask.timeout": "60s",
    "slot.request.timeout": "300s",
    # After that without a job manager it ends.
    "taskmanager.registration.timeout": "1800s",
    # The default is as long as the ask's: slots of a job manager that was killed would be held for so long.
    "taskmanager.slot.timeout": "10s",
    "classloader.check-leaked-classloader": "false",
    # How old an answer about a job may be: with the default of 3 s `jobs run` returns so much later.
    "web.refresh-interval": "500 ms",
    # `jobs finish` asks them how far the sources have read.
    "metrics.fetcher.update-interval": 500,
    # The job manager's own: in a job's settings it does nothing.
    "execution.checkpointing.num-retained": 3,
    # For Prometheus; each manager listens on 9249 where nothing else is said.
    f"{REPORTER}.factory.class": "org.apache.flink.metrics.prometheus.PrometheusReporterFactory",
}
"""Of every Flink of ours, here or in containers."""


def jobmanager_options() -> list[str]:
    """Options of the job manager's JVM."""
    return [*SHORT_LIVED, *wheel_opens().split()]


def taskmanager_options(*, short_lived: bool = False) -> list[str]:
    """Options of the task manager's JVM: hostile lengths in Avro are refused before memory is taken for them."""
    limits = ("string.maxLength", "bytes.maxLength", "collectionItems.maxLength")
    compiling = SHORT_LIVED if short_lived else ["-XX:+UseParallelGC"]
    return [*compiling, *(f"-D{AVRO}.{what}={MAX_VALUE_BYTES}" for what in limits), *wheel_opens().split()]


def jobmanager(folder: Path, ports: Ports, *, s3: S3 | None = None, train: bool = False) -> ServerPlan:
    """The job manager; its REST API takes jobs from any program that reaches the API, so it is on loopback.

    With `s3` both managers load the file system for it."""
    configuration = _configuration(folder, ports, s3)
    options = [*jobmanager_options(), *ON_LOOPBACK, f"-Dlog4j2.configurationFile={log4j(configuration)}"]
    return ServerPlan(
        name="jobmanager",
        command=[
            *java("jobmanager", folder, heap_mb=512, options=options, train=train),
            *_main(JOBMANAGER_MAIN, configuration, ports.flink_jobmanager_metrics),
        ],
        address=rest_url(ports),
        ready=lambda: _slots(ports) is not None,
        environment=_environment(configuration, s3),
    )


def taskmanager(
    folder: Path,
    ports: Ports,
    *,
    pii: Mapping[str, str],
    s3: S3 | None = None,
    train: bool = False,
    short_lived: bool = False,
) -> ServerPlan:
    """The task manager. It alone is told the key that masks PII, by the variables `pii`."""
    configuration = _configuration(folder, ports, s3)
    options = [
        *taskmanager_options(short_lived=short_lived),
        *ON_LOOPBACK,
        f"-Dlog4j2.configurationFile={log4j(configuration)}",
    ]
    heap_mb = TASK_HEAP_MB + FRAMEWORK_HEAP_MB
    # It only answers heartbeats, so that nothing else tells it that its job manager was killed; in containers ZooKeeper
    # does. Until then it holds the slots that the jobs' next run needs.
    noticing = f"-Dheartbeat.timeout={JOBMANAGER_GONE_SECONDS}s"
    return ServerPlan(
        name="taskmanager",
        command=[
            *java("taskmanager", folder, heap_mb=heap_mb, options=options, train=train),
            *_main(TASKMANAGER_MAIN, configuration, ports.flink_taskmanager_metrics),
            noticing,
        ],
        address=f"{HOST}:{ports.flink_taskmanager_data}",
        ready=lambda: (_slots(ports) or 0) >= SLOTS,
        environment={
            **_environment(configuration, s3),
            **pii,
            **registry_login.of_task_managers(),
            "PATH": f"{layout.WORKERS_PYTHON.parent}:{os.environ['PATH']}",
        },
    )


def rest_url(ports: Ports) -> str:
    """Flink's web page and REST API."""
    return f"http://{HOST}:{ports.flink_rest}"


def _slots(ports: Ports) -> int | None:
    try:
        with urllib.request.urlopen(f"{rest_url(ports)}/overview", timeout=ANSWER_SECONDS) as response:
            overview: dict[str, Any] = json.load(response)
    except (urllib.error.URLError, OSError, HTTPException, ValueError):
        return None
    slots: int = overview["slots-total"]
    return slots


def _main(main_class: str, configuration: Path, metrics_port: int) -> list[str]:
    # The two have one configuration between them, but not this port.
    own = f"-D{REPORTER}.port={metrics_port}"
    return ["-cp", layout.class_path(layout.FLINK / "lib"), main_class, "--configDir", str(configuration), own]


def _environment(configuration: Path, s3: S3 | None) -> dict[str, str]:
    plugins = layout.PLUGINS_WITH_S3 if s3 else layout.PLUGINS
    keys = s3.environment() if s3 else {}
    return {"FLINK_CONF_DIR": str(configuration), "FLINK_PLUGINS_DIR": str(plugins), **keys}


def wheel_opens() -> str:
    """What the wheel's own configuration opens of the Java modules: without it jobs fail with InaccessibleObject."""
    lines = (layout.pyflink_wheel() / "conf" / "config.yaml").read_text().splitlines()
    return next(line.split("all:", 1)[1].strip() for line in lines if line.strip().startswith("all: --add-exports"))


def _configuration(folder: Path, ports: Ports, s3: S3 | None) -> Path:
    conf = folder / "conf"
    temporary = folder / TEMPORARY
    for path in (conf, temporary):
        path.mkdir(parents=True, exist_ok=True)
    settings = {
        **SETTINGS,
        "jobmanager.rpc.address": HOST,
        "jobmanager.rpc.port": ports.flink_jobmanager,
        "jobmanager.bind-host": HOST,
        "blob.server.port": ports.flink_blob,
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": ports.flink_rest,
        "rest.bind-port": ports.flink_rest,
        "shardlake.rest.hosts": "localhost",
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        # Any free one: where a killed task manager comes back at its old address, the job manager may not talk to it
        # for a minute (Pekko keeps what it knows of the address).
        "taskmanager.rpc.port": 0,
        "taskmanager.data.port": ports.flink_taskmanager_data,
        "taskmanager.data.bind-port": ports.flink_taskmanager_data,
        # Started without the scripts, the task manager wants each of these.
        "taskmanager.cpu.cores": 2.0,
        "taskmanager.memory.framework.heap.size": f"{FRAMEWORK_HEAP_MB}m",
        "taskmanager.memory.task.heap.size": f"{TASK_HEAP_MB}m",
        "taskmanager.memory.framework.off-heap.size": "128m",
        "taskmanager.memory.task.off-heap.size": "0m",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        "taskmanager.memory.jvm-overhead.min": "192m",
        "taskmanager.memory.jvm-overhead.max": "192m",
        "taskmanager.memory.managed.size": "256m",
        "taskmanager.memory.network.min": "96m",
        "taskmanager.memory.network.max": "96m",
        "io.tmp.dirs": temporary,
        # Metrics between the two would open one more port each, at random.
        "metrics.internal.query-service.port": 0,
        **(s3.flink_settings() if s3 else {}),
    }
    (conf / "config.yaml").write_text(as_yaml(settings))
    return conf


def as_yaml(settings: Mapping[str, object]) -> str:
    """The text of Flink's config.yaml, with what the wheel's own opens of Java's modules.

    The YAML of Flink 2 wants strings quoted where they hold a colon.
    """
    everything = {"env.java.opts.all": wheel_opens(), **settings}
    return "".join(f"{name}: {json.dumps(str(value))}\n" for name, value in everything.items())
