"""Leaving a job out, so that the others go on without it, and taking it up again where it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shardlake import topic_ids
from shardlake.cli.cluster import cluster_of
from shardlake.cli.finish import running
from shardlake.cli.output import err
from shardlake.cli.start import begin_of, submit, topics_of
from shardlake.cli.turn import turn
from shardlake.errors import BadInput, ShardlakeError
from shardlake.folders import state_folder
from shardlake.patience import patiently
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from shardlake.flink.apart import LeftOut

BY_HAND = "by hand"


@turn()
def leave_out(pipeline: Pipeline, settings: Settings, job: str, why: str = BY_HAND) -> tuple[str, str]:
    """End the application and start it again from its newest checkpoint, without this job, whose state is kept.

    The application's id, and from where it started, in words. Raises BadInput where the job cannot be left out.
    """
    from shardlake.flink import apart
    from shardlake.flink.inserts import jobs_of
    from shardlake.flink.submit import Plans, Submission

    cluster = cluster_of(settings)
    application = running(settings)
    jobs = jobs_of(application.name)
    if job not in jobs:
        raise BadInput(f"The job {job} is not in the application.", f"It has: {', '.join(jobs)}.")
    rest = {name: options for name, options in jobs.items() if name != job}
    if not rest:
        raise BadInput(f"No other job than {job} is running.", "End it by `shardlake jobs cancel`.")
    writers = Plans(settings.jobs).writers(application.job_id)
    apart.must_be_separable(pipeline, writers, job)
    sinks = tuple(sink for sink, of_sink in writers.items() if job in of_sink)
    one = apart.LeftOut(job, jobs[job], topic_ids.now(), why, apart.NOWHERE, sinks)
    _must_be_committed(settings, one)
    cluster.cancel(application.job_id)
    cluster.await_ended(application.job_id)
    _must_be_committed(settings, one)
    begin = begin_of(pipeline, settings)
    firsts, _ = topics_of(pipeline, settings)
    own = apart.explicit(begin, firsts)
    apart.keep(settings, replace(one, begin=own, offsets=apart.offsets_of(settings, own, firsts)))
    log = state_folder() / "logs" / "submit.log"
    submission = Submission(pipeline, settings, rest, log, start_offsets=begin.start_offsets, closed=begin.closed)
    try:
        return submit(cluster, submission, begin, leaves_out=True)
    except BadInput as error:
        # Nothing runs, and nothing has run since: all jobs can go on where they were.
        apart.forget(settings, job)
        msg = f"The others cannot go on without {job}: {error.message}"
        raise BadInput(msg, "All jobs have ended: mend the job, and start them by `shardlake jobs run`.") from error


def _must_be_committed(settings: Settings, one: LeftOut) -> None:
    """Raise ShardlakeError where the newest state has transactions of the job that are open at the broker: the jobs
    commit them when they start again, and without this one nobody would."""
    from shardlake.flink.precommitted import Outcome, outcomes
    from shardlake.flink.resume import newest_state

    state = newest_state(settings.jobs)
    if state is None or not one.topics:
        return
    found = patiently(lambda: outcomes(settings.kafka_bootstrap_servers, state, one.topics), "the broker")
    if Outcome.OPEN in found.values():
        raise ShardlakeError(
            f"What {one.job} wrote last is not committed yet, and would be lost if it were left out now.",
            "The jobs commit it when they start again: try again in a moment. Where they have ended, run them first.",
        )


@turn()
def take_up(pipeline: Pipeline, settings: Settings, job: str, *, skip_lost: bool = False) -> tuple[str, str]:
    """Start a job that was left out, apart from the others; the id of its application, and from where it started.

    Raises BadInput where no such job was left out, or where it must not start.
    """
    from shardlake.flink import apart
    from shardlake.flink.resume import settle
    from shardlake.flink.submit import Submission
    from shardlake.flink.taking_up import TakingUp
    from shardlake.lake.tables import must_be_in_place

    out = apart.left_out(settings.jobs)
    if job not in out:
        raise BadInput(f"The job {job} was not left out.", f"Left out: {', '.join(out) or 'none'}.")
    one, own = out[job], apart.settings_of(settings, job)
    patiently(lambda: must_be_in_place(settings.lake), "the lake's server")
    cluster = cluster_of(settings)
    if already := cluster.apart().get(job):
        raise ShardlakeError(f"{job} is running already (job {already.job_id}).", "See `shardlake jobs list`.")
    settle(own.jobs)
    firsts, ids = topics_of(pipeline, settings)
    begin = apart.begin_of(own, one, firsts)
    taking_up = TakingUp(pipeline, own, ids, firsts, apart.held_by(begin), writes=one.topics)
    taking_up.must_be_the_same_topics()
    lost = patiently(lambda: taking_up.must_have_lost_nothing(begin, skip=skip_lost), "the broker")
    for line in [*lost, *taking_up.note()]:
        err.print(line)
    log = state_folder() / "logs" / f"submit-{job}.log"
    submission = Submission(
        pipeline, own, {job: one.options}, log, start_offsets=begin.start_offsets, closed=begin.closed, apart=job
    )
    found = submit(cluster, submission, begin, leaves_out=True)
    apart.note(settings, replace(one, is_taken_up=True))
    return found


def run_apart(pipeline: Pipeline, settings: Settings, *, skip_lost: bool = False) -> None:
    """Start the jobs again that ran apart when all were ended; name those that are still left out."""
    from shardlake.flink.apart import left_out

    runs = cluster_of(settings).apart()
    for job, one in left_out(settings.jobs).items():
        if job in runs:
            continue
        if one.is_taken_up:
            job_id, how = take_up(pipeline, settings, job, skip_lost=skip_lost)
            err.print(f"{job} runs apart from the others: job {job_id}, {how}")
        else:
            err.print(f"left out: {one}. Once it is mended: `shardlake jobs take-up {job}`.")


def leave_out_again(settings: Settings, job: str, why: str = BY_HAND) -> None:
    """End a job that runs apart, and keep that it is left out."""
    from shardlake.flink.apart import left_out, note

    cluster, application = cluster_of(settings), running(settings, job)
    cluster.cancel(application.job_id)
    cluster.await_ended(application.job_id)
    note(settings, replace(left_out(settings.jobs)[job], is_taken_up=False, why=why, since=topic_ids.now()))
