"""The end of a run: all that was sent is in the lake, the jobs end, and `verify` holds it all together."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from shardlake import ledger, topics
from shardlake.errors import ShardlakeError
from shardlake.flink.cluster import Cluster
from shardlake.flink.tables import GROUP
from shardlake.lake.verdict import VERDICT_FILE
from shardlake.ledger import Run
from shardlake.load import handled, times
from shardlake.load.target import Say, Target

NOT_CHECKED = "not checked"
HOLDS = "holds"
STILL_SECONDS = 120
"""So long the jobs may commit nothing while they archive: however much there is, they get on."""


def verify(
    target: Target, folder: Path, say: Say, *, run_jobs: bool, again: bool, is_last: bool
) -> tuple[str, dict[str, int]]:
    """The conclusion, and the anomalies by name. The jobs are started where `run_jobs`, and started `again` afterwards;
    in between they end.

    They are stopped with their open windows kept, since a load that follows would otherwise find its first minute, and
    its sessions, split; where it `is_last` they finish, and every window is verified.
    """
    commands = target.commands
    verdict: str = NOT_CHECKED
    counts: dict[str, int] = {}
    try:
        if run_jobs:
            say("the jobs archive what was sent")
            commands.run("jobs", "run")
        _await_archived(target, Run.read(folder).starts)
        say("the jobs end, and `verify` reads the topic again")
        commands.run("jobs", "finish" if is_last else "stop")
        commands.exit_code("verify", str(folder), "--json")
        found = json.loads((folder / VERDICT_FILE).read_text())
        verdict, counts = str(found["conclusion"]), {str(name): int(n) for name, n in found["counts"].items()}
    except (ShardlakeError, OSError, ValueError) as error:
        say(f"verify: {getattr(error, 'message', error)}")
    finally:
        _leave_jobs(target, say, running=again)
    return verdict, counts


def tidy(folder: Path, verdict: str) -> None:
    """Times and notes are counted; the ledgers stay where something was found."""
    holds = verdict == HOLDS
    for pattern in (f"*{times.SUFFIX}", f"*{handled.SUFFIX}", *([f"*{ledger.SUFFIX}"] if holds else ())):
        for path in folder.glob(pattern):
            path.unlink()
    if holds:
        shutil.rmtree(folder / "evidence", ignore_errors=True)


def _leave_jobs(target: Target, say: Say, *, running: bool) -> None:
    """As they were found."""
    try:
        if running:
            target.commands.run("jobs", "run", "--unless-running")
        elif Cluster(target.settings.flink_rest_url).running():
            target.commands.run("jobs", "stop")
    except ShardlakeError as error:
        say(f"the jobs are not as they were: {error.message}")


def _await_archived(target: Target, since: dict[int, int]) -> None:
    """Raises ShardlakeError where the jobs stand still before that."""
    before, deadline = None, 0.0
    while not topics.covers(committed := target.committed(GROUP), target.ends_after(since)):
        if committed != before:
            before, deadline = committed, time.monotonic() + STILL_SECONDS
        elif time.monotonic() > deadline:
            msg = f"The jobs have not archived all that was sent, and committed nothing for {STILL_SECONDS} s."
            raise ShardlakeError(msg, "`shardlake jobs list` tells how they are, the stack's logs why.")
        time.sleep(0.5)
