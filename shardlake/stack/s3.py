"""An S3 server of the stack's own: SeaweedFS, all of its parts in one process, with one bucket for lake and jobs."""

from __future__ import annotations

import secrets
from pathlib import Path

from shardlake.install import layout
from shardlake.stack.ports import HOST, Ports
from shardlake.stack.server import ServerPlan
from shardlake.storage import S3, make_bucket

BUCKET = "shardlake"
VOLUME_MB = 1024
SETTINGS = {
    # It reports statistics to its makers otherwise.
    "master.telemetry": "false",
    # What else it would listen for.
    "s3.port.iceberg": 0,
    "s3.port.lance": 0,
    "s3.iam": "false",
    # A bucket whose name has a typo must not come to be.
    "s3.autoCreateBucket": "false",
}
"""Of every S3 server of ours, here or in a container."""
SOCKET = "/tmp/seaweedfs-{}-grpc-{}.sock"
"""It makes these there whatever it is told."""


def own_s3(ports: Ports) -> S3:
    """How the server is reached, with keys that are made anew for each start: nobody else needs to know them."""
    return S3(f"http://{HOST}:{ports.s3}", "us-east-1", "shardlake", secrets.token_hex(20))


def s3(folder: Path, ports: Ports, reached: S3) -> ServerPlan:
    """A server that keeps its objects in `folder`, ready when it has the bucket."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "ip": HOST,
        "ip.bind": HOST,
        "dir": folder,
        "master.port": ports.s3_master,
        "master.port.grpc": ports.s3_master_grpc,
        "master.volumeSizeLimitMB": VOLUME_MB,
        # As many volumes as the disk has room for; the default is 8, of which each bucket takes 7 at once.
        "volume.max": 0,
        "volume.port": ports.s3_volume,
        "volume.port.grpc": ports.s3_volume_grpc,
        "volume.preStopSeconds": 0,
        "filer": "true",
        "filer.port": ports.s3_filer,
        "filer.port.grpc": ports.s3_filer_grpc,
        "s3": "true",
        "s3.port": ports.s3,
        "s3.port.grpc": ports.s3_grpc,
        # In its folder. The whole path may be longer than a socket's may be.
        "filer.localSocket": "filer.sock",
        "s3.localSocket": "s3.sock",
        **SETTINGS,
    }
    sockets = (
        *(("filer", ports.s3_filer_grpc), ("s3", ports.s3_grpc)),
        *(("master", ports.s3_master_grpc), ("volume", ports.s3_volume_grpc)),
    )
    return ServerPlan(
        name="s3",
        command=[
            str(layout.weed()),
            "-logtostderr",
            "server",
            *(f"-{name}={value}" for name, value in options.items()),
        ],
        address=reached.endpoint,
        ready=lambda: make_bucket(reached, BUCKET),
        environment={"AWS_ACCESS_KEY_ID": reached.access_key, "AWS_SECRET_ACCESS_KEY": reached.secret_key},
        # It waits a quarter of a minute for those who are connected. What it has acknowledged is in its files.
        stop_seconds=0.5,
        folder=folder,
        sockets=tuple(Path(SOCKET.format(name, port)) for name, port in sockets),
    )
