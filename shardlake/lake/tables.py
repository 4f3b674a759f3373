"""The lake's tables and their files: folders year=/month=/day=/hour= of Parquet, hours in UTC.

Listing goes down only into the hours that are asked for: a lake of years has more files than a query wants to hear of.
In S3 the hours of a short range are listed one by one, the days of a longer one; else everything is, in one listing,
since going down folder by folder would ask once for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shardlake.errors import BadInput, Unavailable
from shardlake.pipeline import Pipeline, Topic
from shardlake.storage import Folder, check, find, is_remote

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TYPES = {
    "string": "VARCHAR",
    "enum": "VARCHAR",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "bytes": "BLOB",
    "timestamp-millis": "TIMESTAMP",
    "timestamp-micros": "TIMESTAMP",
    "date": "DATE",
}
PROVENANCE = ("topic VARCHAR", '"partition" INTEGER', '"offset" BIGINT', "arrival_time TIMESTAMP")
HIVE = ("year VARCHAR", "month VARCHAR", "day VARCHAR", "hour VARCHAR")
VISIBLE = "[!._]*.parquet"
MIGRATING = ".migrating"
"""Below the lake's folder, what `shardlake.lake.migrate` is at work on."""
LISTED_HOURS = 48
LISTED_DAYS = 62
"""In S3, up to so many hours or days are listed one by one: each costs a request."""


@dataclass(frozen=True, slots=True)
class Range:
    """From `start` to `end`, both in it; None is open."""

    start: datetime | None = None
    end: datetime | None = None

    def touches(self, begin: datetime, length: timedelta) -> bool:
        """Whether something of a time that begins then may be in the range; its end may lie beyond the year 9999."""
        return (self.start is None or self.start - begin < length) and (self.end is None or begin <= self.end)

    def join(self, other: Range) -> Range:
        """The smallest range that holds both."""
        return Range(
            None if self.start is None or other.start is None else min(self.start, other.start),
            None if self.end is None or other.end is None else max(self.end, other.end),
        )


@dataclass(frozen=True, slots=True)
class LakeTable:
    """A table: its folder, the column by whose hour it is partitioned, and its columns as DuckDB declares them.

    Files that are `left_out` cannot be read. `aliases` are pairs of a column and a name that it had in older files.
    """

    name: str
    folder: Folder
    time_column: str
    columns: tuple[str, ...]
    left_out: frozenset[Folder] = frozenset()
    aliases: tuple[tuple[str, str], ...] = ()

    def hours(self, within: Range = Range()) -> Iterator[Folder]:
        """The folders of the hours within a range, in order; in S3 those with visible files."""
        if is_remote(self.folder):
            yield from dict.fromkeys(file.parent for file in self.files(within))
            return
        for year in _parts(self.folder, "year"):
            number = int(year.name[5:])
            if not within.touches(datetime(number, 1, 1, tzinfo=UTC), 366 * DAY):
                continue
            for month in _parts(year, "month"):
                first = datetime(number, int(month.name[6:]), 1, tzinfo=UTC)
                if not within.touches(first, 31 * DAY):
                    continue
                for day in _parts(month, "day"):
                    midnight = first + (int(day.name[4:]) - 1) * DAY
                    if not within.touches(midnight, DAY):
                        continue
                    for hour in _parts(day, "hour"):
                        begin = midnight + int(hour.name[5:]) * HOUR
                        if within.touches(begin, HOUR):
                            yield hour

    def files(self, within: Range = Range()) -> list[Folder]:
        """The visible files of these hours; what a job is still writing begins with a dot, or is no object yet."""
        if is_remote(self.folder):
            below = (self.folder / part for part in _parts_to_list(within))
            listed = (file.path for part in below for file in find(part, VISIBLE))
            found = [file for file in listed if _touches(file.parent, within)]
        else:
            found = [file for hour in self.hours(within) for file in _sorted(hour.glob(VISIBLE))]
        return [file for file in found if file not in self.left_out]


def _parts_to_list(within: Range) -> list[str]:
    """The folders, below a table's, that hold all files of a range, few enough to be listed one by one."""
    if within.start is None or within.end is None:
        return [""]
    hour = within.start.replace(minute=0, second=0, microsecond=0)
    for begin, step, most, pattern in (
        (hour, HOUR, LISTED_HOURS, "year=%Y/month=%m/day=%d/hour=%H"),
        (hour.replace(hour=0), DAY, LISTED_DAYS, "year=%Y/month=%m/day=%d"),
    ):
        count = (within.end - begin) // step + 1
        if count <= most:
            return [f"{begin + number * step:{pattern}}" for number in range(count)]
    return [""]


def begin_of(hour: Folder) -> datetime | None:
    """When the hour of a folder begins; None for a folder of no hour, which no job has written."""
    try:
        year, month, day, begin = (int(part.partition("=")[2]) for part in hour.parts[-4:])
        return datetime(year, month, day, begin, tzinfo=UTC)
    except ValueError:
        return None


def _touches(hour: Folder, within: Range) -> bool:
    begin = begin_of(hour)
    return begin is not None and within.touches(begin, HOUR)


def must_be_in_place(lake: Folder) -> None:
    """Raise BadInput where a migration was cut off while tables changed places: one may be missing.

    Raises what `check` does, too.
    """
    check(lake)
    if find(lake / MIGRATING, "*.json"):
        raise BadInput(f"A migration of the lake at {lake} was cut off.", "Finish it: `shardlake lake migrate`.")


def lake_tables(lake: Folder, pipeline: Pipeline, *, also_cut_off: bool = False) -> list[LakeTable]:
    """The pipeline's tables, whether they hold anything or not.

    Raises Unavailable where there is no lake, BadInput where S3 does not let us in, and, but for `also_cut_off`, where
    a migration was cut off.
    """
    if also_cut_off:
        check(lake)
    else:
        must_be_in_place(lake)
    if not is_remote(lake) and not lake.is_dir():
        msg = f"There is no lake at {lake}."
        raise Unavailable(msg, "Start the stack with `shardlake up`, or set LAKE_URL to a lake's folder.")
    return [
        LakeTable(
            topic.lake_table,
            lake / topic.lake_table,
            str(topic.event_time),
            _columns(pipeline, topic),
            aliases=_aliases(pipeline.schema_of(topic)["fields"]),
        )
        for topic in pipeline.topics.values()
        if topic.lake_table
    ]


def _aliases(fields: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    names = {field["name"] for field in fields}
    # A name that another field has by now is that field's.
    return tuple((field["name"], name) for field in fields for name in field.get("aliases", ()) if name not in names)


def _columns(pipeline: Pipeline, topic: Topic) -> tuple[str, ...]:
    fields = [f'"{field["name"]}" {TYPES[_type(field["type"])]}' for field in pipeline.schema_of(topic)["fields"]]
    return (*fields, *(PROVENANCE if topic in pipeline.sources else ()), *HIVE)


def _type(kind: Any) -> str:
    if isinstance(kind, list):
        return _type(next(branch for branch in kind if branch != "null"))
    return str(kind.get("logicalType", kind["type"]) if isinstance(kind, dict) else kind)


def _parts(folder: Folder, key: str) -> list[Folder]:
    return _sorted(folder.glob(f"{key}=*")) if folder.is_dir() else []


def _sorted(paths: Iterable[Folder]) -> list[Folder]:
    return sorted(paths, key=str)
