"""A log of many hours through the stack: each line is in the folder of its hour, and few files are open at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from shardlake.testing.stack import RunningStack
from tests.e2e.checking import verify
from tests.e2e.lake import rows

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

LINES, DAYS = 2_400, 10
TOKYO = ZoneInfo("Asia/Tokyo")
MAX_OPEN = 8
"""Each writer of the sink has at most so many files open: MAX_OPEN in HourlyWriter.java."""
LOOK_SECONDS = 0.05


@contextmanager
def open_files(pid: int, folder: Path) -> Iterator[list[int]]:
    """How many files below a folder a process has open, looked at again and again until the end of the block."""
    counts: list[int] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            count = 0
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):  # closed meanwhile
                    count += descriptor.readlink().is_relative_to(folder)
            counts.append(count)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield counts
    finally:
        ended.set()
        watch.join()


def test_a_log_of_many_hours_is_in_the_lake_hour_by_hour(stack: RunningStack, tmp_path: Path) -> None:
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(days=DAYS)
    times = [first + timedelta(days=DAYS) * number / LINES for number in range(LINES)]
    log, run = tmp_path / "days.log", tmp_path / "run"
    line = '10.0.0.{} - - [{:%d/%b/%Y:%H:%M:%S} +0000] "GET /{} HTTP/1.1" 200 {}\n'
    log.write_text("".join(line.format(n % 250, time, n, n) for n, time in enumerate(times)))
    stack.shardlake("produce", str(log), "--service", "shop", "--ledger", str(run))
    local = tmp_path / "local.log"
    tokyo = [first + timedelta(hours=number) for number in range(24)]
    local.write_text("".join(f"{time.astimezone(TOKYO):%b %e %H:%M:%S} host sshd[1]: key accepted\n" for time in tokyo))
    stack.shardlake("produce", str(local), "--service", "tokyo", "--timezone", "Asia/Tokyo", "--ledger", str(run))
    table = stack.settings.lake / "app_logs"
    assert isinstance(table, Path)
    with open_files(stack.stack.servers["taskmanager"].pid, table) as counts:
        stack.shardlake("jobs", "run", "archive")
        stack.shardlake("jobs", "finish")

    assert 0 < max(counts) <= MAX_OPEN * stack.parallelism
    found: Counter[str] = Counter()
    for file in table.rglob("[!._]*.parquet"):
        hour = str(file.parent.relative_to(table))
        of_file = pq.read_table(file, columns=["event_time"]).to_pylist()
        assert {f"{row['event_time']:year=%Y/month=%m/day=%d/hour=%H}" for row in of_file} == {hour}
        found[hour] += len(of_file)
    assert found == Counter(f"{time:year=%Y/month=%m/day=%d/hour=%H}" for time in times + tokyo)
    assert len(found) >= 24 * DAYS
    of_tokyo = rows(stack, "SELECT event_time FROM app_logs WHERE service = 'tokyo' ORDER BY event_time")
    assert of_tokyo == [(time.replace(tzinfo=None),) for time in tokyo]
    assert verify(stack, 0, [run])["conclusion"] == "holds"
