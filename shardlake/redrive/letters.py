"""The dead letters of a topic: which there are, where they came from, and whether they were redriven.

Values stay in the topic until somebody needs them: see `originals`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shardlake import topics
from shardlake.dead_letter import DeadLetter
from shardlake.errors import BadInput
from shardlake.pipeline import Pipeline
from shardlake.redrive.marks import TOPIC as MARKS
from shardlake.redrive.marks import Mark, mark_key

SUFFIX = ".dlq"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, or what else is in its topic: then `source` is None.

    `times` is how often it is there: a worker that is stopped while it waits for an acknowledgement sends it again.
    """

    partition: int
    offset: int
    source: DeadLetter | None
    key: bytes | None
    size_bytes: int
    times: int = 1
    mark: Mark | None = field(default=None, compare=False)

    @property
    def place(self) -> str:
        """Of the source's record."""
        source = self.source
        return f"{source.topic}/{source.partition}/{source.offset}" if source else ""

    @property
    def is_left(self) -> bool:
        """Whether it can still be redriven."""
        return self.source is not None and self.mark is None


def dead_letter_topics(pipeline: Pipeline, bootstrap_servers: str) -> dict[str, str]:
    """Each dead-letter topic that there is, and whose it is: the jobs', or a consumer group's by its topic's name.

    Raises Unavailable where no broker answers.
    """
    there = topics.names(bootstrap_servers)
    jobs = {str(topic.dead_letters) for topic in pipeline.sources}
    found = dict.fromkeys(sorted(jobs & there), "the jobs")
    for name in sorted(there - jobs):
        longest = max((one for one in there if name.startswith(f"{one}.")), key=len, default="")
        group = name.removeprefix(f"{longest}.").removesuffix(SUFFIX)
        if name.endswith(SUFFIX) and longest and group:
            found[name] = f"group {group}"
    return found


def check_topic(pipeline: Pipeline, bootstrap_servers: str, name: str) -> None:
    """Raises BadInput where it is no topic that may hold dead letters; consumers may have been given any name."""
    known = dead_letter_topics(pipeline, bootstrap_servers)
    others = {topic.name for topic in pipeline.topics.values()} | {MARKS}
    if name not in known and (name in others or name not in topics.names(bootstrap_servers)):
        raise BadInput(f"There is no dead-letter topic {name!r}.", f"There is: {', '.join(known) or 'none yet'}.")


def read_letters(
    pipeline: Pipeline, bootstrap_servers: str, topic: str, marks: Mapping[str, Mark] | None = None
) -> list[Letter]:
    """All of a topic, in its order, each once. Raises Unavailable where no broker answers."""
    found: dict[Any, Letter] = {}
    for message in topics.read(bootstrap_servers, topic):
        source = _source(pipeline, topic, message)
        place = message.partition(), message.offset()
        same: Any = place
        mark = None
        if source is not None:
            same = source.topic, source.partition, source.offset, source.group
            mark = (marks or {}).get(mark_key(topic, source))
        if same in found:
            found[same] = replace(found[same], times=found[same].times + 1)
            continue
        size_bytes = source.left_out_bytes if source and source.left_out_bytes else len(message.value() or b"")
        found[same] = Letter(*place, source, message.key(), size_bytes, mark=mark)
    return sorted(found.values(), key=lambda one: (one.partition, one.offset))


def _source(pipeline: Pipeline, topic: str, message: Any) -> DeadLetter | None:
    """None where it is not ours, which is also one that claims to be the jobs' and to come from another topic."""
    source = DeadLetter.if_ours(message.headers())
    if source is None:
        return None
    is_jobs = any(one.name == source.topic and one.dead_letters == topic for one in pipeline.sources)
    return source if source.group or is_jobs else None
