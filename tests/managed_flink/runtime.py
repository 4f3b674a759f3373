"""The virtual environment of that Flink."""

from __future__ import annotations

from pathlib import Path

from bench.environment import environment

LOCK = Path(__file__).parent / "requirements.lock"


def runtime() -> Path:
    """The environment's folder, installed where it is not yet: some 40 s and 1.3 GB."""
    return environment(LOCK, "managed-flink")
