"""Reading a pipeline folder: its schemas, topics and the modules of its Python folders."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import tomllib
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

from shardlake.errors import BadInput
from shardlake.names import check_schema, check_table, check_topic
from shardlake.schema_limits import SchemaTooLarge, check_limits

FOLDERS = ("schemas", "producers", "flink_jobs", "consumers")
PROVENANCE = frozenset({"topic", "partition", "offset", "arrival_time"})
HIVE_KEYS = frozenset({"year", "month", "day", "hour"})
"""Columns that the lake adds: to events where they came from, to all tables their folders' names."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One table of `schemas/topics.toml`.

    A topic with `dead_letters` carries events from outside: the jobs decode it, and what they cannot decode
    goes to the topic named there. A topic without a schema holds bytes. A table without partitions is no topic: its
    records are in the lake alone. `id` is the field that tells its records apart, by which one is traced.
    `unchecked` is a sentence on why nobody can count again what jobs write there: `verify` repeats the sentence.
    """

    name: str
    partitions: int = 0
    retention_hours: int = 168
    schema: str | None = None
    id: str | None = None
    key: str | None = None
    event_time: str | None = None
    out_of_order_seconds: int = 0
    lake_table: str | None = None
    dead_letters: str | None = None
    unchecked: str | None = None

    @property
    def view(self) -> str:
        """The SQL name of a topic of events."""
        return self.name.replace("-", "_").replace(".", "_")

    @property
    def subject(self) -> str:
        """The registry's name for the schema of this topic's values (TopicNameStrategy)."""
        return f"{self.name}-value"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline folder, read and checked."""

    folder: Path
    topics: dict[str, Topic]
    schemas: dict[str, dict[str, Any]]

    @classmethod
    def load(cls, folder: Path) -> Pipeline:
        """Read `folder/schemas`. Raises BadInput naming the file and what is wrong in it."""
        folder = folder.resolve()
        source = folder / "schemas" / "topics.toml"
        if not source.is_file():
            msg = f"{folder} is not a pipeline: it has no schemas/topics.toml."
            raise BadInput(msg, "Run in the pipeline's folder, or name it with --pipeline DIR.")
        schemas = {path.stem: _read_schema(path) for path in sorted(source.parent.glob("*.avsc"))}
        try:
            tables = tomllib.loads(source.read_text())
            topics = {name: Topic(name=name, **table) for name, table in tables.items()}
        except (ValueError, TypeError, RecursionError) as error:
            msg = f"{source} cannot be read: {error}."
            raise BadInput(msg, f"A topic's settings are: {', '.join(Topic.__slots__[1:])}.") from error
        for topic in topics.values():
            _check(topic, topics, schemas, source)
        return cls(folder=folder, topics=topics, schemas=schemas)

    def topic(self, name: str) -> Topic:
        """The topic of that name. Raises BadInput listing those there are."""
        try:
            return self.topics[name]
        except KeyError:
            msg = f"There is no topic {name!r} in this pipeline."
            raise BadInput(msg, f"It has: {', '.join(self.topics)}.") from None

    @property
    def events_topic(self) -> Topic:
        """The topic that producers write to: the one with dead letters."""
        return self.sources[0]

    @property
    def on_broker(self) -> list[Topic]:
        """Those that are topics; the others are tables of the lake alone."""
        return [topic for topic in self.topics.values() if topic.partitions]

    @property
    def sources(self) -> list[Topic]:
        """The topics that jobs read: those with dead letters."""
        return [topic for topic in self.topics.values() if topic.dead_letters]

    def schema_of(self, topic: Topic) -> dict[str, Any]:
        """The Avro schema of a topic's values, parsed from JSON."""
        if topic.schema is None:
            msg = f"Topic {topic.name} holds bytes: topics.toml gives it no schema."
            raise BadInput(msg)
        return self.schemas[topic.schema]

    def modules(self, kind: str) -> list[str]:
        """The names of the modules in one of the Python folders, sorted."""
        return sorted(p.stem for p in (self.folder / kind).glob("*.py") if not p.stem.startswith("_"))

    def stage(self, target: Path) -> Path:
        """A copy of the Python folders alone, below `target` in a folder named by its content, for other machines.

        Never the pipeline's own folder: it may hold a virtual environment, a lake and secrets.
        """
        files = [path for kind in FOLDERS for path in sorted((self.folder / kind).glob("*.py"))]
        digest = blake2b(digest_size=8)
        for path in files:
            digest.update(f"{path.relative_to(self.folder)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
        staged = target / digest.hexdigest()
        for path in files:
            copy = staged / path.relative_to(self.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        staged.mkdir(parents=True, exist_ok=True)
        return staged

    def load_module(self, kind: str, name: str) -> ModuleType:
        """Import `kind/name.py` as `kind.name`. Raises BadInput listing the modules there are."""
        if name not in self.modules(kind):
            what = {"flink_jobs": "job", "consumers": "consumer", "producers": "producer"}[kind]
            msg = f"There is no {what} {name!r} in {self.folder / kind}."
            raise BadInput(msg, f"It has: {', '.join(self.modules(kind)) or 'none'}.")
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        return importlib.import_module(f"{kind}.{name}")


def _read_schema(path: Path) -> dict[str, Any]:
    try:
        schema = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        msg = f"{path} is not JSON: {error}."
        raise BadInput(msg) from error
    if not isinstance(schema, dict) or schema.get("type") != "record":
        msg = f"{path} is not an Avro record."
        raise BadInput(msg, 'A schema file holds one {"type": "record", ...}.')
    check_schema(path, schema)
    try:
        check_limits(schema)
    except SchemaTooLarge as error:
        msg = f"{path} {error}."
        raise BadInput(msg, "Split the record: each one costs as much as its schema has.") from error
    return schema


def _check(topic: Topic, topics: dict[str, Topic], schemas: dict[str, Any], source: Path) -> None:
    check_topic(source, topic.name)
    if topic.lake_table is not None:
        check_table(source, topic.name, topic.lake_table)
    if topic.schema is not None and topic.schema not in schemas:
        msg = f"{source}: topic {topic.name} names the schema {topic.schema!r}, which is not there."
        raise BadInput(msg, f"The folder has: {', '.join(schemas) or 'none'}.")
    if topic.dead_letters is not None and topic.dead_letters not in topics:
        msg = f"{source}: topic {topic.name} sends dead letters to {topic.dead_letters!r}, which is not a topic."
        raise BadInput(msg, f'Add a table ["{topic.dead_letters}"].')
    fields = {field["name"]: field for field in schemas[topic.schema]["fields"]} if topic.schema else {}
    for role in ("id", "key", "event_time"):
        name = getattr(topic, role)
        if name is not None and name not in fields:
            msg = f"{source}: topic {topic.name} has {role} = {name!r}, which is not a field of its schema."
            raise BadInput(msg, f"Its fields are: {', '.join(sorted(fields)) or 'none (no schema)'}.")
    if topic.id and (fields[topic.id]["type"] != "string" or "pii" in fields[topic.id]):
        msg = f"{source}: topic {topic.name} has id = {topic.id!r}, which is PII or no plain string."
        raise BadInput(msg, "The lake keeps an id as it is, so that a record is found by it.")
    if not topic.partitions and (topic.lake_table is None or topic.dead_letters is not None):
        msg = f"{source}: topic {topic.name} has no partitions."
        raise BadInput(msg, "Give it some. Only a table that jobs write into the lake alone, by lake_table, has none.")
    if topic.unchecked is not None and not (isinstance(topic.unchecked, str) and topic.unchecked.strip()):
        msg = f"{source}: topic {topic.name} has unchecked = {topic.unchecked!r}, which gives no reason."
        raise BadInput(msg, "Say in a sentence why no query can count again what jobs write there, or leave it out.")
    if topic.unchecked is not None and topic.dead_letters and topic.lake_table:
        msg = f"{source}: topic {topic.name} is unchecked, and its events are in the lake."
        raise BadInput(msg, "`verify` holds them against the topic in any case: leave `unchecked` out.")
    added = HIVE_KEYS | (PROVENANCE if topic.dead_letters else set())
    taken = sorted(fields.keys() & added) if topic.lake_table else []
    if taken:
        msg = f"{source}: the schema of topic {topic.name} has a field {taken[0]}, a column that the lake adds."
        raise BadInput(msg, "Give the field another name.")
