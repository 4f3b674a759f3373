"""Which server listens where: fixed distances from one base, all on loopback, checked before anything starts."""

from __future__ import annotations

import socket
from dataclasses import dataclass, fields

import psutil

from shardlake.errors import BadInput, Unavailable

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one stack. With the default base of 9090 the broker has Kafka's own 9092."""

    kafka: int
    kafka_controller: int
    registry: int
    registry_management: int
    flink_rest: int
    flink_jobmanager: int
    flink_blob: int
    flink_taskmanager_data: int

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """Ports base + 2 to base + 9. Raises BadInput where these are no user ports."""
        last = base + 1 + len(fields(cls))
        if not base >= 1022 or last > 65535:
            msg = f"The port base {base} is out of range."
            raise BadInput(msg, "Choose one from 1022 to 65526: the servers take base + 2 to base + 9.")
        return cls(*range(base + 2, last + 1))

    def check(self) -> None:
        """Raises Unavailable naming each taken port and the process that holds it."""
        taken = [
            f"{getattr(self, field.name)} ({field.name}), held by {holder(getattr(self, field.name))}"
            for field in fields(self)
            if is_taken(getattr(self, field.name))
        ]
        if taken:
            msg = f"{'Port' if len(taken) == 1 else 'Ports'} {'; '.join(taken)}."
            raise Unavailable(
                msg.replace("Port", "Taken: port", 1),
                "Stop that process, or move all ports: `--port-base 19090` or SHARDLAKE_PORT_BASE=19090.",
            )


def holder(port: int) -> str:
    """The process that listens on a port of this machine, as far as this user may see it."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if connection.pid is None:
                break
            try:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.NoSuchProcess:
                break
    return "a process that this user may not see"


def is_taken(port: int) -> bool:
    """Whether somebody listens on a port of loopback."""
    with socket.socket() as probe:
        # A port in TIME_WAIT is free for a server that sets this too, as all of ours do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False
