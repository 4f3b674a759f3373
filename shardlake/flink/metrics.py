"""What the lag exporter tells of the jobs, asked of Flink's REST API. Flink's own reporter tells the rest."""

from __future__ import annotations

from shardlake.flink.cluster import Cluster
from shardlake.metric import Kind, Metric, Values

RUNNING = Metric("shardlake_flink_running_jobs", Kind.GAUGE, "Applications of ours that run: 1, or 0.")
CHECKPOINT_AGE = Metric(
    "shardlake_flink_checkpoint_age_seconds",
    Kind.GAUGE,
    "Since the last completed checkpoint, with which rows become visible; before the first, since the start.",
)
PENDING = Metric(
    "shardlake_flink_pending_records",
    Kind.GAUGE,
    "Records that the jobs' sources have not read yet; absent until they have read one.",
)
WATERMARK_LAG = Metric(
    "shardlake_flink_watermark_lag_seconds",
    Kind.GAUGE,
    "Now - the watermark of the source that is the furthest behind; absent before the first watermark.",
)
RESTARTS = Metric("shardlake_flink_restarts", Kind.GAUGE, "How often the application was restarted since its start.")
ALL = (RUNNING, CHECKPOINT_AGE, PENDING, WATERMARK_LAG, RESTARTS)


def samples(cluster: Cluster) -> Values:
    """Of the application that runs. Raises Unavailable where Flink does not answer."""
    job = cluster.running()
    yield RUNNING, [((), 0 if job is None else 1)]
    if job is None:
        return
    age = job.duration_seconds if job.checkpoint_age_seconds is None else job.checkpoint_age_seconds
    yield CHECKPOINT_AGE, [((), max(0.0, age))]
    yield RESTARTS, [((), job.restarts)]
    progress = cluster.progress(job.job_id)
    if progress.pending_records is not None:
        yield PENDING, [((), progress.pending_records)]
    if progress.watermark_lag_seconds is not None:
        yield WATERMARK_LAG, [((), max(0.0, progress.watermark_lag_seconds))]
