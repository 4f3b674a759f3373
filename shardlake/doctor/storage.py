"""S3, where the lake or what the jobs keep is there: does it let us in, and what has been left in it?"""

from __future__ import annotations

import time
from collections.abc import Iterator

from shardlake.doctor.finding import Finding
from shardlake.lake.uploads import leftovers
from shardlake.settings import Settings
from shardlake.storage import check, is_remote

OLD_SECONDS = 86_400
MANY = 100


def storage(settings: Settings) -> Iterator[Finding]:
    """Nothing where all is in files. Raises ShardlakeError where S3 does not answer, or lets nobody in."""
    homes = {"lake": settings.lake, "checkpoints": settings.jobs}
    remote = {name: folder for name, folder in homes.items() if is_remote(folder)}
    for name, folder in remote.items():
        check(folder)
        yield Finding(f"S3 of the {name}", True, f"{folder} at {settings.s3_endpoint or 'Amazon S3'}")
    if not remote:
        return
    found = [one for folder in remote.values() for one in leftovers(folder)]
    old = sum(one.began_ns < time.time_ns() - OLD_SECONDS * 10**9 for one in found)
    words = f"{len(found):,} unfinished, {old:,} of them older than a day"
    fix = "`shardlake lake uploads` says which of them jobs may still need, and removes the others."
    yield Finding("uploads", not old and len(found) < MANY, words, fix)
