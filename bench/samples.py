"""The raw samples of a benchmark, kept in a file beside what it prints."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write(path: Path, samples: Sequence[Any], **more: Any) -> None:
    """Write samples as JSON, with the machine that gave them and what else the benchmark says of its run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = {"machine": platform.platform(), "cores": os.cpu_count(), **more, "samples": samples}
    path.write_text(json.dumps(raw, indent=1))
