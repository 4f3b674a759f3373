"""`shardlake produce --follow`: log files into the topic as they grow, across rotations, restarts and kills."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from shardlake.cli.output import err
from shardlake.counted import counted
from shardlake.folders import state_folder

if TYPE_CHECKING:
    from shardlake.produce.sending import Sending

SAY_EVERY_SECONDS = 5


def follow(
    to: Callable[..., Sending],
    paths: list[str],
    module: ModuleType,
    as_event: Any,
    state: Path | None,
    until_idle: float | None,
) -> dict[str, Any]:
    """Follow until SIGTERM, Ctrl-C, or nothing new for `until_idle` seconds; the summary."""
    from shardlake import topics
    from shardlake.avro.codec import Decoder, Undecodable
    from shardlake.produce import discovery
    from shardlake.produce.content import Content
    from shardlake.produce.events import Read, Times
    from shardlake.produce.follow import Destination, Follower, in_topic
    from shardlake.produce.positions import StateFile

    for path in paths:
        discovery.check(path)
    patterns = [str(Path(path).absolute()) for path in paths]
    sending = to(say=tell, timeout_seconds=None)
    pipeline, topic, delivery = sending.pipeline, sending.topic, sending.delivery
    servers = sending.settings.kafka_bootstrap_servers
    state_file = StateFile(state or state_folder(pipeline.folder) / "follow" / f"{topic.name}.json")
    topic_id = topics.topic_id(servers, topic.name)
    saved = state_file.load(topic.name, topic_id)
    decoder = Decoder(pipeline.schema_of(topic), sending.registry, topic.subject)

    def event_id(value: bytes) -> str | None:
        try:
            return str(module.event_id(decoder.decode(value)))
        except Undecodable:
            return None

    count = Read()
    times = Times(topic.event_time, count, tell)
    ids, ends = in_topic(servers, topic.name, saved, event_id)
    destination = Destination(
        servers, topic.name, topic_id, sending.sender, delivery, as_event, module.event_id, module.is_parsed, times,
    )  # fmt: skip
    contents = [Content.of(place) for place in saved.places] if saved else []
    found = discovery.Discovery(patterns, contents, tell)
    follower = Follower(found, destination, state_file, saved, ids, ends, count)
    interrupted = False

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = number == signal.SIGINT
        follower.is_stopping = True
        signal.signal(number, signal.default_int_handler if interrupted else signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    began = said = time.monotonic()

    def report() -> None:
        nonlocal said
        if time.monotonic() - said > SAY_EVERY_SECONDS:
            said = time.monotonic()
            say(delivery.account, count, said - began, counted(len(found.live), "file"))

    tell(f"following {', '.join(paths)}: {len(contents)} contents known from {state_file.path}")
    try:
        follower.run(until_idle, report)
    finally:
        follower.finish()
    account = delivery.account
    seconds = time.monotonic() - began
    return {
        **asdict(count),
        "already_there": follower.passed_over,
        "sent": account.handed_over,
        "acknowledged": account.total_acknowledged,
        "failed": account.failed,
        "unknown": account.unknown,
        "files": len(found.live),
        "partitions": dict(sorted(account.acknowledged.items())),
        "reasons": dict(account.reasons),
        "seconds": round(seconds, 1),
        "events_per_second": round(account.handed_over / max(seconds, 0.001)),
        "interrupted": interrupted,
    }


def say(account: Any, count: Any, seconds: float, more: str = "") -> None:
    """A line of progress. `count` is of the lines read, None where events are not made of lines."""
    words = [
        f"{account.handed_over:,} sent",
        f"{account.total_acknowledged:,} acknowledged",
        f"{account.failed + account.unknown:,} failed",
        f"{account.handed_over / seconds:,.0f}/s",
    ]
    if count is not None and count.unparsed:
        words.append(f"{count.unparsed:,} that no parser took ({', '.join(count.unparsed_places)})")
    if count is not None and count.refused:
        words.append(f"{count.refused:,} too long for an event ({', '.join(count.refused_places)})")
    tell(", ".join([*words, *filter(None, [more])]))


def tell(line: str) -> None:
    """A line for the user, as it is: names of files may look like markup."""
    err.print(line)
