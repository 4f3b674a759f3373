"""Runs as the older version, in its folder: `python make_data.py HOW FOLDER`.

It leaves below FOLDER: `data`, of a stack whose jobs were `stopped` or `crashed` in the middle of windows, with dead
letters and a key of PII; `run`, with ledgers; `follow.json`, the places of the followed log `older.log`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from shardlake.lake.query import query
from shardlake.lake.tables import lake_tables
from shardlake.testing.stack import RunningStack, running_stack

LINES, SYNTHETIC, POISON = 30, 300, 7
SECONDS = 240


def archived(stack: RunningStack) -> int:
    """How many rows the archive has."""
    return int(query("SELECT count(*) FROM app_logs", lake_tables(stack.settings.lake, stack.pipeline)).rows[0][0])


def wait_for_rows(stack: RunningStack, count: int) -> None:
    """Wait until the archive has `count` rows; end the program where they do not come."""
    deadline = time.monotonic() + SECONDS
    while archived(stack) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{archived(stack)} of {count} rows after {SECONDS} s")
        time.sleep(0.2)


def main() -> None:
    """Start a stack, send lines and events, run the jobs, and stop or kill them."""
    how, folder = sys.argv[1], Path(sys.argv[2])
    run, log = folder / "run", folder / "older.log"
    line = '10.0.0.{} - - [{}] "GET /{} HTTP/1.1" 200 {}\n'
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    log.write_text("".join(line.format(n, now, n, n) for n in range(LINES)))
    with running_stack(Path.cwd(), folder / "state", data=folder / "data") as stack:
        ledger = ("--ledger", str(run))
        follow = ("--follow", str(log), "--state", str(folder / "follow.json"), "--until-idle", "1")
        stack.shardlake("produce", *follow, *ledger)
        synthetic = ("--synthetic", "--rate", "100", "--poison", str(POISON))
        stack.shardlake("produce", *synthetic, "--duration", "3", "--seed", "1", *ledger)
        stack.shardlake("jobs", "run")
        wait_for_rows(stack, LINES + SYNTHETIC)
        if how == "stopped":
            stack.shardlake("jobs", "stop")
        else:
            stack.shardlake("produce", *synthetic, "--duration", "3", "--seed", "2", *ledger)
            stack.stack.servers["taskmanager"].kill()
            stack.stack.servers["jobmanager"].kill()
        sys.stdout.write(json.dumps({"archived": archived(stack)}) + "\n")


if __name__ == "__main__":
    main()
