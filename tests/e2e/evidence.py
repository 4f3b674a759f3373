"""The evidence that a topic gives when it is read again, and the lake held against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shardlake import pii
from shardlake.folders import running_stack as said_of_itself
from shardlake.lake.evidence import Evidence, collect
from shardlake.lake.masks import Masks
from shardlake.lake.query import connect
from shardlake.lake.tables import lake_tables
from shardlake.testing.stack import RunningStack


def evidence_of(stack: RunningStack, folder: Path, **arguments: Any) -> Evidence:
    topic = stack.pipeline.events_topic
    keys = pii.known_keys({}, said_of_itself(stack.stack.state))
    masks = Masks(stack.pipeline.schema_of(topic), keys)
    return collect(stack.settings, stack.pipeline, topic, folder, masks, **arguments)


def assert_the_lake_is_as_the_evidence_says(stack: RunningStack, evidence: Evidence) -> int:
    """Both ways, all columns; how many rows there are."""
    topic = stack.pipeline.events_topic
    connection = connect(lake_tables(stack.settings.lake, stack.pipeline))
    connection.execute(f"CREATE VIEW lake AS SELECT * FROM {topic.lake_table}")
    connection.execute(f"CREATE VIEW read_again AS FROM read_parquet('{evidence.topic_files}')")
    types = {row[0]: row[1] for row in connection.execute("DESCRIBE lake").fetchall()}
    of_evidence = {row[0]: row[1] for row in connection.execute("DESCRIBE read_again").fetchall()}
    names = ["partition", "offset", "arrival_time", *(f["name"] for f in stack.pipeline.schema_of(topic)["fields"])]
    assert {name: types[name] for name in names} == {name: of_evidence[name] for name in names}
    assert of_evidence["digest"] == "UBIGINT"
    chosen = []
    for name in names:
        candidates = [f'e."{name}"', *(f'e."{other}"' for other in of_evidence if other.startswith(f"{name}@"))]
        one_of = f'CASE WHEN l."{name}" IN ({", ".join(candidates)}) THEN l."{name}" ELSE e."{name}" END'
        chosen.append(f'{one_of if len(candidates) > 1 else candidates[0]} AS "{name}"')
    connection.execute(
        f"CREATE TABLE expected AS SELECT {', '.join(chosen)} FROM read_again e "
        'LEFT JOIN lake l USING ("partition", "offset") WHERE e.state = \'event\''
    )
    listed = ", ".join(f'"{name}"' for name in names)
    for one, other in (("expected", "lake"), ("lake", "expected")):
        difference = connection.execute(f"SELECT {listed} FROM {one} EXCEPT ALL SELECT {listed} FROM {other}")
        assert difference.fetchall() == [], f"in {one} and not in {other}"
    return int(connection.execute("SELECT count(*) FROM expected").fetchall()[0][0])
