"""What a schema marks as PII is masked once on its way into a table of the lake or a topic, or the job is refused.

A column that a job passes on, under whatever name and through joins, deduplications and windows, gets its mask here,
behind all state. What an expression or an aggregate makes of it cannot be masked so that it says no more and stays of
use: the job must do that itself, and is told. Counts are free. Decision 19 has the rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING

from shardlake.errors import BadInput
from shardlake.flink.columns import DROP, columns
from shardlake.flink.columns import Column as Field
from shardlake.flink.expressions import Column, Columns
from shardlake.flink.job import Insert
from shardlake.flink.lineage import Lineage, table_of
from shardlake.flink.parts import NOTHING, TWICE, Part, Parts
from shardlake.flink.rex import plain_type
from shardlake.flink.tables import view_name
from shardlake.pipeline import Pipeline

if TYPE_CHECKING:
    from pyflink.table import TableEnvironment

Written = tuple[str | None, Insert]
"""An insert and its job."""

RECORD = "record"
"""The mark of columns that hold a record's bytes, key or headers."""
ENOUGH = {
    "hash": frozenset({"hash"}),
    "truncate_query": frozenset({"truncate_query", "hash"}),
    "truncate_network": frozenset({"truncate_network", "hash"}),
    RECORD: frozenset({"hash"}),
    DROP: frozenset[str](),
}
"""The masks that leave no more of a value than its mark allows."""

ONCE = "Mask it once: `tables.masked(TOPIC)` is a mask, too."
EXPRESSIONS = (
    "Mask it in the job before anything is made of it, as in UPPER(MASK(email)), or mask all of it, as in "
    "MASK(UPPER(email)); or leave it out. Only a column that is passed on as it is gets its mask by itself. COUNT, "
    "IS NULL and conditions in WHERE are free."
)
LINEAGE = "Give that operator columns that are no PII, or are masked: select them in a query before it."
ALIKE = "Mask all of it in the job, or mark the fields alike in their schemas."


@dataclass(frozen=True, slots=True)
class Marks:
    """The mark of each column of a source that is PII, as `orders.email`; and the fields of each sink."""

    sources: Mapping[str, str]
    sinks: Mapping[str, Mapping[str, Field]]

    @classmethod
    def of(cls, pipeline: Pipeline) -> Marks:
        """Read the marks of a pipeline's schemas."""
        sources: dict[str, str] = {}
        sinks: dict[str, Mapping[str, Field]] = {}
        for topic in pipeline.topics.values():
            fields = {one.name: one for one in columns(pipeline.schema_of(topic))} if topic.schema else {}
            sinks |= {f"topics.{topic.name}": fields, f"lake.{topic.lake_table}": fields}
            marks = {name: field.mask for name, field in fields.items() if field.mask}
            if topic in pipeline.sources and marks:
                marks |= dict.fromkeys(("raw_value", "headers", "kafka_key"), RECORD)
                sources |= {f"{view_name(topic)}.{name}": mark for name, mark in marks.items()}
        return cls(sources, sinks)

    @property
    def are_none(self) -> bool:
        """Tell whether the pipeline has no PII."""
        return not self.sources and not any(field.mask for fields in self.sinks.values() for field in fields.values())

    def open_in(self, parts: Iterable[Part]) -> list[Part]:
        """List the PII among parts that is not masked, or not enough."""
        marked = [part for part in parts if part.column in self.sources and part.mask != TWICE]
        found = [part for part in marked if part.mask not in ENOUGH[self.sources[part.column]]]
        return sorted(found, key=lambda part: part.column)


def masked(environment: TableEnvironment, pipeline: Pipeline, inserts: Sequence[Written]) -> list[Written]:
    """The inserts, with what each passes on of PII masked.

    Raises BadInput where an insert makes something else of PII, masks it twice, or too little, or where the origin of
    a column is not known.
    """
    marks = Marks.of(pipeline)
    letters = [one for one in inserts if one[0] is None]
    of_jobs = [one for one in inserts if one[0] is not None]
    made = traced(environment, [insert for _, insert in of_jobs])
    found = [
        (job, with_masks(environment, insert, lacking(marks, job, insert, columns_of)))
        for (job, insert), columns_of in zip(of_jobs, made, strict=True)
    ]
    return [*found, *letters]


def must_be_masked(pipeline: Pipeline, compiled: str) -> None:
    """Look at the plan that is to be run once more. Raises BadInput where PII gets through, or is masked twice."""
    marks = Marks.of(pipeline)
    for sink, written in _written(pipeline, compiled):
        for column in written:
            parts = column.parts.values | column.parts.conditions
            if marks.open_in(parts) or any(part.mask == TWICE for part in parts):
                msg = f"{column.name} of {sink} would not be masked once: it is made of {column.origin}."
                raise BadInput(msg, EXPRESSIONS)


def is_masked(pipeline: Pipeline, compiled: str) -> bool:
    """Tell whether a plan's jobs have masked all themselves; else `masked` says what each lacks."""
    marks = Marks.of(pipeline)
    if marks.are_none:
        return True
    try:
        return not any(
            _mask(marks, column, field)
            for sink, written in _written(pipeline, compiled)
            for column, field in zip(written, chain(marks.sinks.get(sink, {}).values(), repeat(None)), strict=False)
        )
    except BadInput:
        return False


