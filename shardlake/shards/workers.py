"""Several workers of one group, each a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException

from shardlake.avro.codec import Decoder
from shardlake.avro.registry import Registry
from shardlake.child import die_with_parent
from shardlake.errors import ShardlakeError
from shardlake.exposition import Address
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.shards import failing
from shardlake.shards.contract import Contract
from shardlake.shards.dead_letters import DeadLetters
from shardlake.shards.failing import AllFailed, Tally
from shardlake.shards.feed import Options
from shardlake.shards.handler import Consumer, Decode, Handler, LaneHandler
from shardlake.shards.process import ProcessHandler
from shardlake.shards.start import InitialPosition
from shardlake.shards.worker import Worker, consumer_settings
from shardlake.terminal import LINE, visible

_processes = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every worker of a group does; it is sent to their processes."""

    pipeline: Path
    settings: dict[str, Any]
    consumer: str
    topic: str
    group: str
    until_caught_up: bool = False
    position: InitialPosition = field(default_factory=InitialPosition)
    contract: Contract = field(default_factory=Contract)
    dead_letters: str | None = None
    """A topic, which is there; without one a record that fails ends its worker."""
    factor: int = 1
    in_processes: bool = False
    lane_memory_bytes: int | None = None
    protocol: str = "consumer"
    instance: str | None = None
    """Makes static members: their ids are this, a dash and the worker's number."""
    metrics: Address | None = None
    """Where the first worker serves its metrics; each other one on the next port."""
    around: Callable[[Consumer], Consumer] | None = None
    """What is put around the consumer in each of its processes, as to watch it."""

    def check_ports(self, workers: int) -> None:
        """Raises Unavailable where so many could not serve their metrics."""
        if self.metrics is not None:
            for number in range(1, workers + 1):
                self.metrics.of_worker(number).check()


def open_consumer(
    pipeline: Path, name: str, topic: str, registry: str, around: Callable[[Consumer], Consumer] | None = None
) -> tuple[Consumer, Decode | None]:
    """The consumer of that name, and how the topic's values are decoded; None where they have no schema."""
    loaded = Pipeline.load(pipeline)
    found = Consumer.of(loaded.load_module("consumers", name))
    if around is not None:
        found = around(found)
    source = loaded.topic(topic)
    if source.schema is None:
        return found, None
    return found, Decoder(loaded.schema_of(source), Registry(registry), source.subject).decode


def run_workers(work: Work, count: int) -> None:
    """Run `count` workers until all have ended; SIGTERM and Ctrl-C are passed on. Raises ShardlakeError where one
    failed, Unavailable where a port for metrics is taken."""
    work.check_ports(count)
    numbers = shared_numbers(count)
    workers = [start_worker(work, number + 1, numbers) for number in range(count)]

    def pass_on(*_: Any) -> None:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    for worker in workers:
        worker.join()
    failed = [f"{number} ({how})" for number, worker in enumerate(workers, 1) if (how := ended(worker.exitcode))]
    if failed:
        msg = f"Worker {', '.join(failed)} of {count} failed; nothing that it had not processed was committed."
        if any(worker.exitcode == failing.EXIT_CODE for worker in workers):
            raise ShardlakeError(msg, failing.advice(work.dead_letters))
        raise ShardlakeError(msg, "Run it again: it goes on after the last commit.")
    tally = Tally(numbers)
    if work.until_caught_up and tally.is_all_failed:
        raise ShardlakeError(f"Every record has failed, all {tally.failed:,}.", failing.advice(work.dead_letters))


def shared_numbers(workers: int) -> Any:
    """Memory in which so many workers keep their tally."""
    return _processes.RawArray("q", 2 * workers)


def start_worker(work: Work, number: int, numbers: Any = None) -> Any:
    """Start one, with its number in what it says; the process. SIGTERM lets it end. `numbers` are shared with all that
    are started together: see `shared_numbers`."""
    process = _processes.Process(target=_run, args=(work, number, os.getpid(), numbers))
    process.start()
    return process


def ended(exit_code: int | None, advice: str = "; --lanes process contains that") -> str:
    """How a worker that failed has ended, '' for one that has not failed. The advice is for what a handler can do to
    its worker."""
    if not exit_code:
        return ""
    if exit_code == 1:
        return "its error is above"
    if exit_code == failing.EXIT_CODE:
        return "every record has failed"
    if exit_code < 0:
        signal_name = signal.Signals(-exit_code).name
        return f"killed by {signal_name}, perhaps for its handler's memory or a crash of it{advice}"
    return f"its handler ended it with exit code {exit_code}{advice}"


def _run(work: Work, number: int, parent: int, numbers: Any) -> None:
    die_with_parent(parent)()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent passes it on as SIGTERM

    def say(line: str) -> None:
        sys.stderr.write(f"worker {number}: {visible(line, LINE)}\n")
        sys.stderr.flush()

    settings = Settings.read(**work.settings)
    registry = settings.schema_registry_url
    opener = partial(open_consumer, work.pipeline, work.consumer, work.topic, registry, work.around)
    consumer, decode = opener()

    def make_handler(consumer: Consumer, shard_id: str, checkpointed: Callable[[int], None]) -> LaneHandler:
        if work.in_processes:
            return ProcessHandler(consumer, shard_id, checkpointed, opener, work.lane_memory_bytes)
        return Handler(consumer, shard_id, decode, checkpointed)

    servers = settings.kafka_bootstrap_servers
    instance = None if work.instance is None else f"{work.instance}-{number}"
    owner = f"{socket.gethostname()}:{os.getpid()}"
    client = consumer_settings(servers, work.group, protocol=work.protocol, instance_id=instance)
    worker = Worker(
        # The group's members are known by the name in their leases.
        client | {"client.id": owner},
        work.topic,
        consumer,
        Options(make_handler=make_handler, contract=work.contract, factor=work.factor),
        say=say,
        owner=owner,
        position=work.position,
        dead_letters=DeadLetters(servers, work.dead_letters, work.group, say) if work.dead_letters else None,
        tally=None if numbers is None else Tally(numbers, number),
    )
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    try:
        if work.metrics is not None:
            # Only who is asked for metrics waits for what they need.
            from shardlake.shards.metrics import ConsumerCollector

            work.metrics.of_worker(number).serve(ConsumerCollector(worker, work.group))
        worker.run(until_caught_up=work.until_caught_up)
    except AllFailed as error:
        say(f"error: {error.message}")
        sys.exit(failing.EXIT_CODE)
    except ShardlakeError as error:
        say(f"error: {error.message} {error.hint}".rstrip())
        sys.exit(1)
    except KafkaException as error:
        say(f"error: {error.args[0].str()}")
        sys.exit(1)
