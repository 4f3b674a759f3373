"""The application: the pipeline's jobs as inserts of one statement set, submitted to a running Flink.

Runs as a program of its own (`python -m shardlake.flink.application`), because planning needs a JVM with an
environment that is set before Python starts, and because its output belongs into a log. See `submit`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shardlake.errors import BadInput
from shardlake.flink.job import Insert, Tables
from shardlake.flink.tables import dead_letters_query, table_definitions
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from pyflink.table import StatementSet, TableEnvironment

NAME = "shardlake: "


def name_of(jobs: Sequence[str]) -> str:
    """The application's name in Flink, which tells what is in it."""
    return NAME + ", ".join(jobs)


def jobs_of(name: str) -> list[str]:
    """The jobs of an application, from its name."""
    return name.removeprefix(NAME).split(", ")


def configuration(settings: Settings, jobs: Sequence[str], *, draining: bool = False) -> dict[str, str]:
    """Flink's settings for the application; the reasons stand beside those that are not its defaults.

    `draining` is for a run whose only end is to be drained: a source that is idle at the drain swallows the last
    watermark, and open windows are lost without a word (FLINK-40499, open).
    """
    return {
        "pipeline.name": name_of(jobs),
        "execution.target": "remote",
        "execution.attached": "false",
        "rest.address": settings.flink_rest_url.split("//")[1].split(":")[0],
        "rest.port": settings.flink_rest_url.rsplit(":", 1)[1].strip("/"),
        "parallelism.default": str(settings.parallelism),
        # Fixed, so that a savepoint fits whatever the parallelism.
        "pipeline.max-parallelism": "128",
        # Copies of rows between chained operators cost 13 % of a run; the decoder makes a new row for each record.
        "pipeline.object-reuse": "true",
        "execution.checkpointing.interval": f"{round(settings.checkpoint_seconds * 1000)} ms",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.dir": f"file://{settings.jobs_folder}/checkpoints",
        "execution.checkpointing.savepoint-dir": f"file://{settings.jobs_folder}/savepoints",
        # What was checkpointed is in the lake: a job that started over would write it again.
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.num-retained": "3",
        # A broker that restarts fails a checkpoint or two; the job need not restart for it.
        "execution.checkpointing.tolerable-failed-checkpoints": "3",
        "state.backend.type": "hashmap",
        # A registry or broker that is down is waited for, for ever; one bad record never restarts the job.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "10 s",
        "table.local-time-zone": "UTC",
        # A partition that gets nothing must not hold back every window.
        "table.exec.source.idle-timeout": "0 s" if draining else "10 s",
    }


def build(environment: TableEnvironment, pipeline: Pipeline, jobs: Iterable[str]) -> list[Insert]:
    """Every job's inserts, checked against their sinks' columns, and the dead letters'.

    Raises BadInput for an unknown job, or one whose columns are not its sink's.
    """
    tables = Tables(environment, pipeline)
    inserts = [insert for job in jobs for insert in pipeline.load_module("flink_jobs", job).build(tables)]
    for insert in inserts:
        wanted = environment.from_path(insert.sink).get_resolved_schema().get_column_names()
        given = insert.table.get_resolved_schema().get_column_names()
        if wanted != given:
            msg = f"A job inserts {', '.join(given)} into {insert.sink}, whose columns are {', '.join(wanted)}."
            raise BadInput(msg, "Name and order them as the schema does.")
    for topic in pipeline.sources:
        inserts.append(Insert(f"topics.`{topic.dead_letters}`", tables.query(dead_letters_query(topic))))
    return inserts


def statement_set(
    pipeline: Pipeline,
    settings: Settings,
    jobs: Sequence[str],
    *,
    start_offsets: dict[str, str] | None = None,
    draining: bool = False,
) -> tuple[TableEnvironment, StatementSet]:
    """The whole application, checked but not submitted."""
    from pyflink.common import Configuration
    from pyflink.table import EnvironmentSettings, TableEnvironment

    flink = Configuration()
    for name, value in configuration(settings, jobs, draining=draining).items():
        flink.set_string(name, value)
    environment = TableEnvironment.create(
        EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(flink).build()
    )
    for statement in table_definitions(pipeline, settings, start_offsets):
        environment.execute_sql(statement)
    statements = environment.create_statement_set()
    for insert in build(environment, pipeline, jobs):
        statements.add_insert(insert.sink, insert.table)
    return environment, statements


def main() -> None:
    """Read the request, a line; at the next line, which says where to resume, submit; write the job's id."""
    request: dict[str, Any] = json.loads(sys.stdin.readline())
    environment, statements = statement_set(
        Pipeline.load(Path(request["pipeline"])),
        Settings.read(**request["settings"]),
        request["jobs"],
        start_offsets=request["start_offsets"],
        draining=request["draining"],
    )
    go = sys.stdin.readline()
    if not go:  # whoever asked has given up
        return
    resume_from = json.loads(go)["resume_from"]
    if resume_from:
        environment.get_config().set("execution.state-recovery.path", resume_from)
    job_id = statements.execute().get_job_client().get_job_id()
    sys.stdout.write(json.dumps({"job_id": str(job_id)}))


if __name__ == "__main__":
    main()
