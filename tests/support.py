"""Pipelines for the tests that need another one, and sending what a producer would not."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from shardlake.avro.codec import encoder
from shardlake.avro.registry import Registry
from shardlake.pipeline import FOLDERS, Pipeline
from shardlake.produce.delivery import Delivery
from shardlake.produce.sending import open_ledger
from shardlake.storage import Folder
from shardlake.testing.running import Running

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 240
"""So long a test waits for what must come, on a machine however busy: only a test that fails waits for all of it."""
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def wait_for(condition: Callable[[], Any], what: str, *, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while (began := time.monotonic()) < deadline:
        answer = condition()
        if answer:
            return answer
        # A question that costs much is asked less often: what it waits for needs the cores too.
        time.sleep(max(0.1, time.monotonic() - began))
    raise AssertionError(f"not within {seconds} s: {what}")


def command_line(process: psutil.Process) -> str:
    """Its program and arguments; nothing where it has ended since it was listed, waited for or not."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # and ZombieProcess, which is one
        return ""


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[None]:
    """A file system of its own, in memory; skips the test where none can be mounted."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def copy_pipeline(target: Path, partitions: int) -> Path:
    """This repository's pipeline, with another number of partitions."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    topics = target / "schemas" / "topics.toml"
    topics.write_text(topics.read_text().replace("partitions = 4", f"partitions = {partitions}"))
    return target


def with_fields(folder: Path, *fields: dict[str, Any], **attributes: Any) -> Pipeline:
    """The pipeline in a folder, once its events' fields are replaced by name or added, and attributes of the record
    set."""
    file = folder / "schemas" / "app_log.avsc"
    record = json.loads(file.read_text())
    new = {field["name"]: field for field in [*record["fields"], *fields]}
    file.write_text(json.dumps({**record, **attributes, "fields": list(new.values())}))
    return Pipeline.load(folder)


def has_instants(file: Folder) -> bool:
    """Tell whether a file of the lake marks all its times as instants."""
    kinds = pq.read_schema(io.BytesIO(file.read_bytes())).types
    return all(kind.tz is not None for kind in kinds if pa.types.is_timestamp(kind))


def json_in(output: str) -> Any:
    """The JSON object that a command printed, among what it said on the way."""
    return json.JSONDecoder().raw_decode(output, output.index("{"))[0]


def event(number: int, **fields: Any) -> dict[str, Any]:
    """A valid event; its values follow from its number, one a second from START."""
    return {
        "event_id": f"event-{number}",
        "event_time": START + timedelta(seconds=number),
        "service": f"service-{number % 3}",
        "host": f"host-{number % 7}",
        "method": "GET",
        "path": f"/path/{number}?secret={number}",
        "status": 500 if number % 10 == 0 else 200,
        "response_bytes": number,
        "latency_ms": number / 8,
        "client_address": f"10.0.0.{number % 250}",
        **fields,
    }


Series = dict[str, dict[frozenset[tuple[str, str]], float]]
"""Values by a metric's name and its labels."""


def scrape(port: int) -> Series:
    """What is served there; nothing where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return series(answer.read().decode())
    except OSError:
        return {}


def collected(collector: Collector) -> Series:
    """What a scrape of it would say."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return series(generate_latest(registry).decode())


def series(text: str) -> Series:
    """The samples in the text of a scrape."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[labels(**sample.labels)] = sample.value
    return found


def by(series: Series, name: str, label: str, **where: str) -> Counter[str]:
    """Sums of a metric by one of its labels, of the series that have those values."""
    found: Counter[str] = Counter()
    for of, value in series.get(name, {}).items():
        if where.items() <= dict(of).items():
            found[dict(of)[label]] += int(value)
    return found


def labels(**values: str) -> frozenset[tuple[str, str]]:
    """As the keys of a series."""
    return frozenset(values.items())


class Topic:
    """Sends events and raw values to the topic of events of a stack."""

    def __init__(self, stack: Running, run: Path | None = None) -> None:
        """With the folder of a run, what is sent is in a ledger of the run."""
        self._run = run
        topic = stack.pipeline.events_topic
        schema = stack.pipeline.schema_of(topic)
        registry = Registry(stack.settings.schema_registry_url)
        self.schema = schema
        self.encode = encoder(schema, registry.schema_id(topic.subject, schema))
        self._stack = stack

    def send(self, values: list[bytes | None], keys: list[bytes] | None = None) -> None:
        """Send, and wait for every acknowledgement."""
        servers = self._stack.settings.kafka_bootstrap_servers
        delivery = Delivery(servers, "app-logs", lambda _: None, 60)
        if self._run is not None:
            delivery.ledger = open_ledger(servers, "app-logs", self._run)
        for index, value in enumerate(values):
            delivery.send(value, keys[index] if keys else None)
        assert delivery.finish().is_complete

    def send_events(self, events: list[dict[str, Any]]) -> None:
        """Send valid events, with their keys."""
        self.send([self.encode(e) for e in events], [e["client_address"].encode() for e in events])
