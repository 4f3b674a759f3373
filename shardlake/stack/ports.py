"""Which server listens where: fixed distances from one base, all on loopback, checked before anything starts."""

from __future__ import annotations

import socket
from dataclasses import dataclass, fields

import psutil

from shardlake.errors import BadInput, Unavailable

HOST = "127.0.0.1"
FIRST, LAST = 1, 19
LEFT_OUT = 11
"""From the default base this is 9101, where `shardlake lag --serve` and other exporters are."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one stack. With the default base of 9090 the broker has Kafka's own 9092.

    Those whose names begin with `s3` are taken only where the stack has an S3 server.
    """

    flink_jobmanager_metrics: int
    kafka: int
    kafka_controller: int
    registry: int
    registry_management: int
    flink_rest: int
    flink_jobmanager: int
    flink_blob: int
    flink_taskmanager_data: int
    s3: int
    s3_grpc: int
    s3_master: int
    s3_master_grpc: int
    s3_volume: int
    s3_volume_grpc: int
    s3_filer: int
    s3_filer_grpc: int
    flink_taskmanager_metrics: int

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """Ports base + 1 to base + 9, and base + 19; S3's are base + 10 and base + 12 to base + 18. Raises BadInput
        where these are no user ports."""
        least, most = 1024 - FIRST, 65535 - LAST
        if not least <= base <= most:
            msg = f"The port base {base} is out of range."
            raise BadInput(msg, f"Choose one from {least} to {most}: the servers take base + {FIRST} to base + {LAST}.")
        return cls(*(base + distance for distance in range(FIRST, LAST + 1) if distance != LEFT_OUT))

    def check(self, *, s3: bool = False) -> None:
        """Raises Unavailable naming each taken port and the process that holds it."""
        names = [field.name for field in fields(self) if s3 or not field.name.startswith("s3")]
        taken = [
            f"{getattr(self, name)} ({name}), held by {holder(getattr(self, name))}"
            for name in names
            if is_taken(getattr(self, name))
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
