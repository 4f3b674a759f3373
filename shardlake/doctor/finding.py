"""What a check found, and running checks side by side, none of them longer than its limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from shardlake.errors import ShardlakeError

LIMIT_SECONDS = 8.0
"""Of one check. A server that is stopped or swapped out takes connections and never answers."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found, and what to do where it is not right."""

    check: str
    ok: bool
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Looks at something; may raise ShardlakeError, and may hang."""

    name: str
    run: Callable[[], Iterable[Finding]]


def examine(checks: Sequence[Check], limit_seconds: float = LIMIT_SECONDS) -> list[Finding]:
    """Run all checks side by side; their findings in the checks' order. Takes no longer than the limit."""
    found: dict[str, list[Finding]] = {}

    def run(check: Check) -> None:
        try:
            found[check.name] = list(check.run())
        except ShardlakeError as error:
            found[check.name] = [Finding(check.name, ok=False, found=error.message, fix=error.hint)]
        except Exception as error:  # one check that fails must not hide what the others found
            words = f"could not be looked at: {type(error).__name__}: {error}"
            found[check.name] = [Finding(check.name, ok=False, found=words, fix="`shardlake logs` may tell more.")]

    # Daemons: one that hangs must not keep the program from ending.
    threads = [threading.Thread(target=run, args=(check,), daemon=True) for check in checks]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + limit_seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {limit_seconds:.0f} s"
    fix = "It may be stopped, or short of memory: see `shardlake status` and `shardlake logs`."
    return [
        finding
        for check in checks
        for finding in found.get(check.name, [Finding(check.name, ok=False, found=late, fix=fix)])
    ]
