"""What workers do, as options of a command line: the same for every command that starts workers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from shardlake.errors import BadInput
from shardlake.exposition import ON_LOOPBACK, Address
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings


class Lanes(StrEnum):
    """What a lane is."""

    THREAD = "thread"
    PROCESS = "process"


class Protocol(StrEnum):
    """How the group shares out its shards."""

    CONSUMER = "consumer"
    CLASSIC = "classic"


def _work(
    ctx: typer.Context,
    consumer: Annotated[str, typer.Argument(help="A file of consumers/, as consumers/traffic.py or traffic.")],
    group: Annotated[str | None, typer.Option(help="The consumer group. Default: the consumer's name.")] = None,
    topic: Annotated[str | None, typer.Option(help="Default: the pipeline's topic of events.")] = None,
    position: Annotated[
        str,
        typer.Option(
            help="Where a shard begins of which nothing is committed: TRIM_HORIZON, LATEST, AT_TIMESTAMP=<time>, "
            "AFTER_SEQUENCE_NUMBER=<shard>:<number>,…"
        ),
    ] = "TRIM_HORIZON",
    factor: Annotated[int, typer.Option(min=1, help="Parallelization factor: lanes a shard.")] = 1,
    lanes: Annotated[
        Lanes, typer.Option(help="Threads for waiting work, processes for work of the CPU.")
    ] = Lanes.THREAD,
    lane_memory_mb: Annotated[
        int | None, typer.Option(min=64, help="Memory of a lane's process; a handler that wants more fails.")
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="How often a record that failed is tried again.")] = 3,
    backoff: Annotated[float, typer.Option(min=0, help="Seconds before the first retry; doubled each time.")] = 0.2,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds that a handler may take; 0: any time.")] = 60,
    max_age: Annotated[float, typer.Option(min=0, help="Seconds; older records are dead letters. 0: any age.")] = 0,
    bisect: Annotated[bool, typer.Option(help="Halve a batch that failed to find the record.")] = True,
    dead_letters: Annotated[
        str | None, typer.Option(help="Their topic. Default: <topic>.<group>.dlq, made where it is not there.")
    ] = None,
    no_dead_letters: Annotated[bool, typer.Option(help="End the worker at a record that fails instead.")] = False,
    protocol: Annotated[Protocol, typer.Option(help="consumer is KIP-848.")] = Protocol.CONSUMER,
    instance: Annotated[
        str | None, typer.Option(help="Static members: this, a dash and a number are their ids.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Serve metrics for Prometheus: the first worker here, each other on the next.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Their address; 0.0.0.0 in a container only.")] = ON_LOOPBACK,
) -> Any:
    """The `Work`, checked, with its topic of dead letters made. Raises BadInput."""
    from shardlake import topics
    from shardlake.shards import dead_letters as dead
    from shardlake.shards.contract import Contract
    from shardlake.shards.handler import Consumer
    from shardlake.shards.start import InitialPosition
    from shardlake.shards.workers import Work

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    name = Path(consumer).stem
    Consumer.of(pipeline.load_module("consumers", name))
    chosen = (pipeline.topic(topic) if topic else pipeline.events_topic).name
    if no_dead_letters and dead_letters:
        raise BadInput("--dead-letters and --no-dead-letters contradict each other.")
    if dead_letters == chosen:
        raise BadInput(f"{chosen} cannot take its own dead letters: they would be consumed again, for ever.")
    initial = InitialPosition.read(position, chosen)
    topics.offsets(settings.kafka_bootstrap_servers, chosen)  # now, rather than from every worker
    dead_letters = None if no_dead_letters else dead_letters or dead.topic_name(chosen, group or name)
    if dead_letters:
        dead.make_topic(settings.kafka_bootstrap_servers, dead_letters)
    return Work(
        pipeline=pipeline.folder,
        settings=settings.model_dump(),
        consumer=name,
        topic=chosen,
        group=group or name,
        position=initial,
        contract=Contract(
            retries=retries,
            backoff_seconds=backoff,
            bisect=bisect,
            max_age_seconds=max_age or None,
            timeout_seconds=timeout or None,
        ),
        dead_letters=dead_letters,
        factor=factor,
        in_processes=lanes is Lanes.PROCESS,
        lane_memory_bytes=lane_memory_mb << 20 if lane_memory_mb else None,
        protocol=protocol.value,
        instance=instance,
        metrics=None if metrics_port is None else Address(metrics_host, metrics_port),
    )


def takes_work(command: Callable[..., None]) -> Callable[..., None]:
    """A command with these options, and those of its own: it is called with what `_work` makes of the first.

    Typer takes options from a function's signature, so that is what is put together here.
    """
    shared = inspect.signature(_work, eval_str=True).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    def with_options(**given: Any) -> None:
        work = _work(**{name: given.pop(name) for name in shared})
        command(work, **given)

    first = [shared["ctx"], shared["consumer"]]
    rest = [parameter for parameter in shared.values() if parameter not in first]
    with_options.__signature__ = inspect.Signature([*first, *own, *rest])  # type: ignore[attr-defined]
    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    with_options.__annotations__ = {}
    return with_options
