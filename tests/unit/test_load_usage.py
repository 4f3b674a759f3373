"""CPU and memory by role, whoever has started whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from shardlake.load.usage import Meter
from tests.support import wait_for

pytestmark = pytest.mark.unit

BUSY = "import time\nwhile time.process_time() < 0.5: pass\nprint('done', flush=True)\ntime.sleep(60)"
STARTER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    yield child
    child.kill()
    child.communicate()


def test_a_child_is_of_its_own_role_and_not_of_who_started_it() -> None:
    """Both are processes of this test alone: the test runner itself may have a JVM and others for children."""
    with subprocess.Popen([sys.executable, "-c", STARTER, BUSY], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        try:
            meter = Meter({"producers": lambda: [child], "measuring": lambda: [parent.pid]})
            before = meter.look()
            assert parent.stdout.readline() == "done\n"
            after = meter.look()
        finally:
            os.kill(child, signal.SIGKILL)
    assert 0.4 < after["producers"] < 2
    assert after["measuring"] - before["measuring"] < 0.4
    assert meter.processes == {"producers": 1, "measuring": 1}
    assert 3 < meter.memory_mb["producers"] < 100


def test_what_a_process_took_stays_counted_when_it_has_ended(busy: subprocess.Popen[str]) -> None:
    pids = [busy.pid]
    meter = Meter({"consumers": lambda: pids})
    assert busy.stdout
    busy.stdout.readline()
    took = meter.look()["consumers"]
    busy.kill()
    busy.wait()
    wait_for(lambda: meter.look()["consumers"] == took and not meter.processes["consumers"], "its end to be seen")
    assert took > 0.4
    assert meter.max_memory_mb["consumers"] > 3
