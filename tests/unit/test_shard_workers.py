"""What is said of a worker that has ended."""

from __future__ import annotations

import pytest

from shardlake.shards.workers import ended

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("exit_code", "said"),
    [
        (None, ""),
        (0, ""),
        (1, "its error is above"),
        (9, "its handler ended it with exit code 9; --lanes process contains that"),
        (-9, "killed by SIGKILL, perhaps for its handler's memory or a crash of it; --lanes process contains that"),
    ],
)
def test_how_a_worker_has_ended(exit_code: int | None, said: str) -> None:
    assert ended(exit_code) == said


def test_a_command_without_lanes_does_not_advise_them() -> None:
    assert ended(9, advice="") == "its handler ended it with exit code 9"
    assert ended(-11, advice="") == "killed by SIGSEGV, perhaps for its handler's memory or a crash of it"
