"""Files of older versions written anew: as the present version, with the present schema, would write the same rows.

Times are marked as instants: older versions called them local ones. A column that the schema has widened since (int to
long, float to double) gets its present type, and one that has another name by now (an alias) gets that. Nothing is
added: a field that did not exist stays absent, and is read as null.

A table is written beside itself, file by file under the same names, each file is compared with the one that it stands
for, and then the two folders change places. Migrating again finishes what was cut off.

    .migrating/TABLE            the new files, until all are compared
    .migrating/TABLE.json       what is left to do: where the old files go, whether they are there, and all sizes
    .migrated-TIME/TABLE        the old files, until somebody removes them
    .migrated/TIME-TABLE.json   the sizes, for whoever saw the old files: `sizes`
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from shardlake.counted import counted
from shardlake.durable import sync_tree
from shardlake.errors import BadInput, ShardlakeError
from shardlake.kept_json import Count, parsed
from shardlake.lake.query import database
from shardlake.lake.remote import open_file
from shardlake.lake.sql import named, quoted
from shardlake.lake.tables import MIGRATING, VISIBLE, LakeTable
from shardlake.storage import Folder, find, is_remote, move, remove, write_whole

T = TypeVar("T")
DONE = ".migrated"
TYPES = {"BIGINT": pa.int64(), "FLOAT": pa.float32(), "DOUBLE": pa.float64()}
WIDER = {
    "BIGINT": (pa.int32(),),
    "FLOAT": (pa.int32(), pa.int64()),
    "DOUBLE": (pa.int32(), pa.int64(), pa.float32()),
}
"""By a column's present type, as DuckDB names it, the types of older files that Avro promotes to it."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """A table of so many files; the old ones are in `aside`."""

    table: str
    files: int
    aside: Folder


def form_of(file: Folder) -> pa.Schema:
    """The columns of a file, with their names and types. Raises ShardlakeError for what is no whole Parquet file."""
    try:
        with open_file(file) as opened:
            found: pa.Schema = pq.read_schema(opened)
    except (OSError, pa.ArrowException) as error:
        msg = f"{file} is no whole Parquet file: {' '.join(str(error).split())}"
        hint = "Put it back from a backup or remove it; `shardlake verify` tells which records it held."
        raise ShardlakeError(msg, hint) from error
    return found


def present_form(form: pa.Schema, table: LakeTable) -> pa.Schema:
    """The columns of a file as the table has them now."""
    kinds = {name.strip('"'): kind for name, kind in (column.split(" ", 1) for column in table.columns)}
    names = {before: name for name, before in table.aliases}
    fields: list[pa.Field] = []
    for field in form:
        name = names.get(field.name, field.name)
        if name in form.names or any(one.name == name for one in fields):  # the file has two of the field's names
            name = field.name
        kind = field.type
        if pa.types.is_timestamp(kind):
            kind = pa.timestamp(kind.unit, "UTC")
        elif kind in WIDER.get(kinds.get(name, ""), ()):
            kind = TYPES[kinds[name]]
        fields.append(field.with_name(name).with_type(kind))
    return pa.schema(fields, form.metadata)


def sizes(lake: Folder) -> dict[str, tuple[int, int]]:
    """Return by path below the lake the bytes of each migrated file: before its first migration, and after its last."""
    found: dict[str, tuple[int, int]] = {}
    for note in find(lake / DONE, "*.json"):
        for name, (before, after) in _note(note.path, dict[str, tuple[Count, Count]]).items():
            found[name] = (found.get(name, (before, 0))[0], after)
    return found


def _note(note: Folder, kind: type[T]) -> T:
    try:
        return parsed(note.read_text(), kind)
    except ValueError as error:
        raise BadInput(f"The note of a migration is damaged: {note}: {error}.", "Put it back.") from error


def migrate(lake: Folder, tables: list[LakeTable], say: Callable[[str], None]) -> Iterator[Migrated]:
    """Migrate each table that has files of older versions. The jobs must have ended.

    Raises ShardlakeError where a file cannot be read, or its copy is not as it is: then the tables are as they were.
    """
    for table in tables:
        note = lake / MIGRATING / f"{table.name}.json"
        if not note.exists():
            files = table.files()
            # All are read before anything is written: one may be broken.
            forms = {file: form_of(file) for file in files}
            if all(form == present_form(form, table) for form in forms.values()):
                continue
            remove(lake / MIGRATING / table.name)
            _write(table, forms, lake / MIGRATING / table.name, say)
            if not is_remote(lake):
                sync_tree(lake / MIGRATING / table.name)  # where a file is lost, the note must not be there
            aside = f"{DONE}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
            _Left(aside, False, _pairs(lake, table, files)).write(note)
        yield _change_places(lake, table, note)
    if not find(lake / MIGRATING, "*"):
        remove(lake / MIGRATING)


