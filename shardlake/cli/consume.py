"""`shardlake consume`: the workers of a consumer group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shardlake.pipeline import Pipeline
from shardlake.settings import Settings


def consume(
    ctx: typer.Context,
    consumer: Annotated[str, typer.Argument(help="A file of consumers/, as consumers/traffic.py or traffic.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the shards.")] = 1,
    group: Annotated[str | None, typer.Option(help="The consumer group. Default: the consumer's name.")] = None,
    topic: Annotated[str | None, typer.Option(help="Default: the pipeline's topic of events.")] = None,
    until_caught_up: Annotated[bool, typer.Option(help="End when there is no more to read.")] = False,
) -> None:
    """Process a topic's records, each shard by one worker; start it again and again to add workers to the group."""
    from shardlake.shards.workers import Work, processor_class, run_workers
    from shardlake.topics import offsets

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    name = Path(consumer).stem
    processor_class(pipeline.load_module("consumers", name))
    chosen = pipeline.topic(topic) if topic else pipeline.events_topic
    offsets(settings.kafka_bootstrap_servers, chosen.name)  # now, rather than from every worker
    work = Work(
        pipeline=pipeline.folder,
        settings=settings.model_dump(),
        consumer=name,
        topic=chosen.name,
        group=group or name,
        until_caught_up=until_caught_up,
    )
    run_workers(work, workers)
