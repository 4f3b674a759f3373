"""Facts of the machine that a figure depends on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import psutil


def facts() -> dict[str, Any]:
    """What does not change while a load runs, and how busy the machine was before."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


class Steal:
    """The share of CPU time that other machines on the same host took, since the begin."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    @property
    def share(self) -> float:
        """0 to 1."""
        now = psutil.cpu_times()
        total = sum(now) - sum(self._before)
        return (getattr(now, "steal", 0.0) - getattr(self._before, "steal", 0.0)) / total if total else 0.0
