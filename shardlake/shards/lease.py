"""Leases: who holds a shard, kept where Kafka keeps a group's progress, in the metadata of its committed offsets.

The coordinator gives shards to workers and fences those that have lost one; a lease only tells people so. Its epoch
rises by one with every worker that takes the shard, as a lease counter of the Kinesis Client Library does.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from shardlake.kept_json import Count, parsed


@dataclass(frozen=True, slots=True)
class Lease:
    """`owner` has held the shard since `epoch` began; at `renewed_ms` it had so many records in flight."""

    owner: str
    epoch: Count
    in_flight: Count
    renewed_ms: Count

    def to_metadata(self) -> str:
        """As it is committed."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_metadata(cls, metadata: str | None) -> Lease | None:
        """None where somebody else has committed."""
        try:
            return parsed(metadata or "", cls)
        except ValueError:
            return None
