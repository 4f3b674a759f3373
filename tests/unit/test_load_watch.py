"""What is looked at every second while a load runs, from a broker and a Flink of words."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from shardlake.flink.tables import GROUP
from shardlake.load.usage import Meter
from shardlake.load.watch import Lags, Watch
from tests.unit.lag_case import Words, answers

pytestmark = pytest.mark.unit


class Flink:
    """Its sources have read so far, as it says."""

    def __init__(self, read: dict[int, int]) -> None:
        self._read = read

    def read_offsets(self, _job: str, _topic: str) -> dict[int, int]:
        return self._read


def test_lag_of_the_jobs_is_by_the_newer_of_what_flink_says_and_of_their_commits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = answers({"load.g": {("t", 0): 50}, GROUP: {("t", 0): 90, ("t", 1): 20}}, {"t": [100, 20]})
    then = answers({"load.g": {("t", 1): 25}, GROUP: {("t", 0): 190, ("t", 1): 21}}, {"t": [200, 40]})
    words = Words(first, then)
    monkeypatch.setattr("shardlake.load.watch.Broker", lambda *_: words)
    flink: Any = Flink({0: 170, 1: 33})
    lags = Lags("nowhere", "t", "load.g", (flink, "job"))
    # Whoever reads had read all there was at the first look, whatever their commits say.
    assert lags.look() == {"load.g": {"t-0": 0, "t-1": 0}, "jobs": {"t-0": 0, "t-1": 0}}
    assert lags.look() == {"load.g": {"t-0": 100, "t-1": 15}, "jobs": {"t-0": 10, "t-1": 7}}


def test_a_full_disk_under_the_samples_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "samples.jsonl").symlink_to("/dev/full")
    monkeypatch.setattr("shardlake.load.watch.Broker", lambda *_: Words(answers({}, {"t": [0]})))
    watch = Watch(tmp_path, Lags("nowhere", "t", None, None), Meter({}))
    with pytest.raises(OSError, match="No space left") as raised:
        watch.look(1, 2)
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path / "samples.jsonl"))
    watch.close()