@dataclass(frozen=True, slots=True)
class _Left:
    """The note of a migration whose new files are complete: from here on the table and its new files change places."""

    aside: str
    is_aside: bool
    sizes: dict[str, tuple[int, int]]

    @classmethod
    def read(cls, note: Folder) -> _Left:
        return _note(note, cls)

    def write(self, note: Folder) -> None:
        write_whole(note, json.dumps(asdict(self)))


def _write(table: LakeTable, forms: Mapping[Folder, pa.Schema], new: Folder, say: Callable[[str], None]) -> None:
    for number, (file, form) in enumerate(forms.items(), 1):
        target = new / str(file).removeprefix(f"{table.folder}/")
        if not is_remote(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        present = present_form(form, table)
        if form == present:
            target.write_bytes(file.read_bytes())
        else:
            _copy(file, target, present)
        if number % 1000 == 0:
            say(f"{table.name}: {number:,} of {counted(len(forms), 'file')}")


def _copy(file: Folder, target: Folder, form: pa.Schema) -> None:
    with open_file(file) as opened:
        source = pq.ParquetFile(opened)
        # The form's metadata says what the file was written with: its rows are judged by that.
        with target.open("wb") as sink, pq.ParquetWriter(sink, form, compression="zstd") as writer:
            for number in range(source.num_row_groups):
                rows = source.read_row_group(number).rename_columns(form.names)
                # A long beyond 2^53 is no exact double; Avro reads it as one all the same.
                writer.write_table(rows.cast(form, safe=False))
    if not _are_equal(file, target, form):
        msg = f"{target} is not as {file}, of which it was made."
        raise ShardlakeError(msg, "The lake is as it was. Please report it, with the schema of the table.")


def _are_equal(file: Folder, target: Folder, form: pa.Schema) -> bool:
    """Compare all rows, as a reader that shares nothing with the writer sees them. A NaN is equal to itself."""
    with database([file.parent]) as connection:
        old, new = (f"read_parquet({quoted(str(path))}, hive_partitioning = false)" for path in (file, target))
        columns = connection.execute(f"DESCRIBE FROM {new}").fetchall()
        # In a session whose zone is UTC both forms of a time are cast to the same one.
        kinds = ["TIMESTAMP" if kind.startswith("TIMESTAMP") else kind for _, kind, *_ in columns]
        before = [row[0] for row in connection.execute(f"DESCRIBE FROM {old}").fetchall()]
        rows = []
        for names, source in ((before, old), (form.names, new)):
            cast = ", ".join(f"{named(name)}::{kind}" for name, kind in zip(names, kinds, strict=True))
            rows.append(f"(SELECT {cast} FROM {source})")
        counts = connection.execute(
            f"SELECT (SELECT count(*) FROM {rows[0]}), (SELECT count(*) FROM {rows[1]}), "
            f"(SELECT count(*) FROM (FROM {rows[0]} EXCEPT ALL FROM {rows[1]}))"
        ).fetchone()
    return bool(counts and counts[0] == counts[1] and counts[2] == 0)


def _pairs(lake: Folder, table: LakeTable, files: list[Folder]) -> dict[str, tuple[int, int]]:
    before, after = (
        {str(file.path).removeprefix(f"{home}/"): file.size_bytes for file in find(home / table.name, VISIBLE)}
        for home in (lake, lake / MIGRATING)
    )
    if before.keys() != after.keys() or len(before) != len(files):
        msg = f"Files of {table.name} came or went while it was written anew."
        raise ShardlakeError(msg, "See that no job runs, and run it again.")
    return {name: (before[name], after[name]) for name in before}


def _change_places(lake: Folder, table: LakeTable, note: Folder) -> Migrated:
    """In S3 a move may be cut off in the middle: what is moved already is moved again, and each move is finished
    before the next begins."""
    left = _Left.read(note)
    new, aside = lake / MIGRATING / table.name, lake / left.aside / table.name
    if not left.is_aside:
        if table.folder.exists():
            move(table.folder, aside)
        replace(left, is_aside=True).write(note)
    if new.exists():
        move(new, table.folder)
    write_whole(lake / DONE / f"{left.aside.removeprefix(f'{DONE}-')}-{table.name}.json", json.dumps(left.sizes))
    note.unlink()
    return Migrated(table.name, len(left.sizes), aside)
