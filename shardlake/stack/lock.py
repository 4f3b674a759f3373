"""One stack for a data folder: two brokers that write the same files would ruin both."""

from __future__ import annotations

from pathlib import Path

from shardlake.errors import Unavailable
from shardlake.lock import Held, Lock

FILE = ".lock"


def lock_data(data: Path) -> Lock:
    """Hold a data folder. Raises Unavailable, with the process that has it, where another stack does."""
    try:
        return Lock(data / FILE)
    except Held as held:
        msg = f"Another stack, of process {held.holder}, has its data in {data}."
        hint = "Stop it with `shardlake down` where it was started, or choose another --data DIR."
        raise Unavailable(msg, hint) from None
