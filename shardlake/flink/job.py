"""What a job is: a pure function from tables to inserts.

    def build(tables: Tables) -> list[Insert]: ...

in a file of `flink_jobs/`. It sees one view for each topic of events, named as the topic with `-` and `.` as `_`: the
valid events, unmasked, with `topic`, `partition`, `offset`, `arrival_time`, and `closed_until`: all windows that end
then or before are closed. What it returns is inserted into tables that the engine makes from the schemas:
`lake.<lake_table>`, and ``topics.`<topic>` ``.

    def recount(options: Mapping[str, str]) -> dict[str, str]: ...

beside it, where it writes windows, is the same as SQL of DuckDB over the archive: see `shardlake lake recount`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shardlake.errors import BadInput
from shardlake.flink.columns import columns
from shardlake.flink.tables import view_name
from shardlake.pipeline import Pipeline

if TYPE_CHECKING:
    from pyflink.table import Table, TableEnvironment


def parse_options(given: Sequence[str], jobs: Sequence[str]) -> dict[str, dict[str, str]]:
    """`JOB.NAME=VALUE`, several, as options by job; every one of `jobs` is there. Raises BadInput for any other."""
    found: dict[str, dict[str, str]] = {job: {} for job in jobs}
    for one in given:
        match = re.fullmatch(r"(\w+)\.(\w+)=([^\s,()=]+)", one)
        if match is None or match[1] not in found:
            raise BadInput(f"The option {one!r} is not JOB.NAME=VALUE.", f"The jobs are: {', '.join(jobs)}.")
        found[match[1]][match[2]] = match[3]
    return found


def choose(pipeline: Pipeline, jobs: Sequence[str], given: Sequence[str]) -> dict[str, dict[str, str]]:
    """The options of each chosen job, of all where none is named. Raises BadInput where there is no such job."""
    known = pipeline.modules("flink_jobs")
    unknown = [job for job in jobs if job not in known]
    if unknown or not known:
        msg = f"There is no job {unknown[0]!r} in" if unknown else "There is no job in"
        raise BadInput(f"{msg} {pipeline.folder / 'flink_jobs'}.", f"It has: {', '.join(known) or 'none'}.")
    return parse_options(given, jobs or known)


def whole_number(options: Mapping[str, str], name: str, default: int) -> int:
    """A job's option. Raises BadInput where it is no whole number from 1."""
    text = options.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise BadInput(f"The option {name} is {text!r}.", "Give a whole number from 1.")
    return int(text)


@dataclass(frozen=True, slots=True)
class Insert:
    """The rows of `table` go into `sink`, column by column in the sink's order."""

    sink: str
    table: Table


@dataclass(frozen=True, slots=True)
class Tables:
    """What a job may use. `options` are those of the job.

    `closed` tells, by topic, the latest event time in milliseconds that this job had read at a `jobs finish`: windows
    up to the one of that time have fired, and are closed for good.
    """

    environment: TableEnvironment
    pipeline: Pipeline
    options: Mapping[str, str] = field(default_factory=dict)
    closed: Mapping[str, int] = field(default_factory=dict)

    def query(self, sql: str) -> Table:
        """A table from a query over the views of events."""
        return self.environment.sql_query(sql)

    def masked(self, topic: str) -> str:
        """The select list of a topic's fields with PII masked, as the lake gets them."""
        schema = self.pipeline.schema_of(self.pipeline.topic(topic))
        return ", ".join(column.masked for column in columns(schema))

    def in_time(self, view: str, time: str, window_end: str, *, needed_until: str | None = None) -> str:
        """The events of a view whose window is open yet: what a window may count.

        Windows drop what is late in silence; who filters by this, and lists the others by `late`, counts each event in
        one of the two. `window_end` is an expression over the view's columns. `needed_until` is one too, for windows
        that an event may change before its own end, as a session: the event is late once the watermark has passed that.
        """
        is_late = self._is_late(view, time, window_end, needed_until)
        return f"SELECT * FROM {view} WHERE `{time}` IS NOT NULL AND NOT ({is_late})"

    def late(
        self,
        view: str,
        time: str,
        window_start: str,
        window_end: str,
        *,
        fields: str,
        missed_table: str,
        needed_until: str | None = None,
    ) -> Table:
        """Rows for `lake.late_events`: the events that `in_time` leaves out, each counted in the metric late_events.

        `fields` is a select list of what else of the event the table keeps.
        """
        finished = self._finished(view, time, window_end)
        closed_until = (
            "closed_until" if finished is None else f"GREATEST(COALESCE(closed_until, {finished}), {finished})"
        )
        return self.query(f"""
            SELECT
                CAST(`{time}` AS TIMESTAMP_LTZ(3)) AS event_time, {fields},
                LATE('{missed_table}') AS missed_table,
                CAST({window_start} AS TIMESTAMP_LTZ(3)) AS window_start,
                CAST({window_end} AS TIMESTAMP_LTZ(3)) AS window_end,
                {closed_until} AS closed_until, topic, `partition`, `offset`
            FROM {view} WHERE `{time}` IS NOT NULL AND ({self._is_late(view, time, window_end, needed_until)})
        """)

    def _is_late(self, view: str, time: str, window_end: str, needed_until: str | None) -> str:
        """The condition, true or false and never null."""
        until = needed_until or window_end
        by_watermark = f"COALESCE({until} <= closed_until, FALSE)"
        finished = self._finished(view, time, window_end)
        return by_watermark if finished is None else f"{by_watermark} OR {until} <= {finished}"

    def _finished(self, view: str, time: str, window_end: str) -> str | None:
        """The end of the last window that a finish has fired, as an expression: that of its latest event."""
        of_view = [ms for topic, ms in self.closed.items() if view_name(self.pipeline.topic(topic)) == view.strip("`")]
        # A view of the job's own may have come from any topic.
        latest_ms = max(of_view or self.closed.values(), default=None)
        if latest_ms is None:
            return None
        column = rf"`{time}`|(?<![`.\w]){time}(?![`\w])"
        return f"CAST({re.sub(column, f'TO_TIMESTAMP_LTZ({latest_ms}, 3)', window_end)} AS TIMESTAMP_LTZ(3))"
