"""All jobs of an application: what they are called in Flink, and what they insert.

Needs the standard library and PyFlink alone, as all that it imports: a package for another Flink takes it along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shardlake.errors import BadInput
from shardlake.flink.endpoints import Endpoints
from shardlake.flink.job import Insert, Tables
from shardlake.flink.masking import Written, is_masked, masked, must_be_masked
from shardlake.flink.tables import dead_letters_query, table_definitions
from shardlake.pipeline import Pipeline

if TYPE_CHECKING:
    from pyflink.table import TableEnvironment, TableResult

NAME = "shardlake: "
APART = "shardlake apart: "
"""Before the job that runs apart from the others: see `apart`."""

Jobs = Mapping[str, Mapping[str, str]]
"""The options of each job, by its name."""
Closed = Mapping[str, Mapping[str, int]]
"""The latest event time, in milliseconds, of the windows that a `jobs finish` has fired, by job and topic."""

Writers = Mapping[str, tuple[str, ...]]
"""The jobs that write each sink, by its name without quotes."""


def name_of(jobs: Jobs, *, apart: bool = False) -> str:
    """The application's name in Flink, which tells what is in it: `shardlake: archive, sessions(gap_minutes=10)`."""
    described = []
    for job, options in jobs.items():
        given = " ".join(f"{name}={value}" for name, value in options.items())
        described.append(f"{job}({given})" if given else job)
    return (APART if apart else NAME) + ", ".join(described)


def jobs_of(name: str) -> dict[str, dict[str, str]]:
    """The jobs of an application and their options, from its name."""
    found = {}
    for part in name.removeprefix(APART).removeprefix(NAME).split(", "):
        job, _, options = part.rstrip(")").partition("(")
        found[job] = dict(one.split("=", 1) for one in options.split())
    return found


def on_any_flink(jobs: Jobs, idle_seconds: float, *, apart: bool = False) -> dict[str, str]:
    """Flink's settings that the jobs need wherever they run; all else is the cluster's. With 0 no source is idle."""
    return {
        "pipeline.name": name_of(jobs, apart=apart),
        # Fixed, so that a savepoint fits whatever the parallelism.
        "pipeline.max-parallelism": "128",
        # Copies of rows between chained operators cost 13 % of a run; the decoder makes a new row for each record.
        "pipeline.object-reuse": "true",
        "table.local-time-zone": "UTC",
        # A partition that gets nothing must not hold back every window; one that is only slow must: what it has would
        # be late. On a machine whose cores are taken, the first record of a backlog may come after more than 10 s.
        "table.exec.source.idle-timeout": f"{round(idle_seconds * 1000)} ms",
    }


def planned(
    environment: TableEnvironment,
    pipeline: Pipeline,
    endpoints: Endpoints,
    jobs: Jobs,
    start_offsets: Mapping[str, str] | None = None,
    closed: Closed | None = None,
    *,
    apart: bool = False,
) -> tuple[str, Writers]:
    """Give the plan of the whole application, compiled, as JSON; its tables are made in `environment`.

    An application `apart` from the others leaves the dead letters to them: each would be there twice.
    """
    for statement in table_definitions(pipeline, endpoints, start_offsets):
        environment.execute_sql(statement)
    inserts = [one for one in built(environment, pipeline, jobs, closed or {}) if one[0] or not apart]
    writers: dict[str, tuple[str, ...]] = {}
    for job, insert in inserts:
        sink = insert.sink.replace("`", "")
        writers[sink] = (*writers.get(sink, ()), *([job] if job else []))
    return compiled(environment, pipeline, inserts), writers


def compiled(environment: TableEnvironment, pipeline: Pipeline, inserts: Sequence[Written]) -> str:
    """Give the plan of inserts, as JSON, with PII masked. Raises BadInput where it cannot be."""
    made = _compiled(environment, inserts)
    if is_masked(pipeline, made):
        return made
    made = _compiled(environment, masked(environment, pipeline, inserts))
    must_be_masked(pipeline, made)
    return made


def _compiled(environment: TableEnvironment, inserts: Sequence[Written]) -> str:
    statements = environment.create_statement_set()
    for _, insert in inserts:
        statements.add_insert(insert.sink, insert.table)
    return str(statements.compile_plan().as_json_string())


def execute(environment: TableEnvironment, compiled: str) -> TableResult:
    """Submit a compiled plan, as JSON."""
    from pyflink.table import PlanReference

    loaded = environment.load_plan(PlanReference.from_json_string(compiled))
    # PyFlink gives a loaded plan Java's environment, which lacks what executing asks of Python's.
    loaded._t_env = environment  # noqa: SLF001
    return loaded.execute()


def built(environment: TableEnvironment, pipeline: Pipeline, jobs: Jobs, closed: Closed) -> list[Written]:
    """Every job's inserts, checked against their sinks' columns, and the dead letters', which are no job's.

    Raises BadInput for an unknown job, or one whose columns are not its sink's.
    """
    inserts: list[Written] = [
        (job, insert)
        for job, options in jobs.items()
        for insert in pipeline.load_module("flink_jobs", job).build(
            Tables(environment, pipeline, options, closed.get(job, {}))
        )
    ]
    for _, insert in inserts:
        wanted = environment.from_path(insert.sink).get_resolved_schema().get_column_names()
        given = insert.table.get_resolved_schema().get_column_names()
        if wanted != given:
            msg = f"A job inserts {', '.join(given)} into {insert.sink}, whose columns are {', '.join(wanted)}."
            raise BadInput(msg, "Name and order them as the schema does.")
    for topic in pipeline.sources:
        letters = environment.sql_query(dead_letters_query(topic))
        inserts.append((None, Insert(f"topics.`{topic.dead_letters}`", letters)))
    return inserts
