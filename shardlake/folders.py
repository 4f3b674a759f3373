"""Folders that commands share, and the file in which the running stack says where its servers are.

The command line imports this module before it knows which command runs, so the module imports nothing that is slow.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from shardlake import compose

STACK_FILE = "stack.json"
DEFAULT_PORT_BASE = 9090


def local_state_folder(pipeline: Path | None = None) -> Path:
    """Where the local stack leaves its addresses: SHARDLAKE_STATE, or `.shardlake` in the pipeline's folder."""
    return Path(os.environ.get("SHARDLAKE_STATE") or (pipeline or Path.cwd()) / ".shardlake").resolve()


def state_folder(pipeline: Path | None = None) -> Path:
    """Where commands keep what they know of the servers that are meant: for containers it is a folder of their own, so
    that none takes the local stack's for theirs."""
    local = local_state_folder(pipeline)
    return local / "compose" if compose.is_wanted() else local


def cache_folder() -> Path:
    """Where downloads are kept between clones: SHARDLAKE_CACHE, or `shardlake` in the user's cache folder."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SHARDLAKE_CACHE") or base / "shardlake")


def running_stack(state: Path) -> dict[str, Any]:
    """What the stack that was started last says of itself, {} where there is none."""
    try:
        found = json.loads((state / STACK_FILE).read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    # The file is replaced as a whole: one that is damaged is no running stack's.
    return found if _is_stack(found) else {}


def _is_stack(found: Any) -> bool:
    """Tell whether those parts are mappings whose parts are asked for."""
    if not isinstance(found, dict):
        return False
    servers = found.get("servers", {})
    is_whole = isinstance(servers, dict) and isinstance(found.get("settings", {}), dict)
    return is_whole and all(isinstance(server, dict) for server in servers.values())
