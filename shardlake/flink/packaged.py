"""The application where it was packaged for another Flink: the entry point that runs there.

Cluster, checkpoints, parallelism, restarts and where state is restored from are that Flink's own; what is set here is
what the jobs need to be right. Needs the standard library and PyFlink alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import shardlake
from shardlake.errors import ShardlakeError
from shardlake.flink import plan
from shardlake.flink.inserts import execute, on_any_flink, planned
from shardlake.flink.properties import Properties
from shardlake.pipeline import Pipeline

JOBS = "jobs.json"
PII_SECRET = "pii-key-secret"
"""The job's parameter by which the mask finds the name of its secret."""


def main() -> None:
    """Submit the jobs of the package; end with one sentence and exit code 1 where something is wrong."""
    try:
        _submit(Path(shardlake.__file__).parents[1])
    except ShardlakeError as error:
        sys.exit(f"error: {error.message}\n  {error.hint}")


def _submit(folder: Path) -> None:
    from pyflink.table import EnvironmentSettings, TableEnvironment

    pipeline = Pipeline.load(folder)
    jobs = json.loads((folder / JOBS).read_text())
    properties = Properties.read(pipeline)
    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    settings = on_any_flink(jobs, properties.idle_seconds)
    if properties.pii_secret:
        settings["pipeline.global-job-parameters"] = f"{PII_SECRET}:'{properties.pii_secret}'"
    for name, value in settings.items():
        environment.get_config().set(name, value)
    compiled, _ = planned(environment, pipeline, properties.endpoints, jobs)
    execute(environment, plan.numbered(compiled))
