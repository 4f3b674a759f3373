"""Findings for which the next `jobs run` would refuse: another topic of a name, and records that are gone unread."""

from __future__ import annotations

from collections.abc import Iterator

from shardlake import topics
from shardlake.doctor.finding import Finding
from shardlake.flink.cluster import Cluster
from shardlake.flink.gaps import listed
from shardlake.flink.resume import newest_state
from shardlake.flink.submit import Start
from shardlake.flink.taking_up import SKIP, TakingUp
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.storage import as_url

CHECK = "taking up"


def taking_up(pipeline: Pipeline, settings: Settings) -> Iterator[Finding]:
    """The topics that jobs read, against what is noted with the jobs' state; gaps, while no job runs."""
    servers = settings.kafka_bootstrap_servers
    there = topics.names(servers)
    sources = [topic.name for topic in pipeline.sources if topic.name in there]
    firsts = {name: {p: first for p, (first, _) in topics.offsets(servers, name).items()} for name in sources}
    one = TakingUp(pipeline, settings, topics.topic_ids(servers, sources), firsts, {})
    state = newest_state(settings.jobs)
    anew = [f"{found.topic} was made anew: {found.words}" for found in one.made_anew()]
    if anew:
        fix = "`shardlake jobs rewind` begins anew with it: the offsets that are kept are of the one before."
        yield Finding(CHECK, False, "; ".join(anew), fix)
    elif state is None or Cluster(settings.flink_rest_url).running():
        yield Finding(CHECK, True, "the topics are those that the jobs know")
    elif gone := one.gaps(Start(resume_from=as_url(state))):
        yield Finding(CHECK, False, f"gone, and no job has read them: {listed(gone)}", SKIP)
    else:
        yield Finding(CHECK, True, "the topics are those that the jobs know, and have all that is to be read")
