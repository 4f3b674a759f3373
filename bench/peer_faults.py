"""The faults of `make bench-peers`: programs killed (-9) while they work, and poison among healthy records.

Of ours the task manager is killed, and started again as its supervisor would. Everything is counted at the end, from
the topic and the files.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from bench.peer_costs import RUN_SECONDS, restart
from bench.peer_lake import POISON_HEADER, Files
from bench.peer_process import Peer, Progress, Run
from producers.poison import poison
from shardlake.avro.codec import encoder
from shardlake.avro.registry import Registry
from shardlake.flink.cluster import Cluster
from shardlake.flink.tables import GROUP
from shardlake.lake.accounting import dead_letter_places
from shardlake.lake.tables import VISIBLE
from shardlake.produce.delivery import producer_settings
from shardlake.testing.stack import RunningStack

KILLS = 10
"""Every other one within AFTER_FILE_SECONDS of a new file's appearance: what is written and not yet committed is where
programs differ, and a kill at any moment seldom meets it."""
AFTER_FILE_SECONDS = 0.3
STARTS = 4
"""A peer that poison ends is started so often in all."""
POISON_SECONDS = 120
NEW_FILE_SECONDS = 60
EVENTS_A_SECOND = 100
FOREIGN = "service-health"
KINDS = (
    *("empty", "header alone", "magic 255", "schema id 2^31-1", "schema of another record", "JSON", "no schema id"),
    *("half", "last byte missing", "one byte more", "string of length -1", "string of length 2^63-1"),
    *("union branch 7", "union branch -1", "enum symbol 99", "enum symbol -1", "int of 2^31", "bad UTF-8"),
    *("random bytes", "year 9999"),
)


def send_with_poison(stack: RunningStack, topic: str, healthy: int) -> None:
    """Healthy events, and each of KINDS once among them, over all partitions in turn."""
    pipeline, source = stack.pipeline, stack.pipeline.events_topic
    registry, schema = Registry(stack.settings.schema_registry_url), pipeline.schema_of(source)
    encode = encoder(schema, registry.schema_id(source.subject, schema))
    other = pipeline.topic(FOREIGN)
    kinds = dict(poison(encode, schema, registry.schema_id(other.subject, pipeline.schema_of(other))))
    producer = Producer(producer_settings(stack.settings.kafka_bootstrap_servers))
    start = datetime.now(UTC) - timedelta(hours=1, seconds=healthy / EVENTS_A_SECOND)
    events = pipeline.load_module("producers", "synthetic").events(1, start, EVENTS_A_SECOND)
    apart, left, number = healthy // len(KINDS), list(KINDS), 0

    def send(value: bytes, headers: list[tuple[str, bytes]] | None = None) -> None:
        nonlocal number
        producer.produce(topic, value, b"key", partition=number % source.partitions, headers=headers or [])
        number += 1

    for count, event in enumerate(islice(events, healthy)):
        send(encode(event))
        if count % apart == apart // 2 and left:
            kind = left.pop(0)
            send(kinds[kind], [(POISON_HEADER, kind.encode())])
        if count % 10_000 == 0:
            producer.flush()
    producer.flush()


def our_kills(stack: RunningStack, topic: str) -> tuple[Files, dict[str, Any]]:
    """The task manager killed while the archive's job works; its files, and how it went."""
    stack.shardlake("jobs", "run", "archive")
    progress = Progress(stack.settings, GROUP, topic)
    taskmanager, lake = stack.stack.servers["taskmanager"], _our_lake(stack)
    went = _strike(progress, taskmanager.kill, lambda: restart(stack, "taskmanager"), lake, lambda: False)
    progress.close()
    stack.shardlake("jobs", "finish")
    return Files.below(lake), went


def peer_kills(stack: RunningStack, peer: Peer, topic: str, folder: Path) -> tuple[Files, dict[str, Any]]:
    """A peer's process killed while it works."""
    run = Run(peer, stack.settings, topic, folder, stack.settings.checkpoint_seconds)
    progress = Progress(stack.settings, run.group, topic)
    went = _strike(progress, run.kill, run.start, run.lake, run.has_ended)
    progress.close()
    run.stop()
    return Files.below(run.lake), went


def _strike(
    progress: Progress, kill: Callable[[], None], again: Callable[[], None], lake: Path, has_ended: Callable[[], bool]
) -> dict[str, Any]:
    draw, kills, unreadable = random.Random(5), 0, set[str]()
    for number in range(KILLS):
        if not progress.await_share((number + draw.random()) / (KILLS + 1), has_ended, RUN_SECONDS):
            break
        if number % 2:
            _await_new_file(lake, has_ended)
            time.sleep(draw.random() * AFTER_FILE_SECONDS)
        else:
            time.sleep(draw.random())
        if progress.share() == 1:
            break
        kill()
        kills += 1
        unreadable |= set(Files.below(lake).unreadable)
        again()
    finished = progress.await_share(1, has_ended, RUN_SECONDS)
    return {"kills": kills, "unreadable_after_kills": len(unreadable), "finished": finished}


def _await_new_file(lake: Path, has_ended: Callable[[], bool]) -> None:
    before, deadline = set(lake.rglob(VISIBLE)), time.monotonic() + NEW_FILE_SECONDS
    while set(lake.rglob(VISIBLE)) <= before and not has_ended() and time.monotonic() < deadline:
        time.sleep(0.005)


def our_poison(stack: RunningStack, topic: str) -> tuple[Files, list[tuple[int, int]], str]:
    """The archive's job over a topic with poison: its files, its dead letters, and whether it stopped."""
    stack.shardlake("jobs", "run", "archive")
    progress = Progress(stack.settings, GROUP, topic)
    progress.await_share(1, lambda: False, POISON_SECONDS)
    progress.close()
    restarts = Cluster(stack.settings.flink_rest_url).jobs()[0].restarts
    stack.shardlake("jobs", "finish")
    letters = dead_letter_places(stack.settings.kafka_bootstrap_servers, stack.pipeline.events_topic)
    return Files.below(_our_lake(stack)), letters, f"restarts {restarts} times" if restarts else "goes on"


def peer_poison(stack: RunningStack, peer: Peer, topic: str, folder: Path) -> tuple[Files, str]:
    """A peer over the same, started again where it ends."""
    run = Run(peer, stack.settings, topic, folder, stack.settings.checkpoint_seconds)
    progress = Progress(stack.settings, run.group, topic)
    starts = 1
    while not progress.await_share(1, run.has_ended, POISON_SECONDS) and run.has_ended() and starts < STARTS:
        run.start()
        starts += 1
    if run.has_ended():
        how = f"ends, {starts} of {starts} starts"
    elif progress.share() < 1:
        how = "hangs"
    else:
        how = "goes on" if starts == 1 else f"ends {starts - 1} times"
    progress.close()
    run.stop()
    return Files.below(run.lake), how


def _our_lake(stack: RunningStack) -> Path:
    return Path(str(stack.settings.lake)) / "app_logs"
