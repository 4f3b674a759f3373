"""The archive by hand: confluent-kafka, fastavro, pyarrow. A batch, its files, and then its offsets.

At least once: what was written and not yet committed when the process died is written again, into other files. With
`ON_POISON=skip` a record that cannot be decoded is logged and left out; else it ends the program.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import struct
import uuid
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from confluent_kafka import Consumer, KafkaException, Message
from confluent_kafka.schema_registry import SchemaRegistryClient

BATCH = 100_000
COLUMNS = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_time", pa.timestamp("ms", "UTC")),
        *((name, pa.string()) for name in ("service", "host", "level", "message", "method", "path")),
        ("status", pa.int32()),
        ("response_bytes", pa.int64()),
        ("latency_ms", pa.float64()),
        *((name, pa.string()) for name in ("client_address", "user_agent", "referrer", "raw")),
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("arrival_time", pa.timestamp("ms", "UTC")),
    ]
)
log = logging.getLogger("archive")


class Decoder:
    """From a value with the registry's prefix to a record."""

    def __init__(self, registry_url: str) -> None:
        self._registry = SchemaRegistryClient({"url": registry_url})
        self._schemas: dict[int, Any] = {}

    def decode(self, value: bytes) -> dict[str, Any]:
        """Raises whatever the registry's client or fastavro does."""
        magic, schema_id = struct.unpack_from(">bI", value)
        if magic != 0:
            msg = f"no schema id, but magic byte {magic}"
            raise ValueError(msg)
        if schema_id not in self._schemas:
            schema = self._registry.get_schema(schema_id).schema_str
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(schema))
        record: Any = fastavro.schemaless_reader(BytesIO(value[5:]), self._schemas[schema_id], None)
        return dict(record)


def rows(messages: list[Message], decoder: Decoder, skip: bool) -> list[dict[str, Any]]:
    """A row for each record, with where it came from."""
    found = []
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
        try:
            row = decoder.decode(message.value())
        except Exception:
            if not skip:
                raise
            log.exception("left out: partition %d, offset %d", message.partition(), message.offset())
            continue
        row["topic"], row["partition"], row["offset"] = message.topic(), message.partition(), message.offset()
        row["arrival_time"] = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        found.append(row)
    return found


def write(table: Any, folder: Path) -> None:
    """A file for each hour of event time, or of arrival where there is none."""
    hours = pc.floor_temporal(pc.coalesce(table["event_time"], table["arrival_time"]), unit="hour")
    for hour in hours.unique():
        at = folder / hour.as_py().strftime("year=%Y/month=%m/day=%d/hour=%H")
        at.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.filter(pc.equal(hours, hour)), at / f"{uuid.uuid4().hex}.parquet", compression="zstd")


def main() -> None:
    """Until SIGTERM."""
    logging.basicConfig(level=logging.WARNING)
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": os.environ["GROUP"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **json.loads(os.environ["CONSUMER_SETTINGS"]),
        }
    )
    decoder, folder = Decoder(os.environ["SCHEMA_REGISTRY_URL"]), Path(os.environ["LAKE"])
    skip, seconds = os.environ["ON_POISON"] == "skip", float(os.environ["COMMIT_SECONDS"])
    consumer.subscribe([os.environ["TOPIC"]])
    while not stop:
        found = rows(consumer.consume(BATCH, timeout=seconds), decoder, skip)
        if found:
            write(pa.Table.from_pylist(found, schema=COLUMNS), folder)
            consumer.commit(asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    main()
