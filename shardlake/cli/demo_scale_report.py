"""The sum of `shardlake demo-scale`: what workers wrote down, against the topic as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shardlake.cli.output import out
from shardlake.counted import counted
from shardlake.errors import ShardlakeError
from shardlake.settings import Settings


def report(settings: Settings, topic: str, records: Path, in_flight: Mapping[str, int]) -> None:
    """Print it. `in_flight` are those of the worker that was killed, by shard: no more than these may have come twice.

    Raises ShardlakeError where records are missing, out of order, unknown, or came twice for no reason.
    """
    from shardlake import topics
    from shardlake.shards.order import check
    from shardlake.shards.record_file import read_all

    servers = settings.kafka_bootstrap_servers
    there = sum(end - first for first, end in topics.offsets(servers, topic).values())
    produced = ((f"{topic}-{one.partition()}", one.offset()) for one in topics.read(servers, topic))
    verdict = check(produced, read_all(records))
    again = dict(verdict.duplicates_by_shard)
    by_offsets = counted(there, "record was", "records were")
    out.print(f"by the broker's offsets {by_offsets} produced, and {verdict.produced:,} read back")
    out.print(f"{verdict.duplicates:,} came again after the kill, {sum(in_flight.values()):,} were in flight")
    wrong = {
        f"lost: {_named(verdict.first_lost)}": verdict.lost,
        f"out of order: {_named(verdict.first_breaks)}": verdict.breaks,
        "processed, and not in the topic": verdict.unknown,
        "between the offsets, and not in the topic": there - verdict.produced,
        "twice, and not in flight at the kill": sum(max(0, n - in_flight.get(s, 0)) for s, n in again.items()),
    }
    found = [f"{count:,} {what}" for what, count in wrong.items() if count]
    out.print(
        f"records seen {verdict.seen:,} {'=' if verdict.seen == verdict.produced else '≠'} "
        f"records produced {verdict.produced:,}, order breaks {verdict.breaks:,}"
    )
    if found:
        raise ShardlakeError(f"It does not add up: {'; '.join(found)}.", f"What workers wrote is in {records}.")


def _named(places: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{shard}/{number}" for shard, number in places)
