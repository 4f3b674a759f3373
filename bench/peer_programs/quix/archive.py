"""The archive in Quix Streams: its Avro deserializer with the registry's client, and its file sink with Parquet.

At least once, as its checkpoint says: the sink's files first, then the offsets. Its file sink keeps a folder for each
topic and partition; ours is that sink with folders by hour. With `ON_POISON=skip` its error callbacks answer True,
which it documents as "do not raise"; else it has its own.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quixstreams import Application, message_context
from quixstreams.models.serializers.avro import AvroDeserializer
from quixstreams.models.serializers.schema_registry import SchemaRegistryClientConfig
from quixstreams.sinks import SinkBatch
from quixstreams.sinks.community.file.formats import ParquetFormat
from quixstreams.sinks.community.file.local import LocalFileSink


class HourlyFiles(LocalFileSink):
    """A file for each partition and hour of a checkpoint, named as the library does: by its first offset, so that what
    is written again after a crash takes the place of what was there."""

    _hour = ""

    def write(self, batch: SinkBatch) -> None:
        """Called at each checkpoint, for each partition."""
        hours: dict[str, SinkBatch] = {}
        for item in batch:
            time = item.value["event_time"] or datetime.fromtimestamp(item.timestamp / 1000, UTC)
            hour = time.strftime("year=%Y/month=%m/day=%d/hour=%H")
            if hour not in hours:
                hours[hour] = SinkBatch(batch.topic, batch.partition)
            hours[hour].append(item.value, item.key, item.timestamp, item.headers, item.offset)
        for self._hour, part in hours.items():
            super().write(part)

    def _directory(self, batch: SinkBatch) -> Path:
        return Path(self._base_directory) / self._hour

    def _filename(self, batch: SinkBatch) -> str:
        return f"{batch.partition}-{super()._filename(batch)}"


def with_place(value: dict[str, Any]) -> dict[str, Any]:
    """The event, and where it came from; its sink adds the key and the time of arrival."""
    context = message_context()
    value["topic"], value["partition"], value["offset"] = context.topic, context.partition, context.offset
    return value


def main() -> None:
    """Until SIGTERM."""
    os.chdir(os.environ["LAKE"])  # its sink refuses many characters in a folder's name
    ignore: dict[str, Any] = {}
    if os.environ["ON_POISON"] == "skip":
        ignore = {name: lambda *_: True for name in ("on_consumer_error", "on_processing_error")}
    application = Application(
        broker_address=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        consumer_group=os.environ["GROUP"],
        auto_offset_reset="earliest",
        commit_interval=float(os.environ["COMMIT_SECONDS"]),
        consumer_extra_config=json.loads(os.environ["CONSUMER_SETTINGS"]),
        loglevel="WARNING",
        **ignore,
    )
    registry = SchemaRegistryClientConfig(url=os.environ["SCHEMA_REGISTRY_URL"])
    topic = application.topic(
        os.environ["TOPIC"], value_deserializer=AvroDeserializer(schema_registry_client_config=registry)
    )
    events = application.dataframe(topic).apply(with_place)
    events.sink(HourlyFiles(format=ParquetFormat(compression="zstd")))
    application.run()


if __name__ == "__main__":
    main()
