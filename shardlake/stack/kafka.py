"""One Kafka broker in KRaft mode, controller in the same process."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from shardlake.errors import ShardlakeError
from shardlake.install import layout
from shardlake.stack.java import SHORT_LIVED, java, log4j
from shardlake.stack.ports import HOST, Ports
from shardlake.stack.server import ANSWER_SECONDS, ServerPlan

CLUSTER_ID = "c2hhcmRsYWtlLWxvY2FsMQ"
SETTINGS = {
    # A producer with a typo must not make a topic.
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 4,
    "group.initial.rebalance.delay.ms": 0,
    "message.max.bytes": 8_388_608,
    # A broker that was killed may come back only when its old session has ended: 3 s instead of 9 s. One that is too
    # busy to renew its session for so long is fenced, and let in again by its next heartbeat: it does not end.
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    # It ends where no controller has let it in by then, and on a busy machine three take their time to find each other.
    "initial.broker.registration.timeout.ms": 600_000,
    # Members that are killed are noticed in 6 s instead of 45 s. One that is too busy for so long loses its partitions,
    # and joins again by itself.
    "group.consumer.session.timeout.ms": 6000,
    "group.consumer.min.session.timeout.ms": 6000,
    "group.consumer.heartbeat.interval.ms": 1000,
    "group.consumer.min.heartbeat.interval.ms": 1000,
}
"""Of every broker of ours, alone or one of three."""
JVM_OPTIONS = ["-XX:+UseSerialGC"]


def kafka(folder: Path, ports: Ports, *, train: bool = False, short_lived: bool = False) -> ServerPlan:
    """A broker that keeps its logs in `folder`, formatted where it is new."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    properties = folder / "server.properties"
    properties.write_text(_properties(folder, ports))
    if not (folder / "logs" / "meta.properties").exists():
        _format(properties)
    options = [*(SHORT_LIVED if short_lived else JVM_OPTIONS), f"-Dlog4j2.configurationFile={log4j(folder)}"]
    command = java("kafka", folder, heap_mb=512, options=options, train=train)
    return ServerPlan(
        name="kafka",
        command=[*command, "-cp", layout.class_path(layout.KAFKA), "kafka.Kafka", str(properties)],
        address=f"{HOST}:{ports.kafka}",
        ready=lambda: _answers(ports.kafka),
        stop_seconds=30,
    )


def _answers(port: int) -> bool:
    """Whether the broker serves requests: it opens its port only when it has caught up with the controller."""
    with socket.socket() as probe:
        probe.settimeout(ANSWER_SECONDS)
        return probe.connect_ex((HOST, port)) == 0


def _properties(folder: Path, ports: Ports) -> str:
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{HOST}:{ports.kafka_controller}",
        "listeners": f"PLAINTEXT://{HOST}:{ports.kafka},CONTROLLER://{HOST}:{ports.kafka_controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{ports.kafka}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": folder / "logs",
        # The defaults are for three brokers.
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        **SETTINGS,
    }
    return as_properties(settings)


def as_properties(settings: Mapping[str, object]) -> str:
    """The text of a properties file."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _format(properties: Path) -> None:
    command = java("kafka", properties.parent, heap_mb=128, options=SHORT_LIVED)
    tool = [
        "-cp", layout.class_path(layout.KAFKA), "kafka.tools.StorageTool",
        "format", "--cluster-id", CLUSTER_ID, "--config", str(properties),
    ]  # fmt: skip
    done = subprocess.run([*command, *tool], capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"Kafka's storage could not be formatted: {(done.stderr or done.stdout).strip()[-800:]}"
        raise ShardlakeError(msg)
