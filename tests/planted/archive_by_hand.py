"""An archive in plain Python, as one would write it by hand, with a bug planted in it.

    python -m tests.planted.archive_by_hand BUG PIPELINE LAKE

BUG is none, reset-to-latest, commit-before-work, work-before-commit (at least once) or read-uncommitted. Those in the
middle die once by SIGKILL between the two steps; started again, they go on as their group's offsets say.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from confluent_kafka import Consumer

from shardlake import pii
from shardlake.avro.registry import Registry
from shardlake.folders import running_stack, state_folder
from shardlake.lake.masks import Masks
from shardlake.lake.reread import Judge
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

DEADLY = ("commit-before-work", "work-before-commit")
DIES_AT_BATCH = 3
IDLE_POLLS = 6


def archive(judge: Judge, masks: Masks, table: Path, messages: list[Any], name: str) -> None:
    """The valid events of a batch, masked, with their places, into the folders of their hours."""
    arrivals = np.array([message.timestamp()[1] * 1000 for message in messages], np.int64)
    columns, states = judge.judge([message.value() for message in messages], arrivals)
    rows = {name: masks.apply(name, column)[name] for name, column in columns.items()}
    rows["topic"] = pa.array([message.topic() for message in messages])
    rows["partition"] = pa.array([message.partition() for message in messages], pa.int32())
    rows["offset"] = pa.array([message.offset() for message in messages], pa.int64())
    rows["arrival_time"] = pa.array(arrivals).cast(pa.timestamp("us"))
    connection = duckdb.connect()
    connection.register("batch", pa.table(rows).filter(pa.array(states == 0)))
    hour = "coalesce(event_time, arrival_time)"
    keys = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H"}
    folders = ", ".join(f"strftime({hour}, '{form}') AS {key}" for key, form in keys.items())
    connection.execute(
        f"COPY (SELECT *, {folders} FROM batch) TO '{table}' (FORMAT parquet, PARTITION_BY ({', '.join(keys)}), "
        f"FILENAME_PATTERN '{name}-{{i}}', OVERWRITE_OR_IGNORE)"
    )


def main(bug: str, folder: Path, lake: Path) -> None:
    """Consume until nothing comes for a while."""
    pipeline, settings = Pipeline.load(folder), Settings.read()
    topic = pipeline.events_topic
    judge = Judge(topic, pipeline.schema_of(topic), Registry(settings.schema_registry_url))
    masks = Masks(pipeline.schema_of(topic), pii.known_keys(os.environ, running_stack(state_folder())))
    table = lake / str(topic.lake_table)
    table.mkdir(parents=True, exist_ok=True)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": f"by-hand-{bug}",
            "enable.auto.commit": False,
            "auto.offset.reset": "latest" if bug == "reset-to-latest" else "earliest",
            "isolation.level": "read_uncommitted" if bug == "read-uncommitted" else "read_committed",
            # A killed member must not hold its partitions for 45 s.
            "session.timeout.ms": 6000,
        }
    )
    consumer.subscribe([topic.name], on_assign=lambda *_: sys.stdout.write("assigned\n") and sys.stdout.flush())
    died = lake / "died"
    batches = idle = 0
    while idle < IDLE_POLLS or not consumer.assignment():
        messages = [message for message in consumer.consume(1000, timeout=1) if message.error() is None]
        # Every use of this has something to read: before that it waits for a member that was killed, or a producer.
        idle = 0 if messages or not batches else idle + 1
        if not messages:
            continue
        batches += 1
        work = partial(archive, judge, masks, table, messages, f"{os.getpid()}-{batches}")
        commit = partial(consumer.commit, asynchronous=False)
        first, second = (commit, work) if bug == "commit-before-work" else (work, commit)
        first()
        if batches == DIES_AT_BATCH and bug in DEADLY and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        second()
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
