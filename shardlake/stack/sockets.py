"""Sockets with known names in the machine's temporary folder, where every user may put something under a name first."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from shardlake.errors import Unavailable


def check(sockets: Iterable[Path]) -> None:
    """Raise Unavailable where a name is taken by what is no socket of this user's.

    A server would connect to another user's socket as if the socket were its own.
    """
    for path in sockets:
        if os.path.lexists(path) and not _is_own(path):
            msg = f"{path} is in the way: a server needs that name for a socket, and it is another user's or no socket."
            raise Unavailable(msg, "Remove it, or move all ports: `--port-base 19090` or SHARDLAKE_PORT_BASE=19090.")


def remove(sockets: Iterable[Path]) -> None:
    """Remove this user's sockets, and leave whatever else has such a name."""
    for path in sockets:
        if _is_own(path):
            path.unlink(missing_ok=True)


def _is_own(path: Path) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid()
