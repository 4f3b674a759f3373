"""Child processes that end with their parent, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int | None = None) -> Callable[[], None]:
    """What the child runs first: `subprocess.Popen(..., preexec_fn=die_with_parent())`.

    `parent` is the process to end with, the present one by default. Linux kills it when the *thread* that started it
    ends: start children from one that lasts.
    """
    expected = os.getpid() if parent is None else parent

    def ask_the_kernel() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != expected:  # it went between fork and prctl
            os._exit(1)

    return ask_the_kernel