def _written(pipeline: Pipeline, compiled: str) -> Iterator[tuple[str, Columns]]:
    """What a plan writes into each sink; dead letters are as they came."""
    lineage = Lineage(json.loads(compiled))
    letters = {f"topics.{topic.dead_letters}" for topic in pipeline.sources}
    for number, node in lineage.nodes.items():
        if "dynamicTableSink" in node and (sink := str(table_of(node))) not in letters:
            yield sink, lineage.inputs(number)[0]


def traced(environment: TableEnvironment, inserts: Sequence[Insert]) -> list[Columns]:
    """The columns of each insert, with where they come from.

    Each is planned into a table of its own, since Flink unites those into one table.
    """
    from pyflink.table import Schema, TableDescriptor

    statements = environment.create_statement_set()
    names = [f"traced_{number}" for number in range(len(inserts))]
    for name, insert in zip(names, inserts, strict=True):
        schema = Schema.new_builder().from_resolved_schema(insert.table.get_resolved_schema()).build()
        environment.create_temporary_table(name, TableDescriptor.for_connector("blackhole").schema(schema).build())
        statements.add_insert(name, insert.table)
    lineage = Lineage(json.loads(statements.compile_plan().as_json_string()))
    for name in names:
        environment.drop_temporary_table(name)
    sinks = {table_of(node): number for number, node in lineage.nodes.items() if "dynamicTableSink" in node}
    return [lineage.inputs(sinks[f"default_database.{name}"])[0] for name in names]


def lacking(marks: Marks, job: str | None, insert: Insert, made: Columns) -> dict[str, Field]:
    """The columns of an insert that lack a mask, each as a field that has it. Raises BadInput where none would do."""
    sink = insert.sink.replace("`", "")
    found = {}
    for name, column in zip(insert.table.get_resolved_schema().get_column_names(), made, strict=True):
        field = marks.sinks.get(sink, {}).get(name)
        try:
            mask = _mask(marks, column, field)
        except BadInput as error:
            msg = f"The job {job} must not write {name} into {sink}: {error.message}"
            raise BadInput(msg, error.hint) from None
        if mask:
            found[name] = Field(name, plain_type(column.type), True, mask)
    return found


def _mask(marks: Marks, column: Column, field: Field | None) -> str | None:
    """The mask that a column lacks. Raises BadInput where none would do."""
    parts = column.parts
    everything = parts.values | parts.conditions
    twice = sorted(part.column for part in everything if part.mask == TWICE)
    if twice:
        msg = f"it would be the hash of a hash of {twice[0]}, which is found nowhere else."
        raise BadInput(msg, ONCE)
    opened = marks.open_in(everything)
    own = field.mask if field else None
    if opened:
        said = " and ".join(dict.fromkeys(f"{part.column}, which is PII" for part in opened))
        if parts.behind:
            raise BadInput(f"it may hold {said}, and what {parts.behind} makes of it is not known.", LINEAGE)
        weak = [part for part in opened if part.mask]
        if weak:
            mark = marks.sources[weak[0].column]
            msg = f"of {weak[0].column}, whose mark is {mark!r}, {weak[0].mask!r} leaves too much."
            raise BadInput(msg, "Leave out that mask: a column that is passed on as it is gets its own by itself.")
        if not parts.whole or set(opened) != parts.values:
            raise BadInput(f"it is made of {said}: {column.origin}.", EXPRESSIONS)
        mask: str | None = _strongest({marks.sources[part.column] for part in opened} | ({own} if own else set()))
    else:
        mask = _of_the_sinks_own(parts, own)
    if mask == DROP and field and not field.nullable:
        raise BadInput("its mark is 'drop', but the field is not nullable.", "Make it a union of null and its type.")
    if mask not in (None, DROP) and (mask == RECORD or not re.search("STRING|CHAR", column.type)):
        raise BadInput(f"it is made of {said if opened else column.origin} and is no string.", EXPRESSIONS)
    return mask


def _of_the_sinks_own(parts: Parts, own: str | None) -> str | None:
    """The mask of a field that is marked where it is written, and whose values are no PII, or are masked."""
    masks = {part.mask for part in parts.values}
    if own == DROP:
        return None if parts == NOTHING else own
    if own is None or not masks:
        return None
    if masks == {None}:
        return own
    if None in masks:
        raise BadInput(f"its mark is {own!r}, and one of its values is masked already, another is not.", ALIKE)
    if not masks <= ENOUGH[own]:
        raise BadInput(f"its mark is {own!r}, and the job masks it by {', '.join(sorted(map(str, masks)))}.", ALIKE)
    return None


def _strongest(marks: set[str]) -> str:
    for one in (RECORD, DROP, "hash"):
        if one in marks:
            return one
    return marks.pop() if len(marks) == 1 else "hash"


def with_masks(environment: TableEnvironment, insert: Insert, masks: Mapping[str, Field]) -> Insert:
    """The insert with a calculation behind all else, which has no state."""
    if not masks:
        return insert
    names = insert.table.get_resolved_schema().get_column_names()
    selected = [masks[name].masked if name in masks else f"`{name}`" for name in names]
    return Insert(insert.sink, environment.sql_query(f"SELECT {', '.join(selected)} FROM {insert.table}"))
