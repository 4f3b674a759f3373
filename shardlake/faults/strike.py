"""One fault, from its injection to the end of what it caused."""

from __future__ import annotations

import time
from collections.abc import Callable

from shardlake.faults.kinds import Kind, Scene
from shardlake.faults.recovery import Progress, Recovery, await_recovery


def strike(
    kind: Kind,
    scene: Scene,
    progress: Progress,
    seconds: float,
    *,
    on_fault: Callable[[], None],
    on_heal: Callable[[], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> Recovery | None:
    """Inject, heal after `seconds`, and wait until it is over; None where that is stuck.

    `on_fault` is called once it is injected, `on_heal` once it is healed. It is healed in any case, also where this is
    interrupted.
    """
    faulted = time.monotonic()
    try:
        kind.inject(scene)
        on_fault()
        time.sleep(seconds)
    finally:
        kind.heal(scene)
    healed = time.monotonic()
    on_heal()
    wanted = progress.ends()
    kind.afterwards(scene)
    return await_recovery(progress, kind.group, wanted, faulted, healed, meanwhile)
