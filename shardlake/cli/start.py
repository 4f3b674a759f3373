"""Starting the application: where it takes up is decided, what the broker has lost is said, and all tasks run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardlake.cli.cluster import cluster_of
from shardlake.cli.output import err
from shardlake.cli.turn import turn
from shardlake.errors import ShardlakeError
from shardlake.folders import state_folder
from shardlake.patience import patiently
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from shardlake.flink.cluster import Cluster
    from shardlake.flink.submit import Start, Submission


@turn()
def start(
    pipeline: Pipeline,
    settings: Settings,
    jobs: list[str],
    options: list[str],
    savepoint: str | None = None,
    *,
    skip_lost: bool = False,
) -> tuple[str, str]:
    """Submit and wait until all tasks run; the job's id, and from where it started, in words."""
    from shardlake.flink.apart import without_left_out
    from shardlake.flink.job import choose
    from shardlake.flink.resume import settle
    from shardlake.flink.submit import Submission
    from shardlake.lake.tables import must_be_in_place

    named = choose(pipeline, jobs, options)
    patiently(lambda: must_be_in_place(settings.lake), "the lake's server")
    chosen = without_left_out(settings.jobs, named, jobs)
    cluster = cluster_of(settings)
    already = cluster.running()
    if already:
        msg = f"The jobs are running already (job {already.job_id})."
        raise ShardlakeError(msg, "Stop them with `shardlake jobs stop`; they resume where they were.")
    if settle(settings.jobs):
        err.print("the last `jobs finish` was killed at its end; the windows that it fired stay closed")
    begin = begin_of(pipeline, settings, savepoint, skip_lost=skip_lost)
    log = state_folder() / "logs" / "submit.log"
    submission = Submission(pipeline, settings, chosen, log, start_offsets=begin.start_offsets, closed=begin.closed)
    return submit(cluster, submission, begin)


def begin_of(pipeline: Pipeline, settings: Settings, savepoint: str | None = None, *, skip_lost: bool = False) -> Start:
    """Where the jobs start. Raises BadInput where they must not; with `skip_lost`, says what is gone."""
    from shardlake.flink.resume import next_start
    from shardlake.flink.taking_up import TakingUp

    firsts, ids = topics_of(pipeline, settings)
    held = patiently(lambda: accounted_for(pipeline, settings), "the broker and the lake's server")
    taking_up = TakingUp(pipeline, settings, ids, firsts, held, savepoint)
    taking_up.must_be_the_same_topics()
    begin = next_start(settings, firsts, held, savepoint)
    lost = patiently(lambda: taking_up.must_have_lost_nothing(begin, skip=skip_lost), "the broker")
    for line in [*lost, *taking_up.note()]:
        err.print(line)
    return begin


def topics_of(pipeline: Pipeline, settings: Settings) -> tuple[dict[str, dict[int, int]], dict[str, str]]:
    """Ask the broker for the first offsets of the topics of events, and the ids of all topics of the pipeline."""
    from shardlake.topics import names, offsets, topic_ids

    servers = settings.kafka_bootstrap_servers
    found = patiently(lambda: {topic.name: offsets(servers, topic.name) for topic in pipeline.sources}, "the broker")
    firsts = {name: {partition: first for partition, (first, _) in of.items()} for name, of in found.items()}
    there = patiently(lambda: names(servers), "the broker")
    made = [topic.name for topic in pipeline.on_broker if topic.name in there]
    return firsts, patiently(lambda: topic_ids(servers, made), "the broker")


def submit(cluster: Cluster, submission: Submission, begin: Start, *, leaves_out: bool = False) -> tuple[str, str]:
    """Submit what is planned and wait until all tasks run; the job's id, and from where it started, in words."""
    submitted = submission.submit(begin.resume_from)
    cluster.await_running(submitted.job_id)
    if submitted.added:
        err.print(f"new here: {', '.join(submitted.added)}; windows in it begin with what comes from now on")
    if submitted.removed and not leaves_out:
        err.print(f"no longer written: {', '.join(submitted.removed)}; its open windows are dropped")
    if begin.resume_from:
        return submitted.job_id, f"resumed from {begin.resume_from}"
    how = (
        "anew, after the last record that the jobs have read" if begin.start_offsets else "from the start of the topic"
    )
    return submitted.job_id, how


def accounted_for(pipeline: Pipeline, settings: Settings) -> dict[str, dict[int, int]]:
    """One past the highest offset that the lake or the dead letters hold, for each partition where there is one."""
    from shardlake.lake.accounting import dead_letter_places, rows_by_partition

    found: dict[str, dict[int, int]] = {}
    for topic in pipeline.sources:
        next_offset: dict[int, int] = {}
        for (name, partition), count in rows_by_partition(settings.lake, str(topic.lake_table)).items():
            if name == topic.name:
                next_offset[partition] = count.max_offset + 1
        for partition, offset in dead_letter_places(settings.kafka_bootstrap_servers, topic):
            next_offset[partition] = max(next_offset.get(partition, 0), offset + 1)
        found[topic.name] = next_offset
    return found
