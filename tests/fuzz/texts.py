"""Texts that users give, drawn by hypothesis: SQL, names, times and places. Each has a meaning or is refused."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from producers.json_lines import parser
from producers.log_format import parser as format_parser
from shardlake.errors import BadInput
from shardlake.flink.endpoints import Endpoints
from shardlake.flink.tables import table_definitions
from shardlake.formats.clock import Clock
from shardlake.lake.query import connect, query
from shardlake.lake.tables import LakeTable, lake_tables
from shardlake.lake.trace import place_of
from shardlake.pipeline import FOLDERS, Pipeline
from shardlake.redrive.selection import Source
from shardlake.shards.start import InitialPosition, milliseconds
from tests.support import ROOT

PIPELINE = Pipeline.load(ROOT)
QUERIES = (
    "SELECT count(*) FROM app_logs WHERE event_time >= '2026-10-31 22:00' AND event_time < '2026-11-01'",
    "SELECT service, max(event_time) FROM app_logs WHERE hour = '22' AND event_time > DATE '2026-10-31' GROUP BY 1",
    "WITH a AS (SELECT * FROM app_logs) FROM a JOIN service_health USING (service) WHERE event_time = '2026-1-1'",
    "SELECT * FROM app_logs WHERE event_time BETWEEN '1970-01-01' AND '9999-12-31 23:59:59.999999' LIMIT 3",
)
TIMES = st.one_of(
    st.sampled_from(
        [
            "infinity", "-infinity", "epoch", "0001-01-01", "9999-12-31", "12026-01-01", "294247-01-10 04:00:54",
            "0044-03-15 (BC)", "290309-12-22 (BC)", "2026-02-30", "2026-10-31T22:00:00+14:00", "24:00", "'",
        ]
    ),
    st.datetimes().map(str), st.text(max_size=12),
)  # fmt: skip
SQL = st.one_of(
    st.builds(
        lambda whole, start, end, other: whole[:start] + other + whole[end:],
        st.sampled_from(QUERIES), st.integers(0, 130), st.integers(0, 130), st.one_of(st.text(max_size=9), TIMES),
    ),
    st.builds("SELECT count(*) FROM app_logs WHERE event_time {} '{}'".format, st.sampled_from("<=>"), TIMES),
    st.builds(
        "SELECT {} FROM app_logs".format,
        st.one_of(st.text(max_size=20), st.sampled_from(["(" * 900, "\udcff"])),
    ),
)  # fmt: skip
NAMES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", ".", "..", "a/b", 'a"b', "a`b", "a'b", "ä", "A1", "a b", "-", "year", "a" * 300]),
    st.sampled_from(["a", "b", "c", "d"]),
    st.none(), st.integers(), st.lists(st.text(max_size=3), max_size=2),
)  # fmt: skip
ARGUMENTS = st.one_of(
    TIMES, st.text(max_size=20),
    st.from_regex(r"[\w.-]{1,9}[-/]\d{1,25}([:/]\d{1,25}(-\d{1,25})?)?", fullmatch=True),
    st.builds("{}={}".format, st.sampled_from(["AT_TIMESTAMP", "AFTER_SEQUENCE_NUMBER", "LATEST"]), TIMES),
    st.builds("AFTER_SEQUENCE_NUMBER=app-logs-{}:{}".format, st.integers(0, 10**30), st.integers(0, 10**30)),
    st.sampled_from(["AFTER_SEQUENCE_NUMBER=app-logs-0:" + "9" * 5000, "app-logs-²:1", "app-logs/٣/1", "\udcff/0/0"]),
)  # fmt: skip


@cache
def _tables() -> list[LakeTable]:
    folder = Path(tempfile.mkdtemp(prefix="shardlake-fuzz-"))
    hour = folder / "app_logs" / "year=2026" / "month=10" / "day=31" / "hour=22"
    hour.mkdir(parents=True)
    begin = datetime(2026, 10, 31, 22)  # noqa: DTZ001 - Parquet has UTC without a zone
    rows: dict[str, list[Any]] = {
        "event_id": ["a"],
        "event_time": [begin],
        "service": ["b"],
        "topic": ["app-logs"],
        "partition": [0],
        "offset": [1],
    }
    pq.write_table(pa.table(rows), hour / "part-0.parquet")
    return lake_tables(folder, PIPELINE)


def of_queries(sql: str) -> str:
    """A query has an answer or is refused."""
    try:
        query(sql, _tables(), count_reads=True)
    except BadInput:
        return "refused"
    return "answered"


def of_names(topic: Any, table: Any, field: Any, alias: Any) -> str:
    """A pipeline with such names is refused when its folder is read, or its tables can be made."""
    schema = {
        "type": "record", "name": "Event",
        "fields": [
            {"name": "id", "type": "string", "aliases": [alias]},
            {"name": field, "type": ["null", "string"], "pii": "hash"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        ],
    }  # fmt: skip
    # JSON's way with a string is TOML's, but for half a surrogate pair.
    quoted = [json.dumps(one, ensure_ascii=True) if one is not None else '""' for one in (topic, table)]
    name = quoted[0] if isinstance(topic, str) else f'"{topic}"'
    with tempfile.TemporaryDirectory() as folder:
        for part in FOLDERS:
            (Path(folder) / part).mkdir()
        (Path(folder) / "schemas" / "event.avsc").write_text(json.dumps(schema))
        (Path(folder) / "schemas" / "topics.toml").write_text(
            f'[{name}]\npartitions = 1\nschema = "event"\nevent_time = "at"\nid = "id"\n'
            f'lake_table = {quoted[1]}\ndead_letters = "dead"\n[dead]\npartitions = 1\n'
        )
        try:
            pipeline = Pipeline.load(Path(folder))
        except BadInput:
            return "refused"
        (Path(folder) / "lake").mkdir()
        connect(lake_tables(Path(folder) / "lake", pipeline)).close()
        table_definitions(pipeline, Endpoints("broker:9092", "http://registry", "file:///lake"))
    return "taken"


READERS: tuple[Callable[[str], Any], ...] = (
    milliseconds, Source.read, lambda text: place_of(text, PIPELINE),
    lambda text: InitialPosition.read(text, "app-logs"),
    Clock.of, format_parser, lambda text: parser([text]),
)  # fmt: skip


def of_arguments(text: str) -> str:
    """An argument of any of the commands that take a time, a place, a position, a zone, a format or a mapping."""
    taken = 0
    for read in READERS:
        with suppress(BadInput):
            read(text)
            taken += 1
    return "taken" if taken else "refused"
