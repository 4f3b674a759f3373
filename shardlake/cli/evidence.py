"""What `verify` reads of each topic of events, and where that is kept.

    RUN/evidence               of the topic of the run: RUN is the first folder of the topic that was named
    RUN/evidence/others/TOPIC  of a topic without a run: RUN is the first folder that was named
    RUN/evidence/published     what the topics that jobs write hold: see `shardlake.lake.published`

Without a run nothing is kept.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from shardlake import compose
from shardlake.cli.follow import tell
from shardlake.cli.lake import jobs_left_out
from shardlake.errors import BadInput, Unavailable
from shardlake.folders import running_stack, state_folder
from shardlake.pipeline import Pipeline, Topic
from shardlake.settings import Settings

if TYPE_CHECKING:
    from shardlake.lake.evidence import Evidence
    from shardlake.lake.source import Source

EVIDENCE = "evidence"
OTHERS = "others"


def read_sources(
    pipeline: Pipeline, settings: Settings, runs: list[Path], temporary: Path
) -> tuple[list[Source], Path | None]:
    """Every topic of events, read again, and the folder of what the jobs' topics hold, None while jobs run.

    Where the broker is gone, or a topic was made anew, what an earlier `verify` has kept is used. A source of which
    there is nothing tells why. Raises Unavailable where that is so of all, BadInput where a run's folder is none.
    """
    from shardlake.lake.published import PUBLISHED, collect_published
    from shardlake.lake.source import Source
    from shardlake.ledger import Run

    of_topic: dict[str, list[Path]] = {}
    for run in runs:
        of_topic.setdefault(Run.read(run).topic, []).append(run)
    home = runs[0] / EVIDENCE if runs else temporary
    found: list[Source] = []
    errors: list[BadInput | Unavailable] = []
    is_ended = is_fresh = False
    began = time.time()
    for topic in pipeline.sources:
        own = of_topic.get(topic.name, [])
        folder = own[0] / EVIDENCE if own else home / OTHERS / topic.name
        # Asked before a topic is read: what ends later has written more than was read.
        ended = _ended_at(settings, topic)
        is_ended = is_ended or bool(ended)
        try:
            evidence = _evidence(pipeline, settings, topic, own[0] if own else None, folder, temporary, ended)
            is_fresh = is_fresh or evidence.collected >= began
            found.append(Source(topic, evidence, tuple(own)))
        except (BadInput, Unavailable) as error:
            errors.append(error)
            found.append(Source(topic, None, tuple(own), error.message))
    if errors and len(errors) == len(found):
        raise errors[0]
    published = home / PUBLISHED
    if is_fresh:
        shutil.rmtree(published, ignore_errors=True)
        # A checkpoint of a job that was left out may be committed to the one and not to the other.
        if is_ended and not jobs_left_out(settings):
            collect_published(settings, pipeline, published)
    return found, published if published.is_dir() else None


def _evidence(
    pipeline: Pipeline,
    settings: Settings,
    topic: Topic,
    run: Path | None,
    folder: Path,
    temporary: Path,
    ended: dict[int, int],
) -> Evidence:
    from shardlake.lake.evidence import Evidence
    from shardlake.ledger import Run
    from shardlake.topics import topic_id

    gone: Unavailable | None = None
    try:
        if run is None or topic_id(settings.kafka_bootstrap_servers, topic.name) == Run.read(run).topic_id:
            return _collect(pipeline, settings, topic, folder, ended)
        why = f"{topic.name} was made anew since."
    except Unavailable as error:
        why, gone = error.message, error
    try:
        evidence = Evidence.load(folder, topic.name)
    except BadInput as error:
        if gone is None:  # the run is named for it, and the lake is held against the topic that there is
            return _collect(pipeline, settings, topic, temporary / topic.name, ended)
        if run is None:
            raise gone from None
        msg = f"The topic of the run in {run} cannot be read: {why}"
        raise Unavailable(msg, "No earlier `verify` has kept what it held: only its ledgers are left.") from error
    tell(f"{why} What an earlier verify has read of it is used.")
    return evidence


def _ended_at(settings: Settings, topic: Topic) -> dict[int, int]:
    from shardlake.flink.resume import ended_at

    return ended_at(settings.jobs, topic.name) if settings.jobs_folder else {}


def _collect(pipeline: Pipeline, settings: Settings, topic: Topic, folder: Path, ended: dict[int, int]) -> Evidence:
    from shardlake.avro.registry import AVRO, Registry
    from shardlake.flink.tables import GROUP
    from shardlake.lake.evidence import collect
    from shardlake.lake.masks import Masks
    from shardlake.topics import committed

    versions = Registry(settings.schema_registry_url).versions(topic.subject)
    older = [version.schema for version in reversed(versions) if version.type == AVRO]
    masks = Masks(pipeline.schema_of(topic), _keys(pipeline.folder), older)
    # Before the topic and the lake are read: files show up a moment after the offsets are committed.
    covered = dict(ended)
    for partition, offset in committed(settings.kafka_bootstrap_servers, GROUP, topic.name).items():
        covered[partition] = max(offset, covered.get(partition, 0))
    return collect(settings, pipeline, topic, folder, masks, covered=covered, say=tell)


def _keys(folder: Path) -> list[str]:
    """The keys that the jobs may have hashed PII with. The containers' is asked of them where none is given."""
    from shardlake import pii
    from shardlake.stack.containers import pii_key

    if compose.is_wanted() and not (os.environ.get(pii.KEY) or os.environ.get(pii.KEY_FILE)):
        return pii.known_keys({pii.KEY: pii_key(folder)}, {})
    return pii.known_keys(os.environ, running_stack(state_folder()))
