"""The end of a run: the jobs read to the topic's end, every window fires, and `verify` holds it all together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from shardlake.errors import ShardlakeError
from shardlake.lake.verdict import VERDICT_FILE
from shardlake.load.target import Say, Target

NOT_CHECKED = "not checked"
HOLDS = "holds"


def verify(target: Target, folder: Path, say: Say, *, run_jobs: bool, again: bool) -> tuple[str, dict[str, int]]:
    """The conclusion, and the anomalies by name. The jobs are started where `run_jobs`, and started `again` afterwards;
    in between they end: windows are known only then."""
    commands = target.commands
    try:
        if run_jobs:
            say("the jobs archive what was sent")
            commands.run("jobs", "run")
        say("the jobs finish, and `verify` reads the topic again")
        commands.run("jobs", "finish")
        commands.exit_code("verify", str(folder), "--json")
        found = json.loads((folder / VERDICT_FILE).read_text())
        verdict, counts = str(found["conclusion"]), {str(name): int(n) for name, n in found["counts"].items()}
    except (ShardlakeError, OSError, ValueError) as error:
        say(f"verify: {getattr(error, 'message', error)}")
        verdict, counts = NOT_CHECKED, {}
    if again:
        commands.run("jobs", "run")
    if verdict == HOLDS:
        shutil.rmtree(folder / "evidence", ignore_errors=True)
    return verdict, counts
