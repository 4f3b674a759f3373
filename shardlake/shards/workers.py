"""Several workers of one group, each a process of its own."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from shardlake.avro.codec import Decoder
from shardlake.avro.registry import Registry
from shardlake.child import die_with_parent
from shardlake.errors import BadInput, ShardlakeError
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.shards.processor import RecordProcessor
from shardlake.shards.worker import Worker, consumer_settings


@dataclass(frozen=True, slots=True)
class Work:
    """What every worker of a group does; it is sent to their processes."""

    pipeline: Path
    settings: dict[str, Any]
    consumer: str
    topic: str
    group: str
    until_caught_up: bool


def processor_class(module: ModuleType) -> type[RecordProcessor]:
    """The one record processor of a consumer's file. Raises BadInput where there are none or several."""
    found = [
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, RecordProcessor) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        msg = f"{module.__file__} has {len(found) or 'no'} classes that derive from RecordProcessor."
        raise BadInput(msg, "A consumer's file defines one: see consumers/traffic.py.")
    return found[0]


def run_workers(work: Work, count: int) -> None:
    """Run `count` workers until all have ended; SIGTERM and Ctrl-C are passed on. Raises ShardlakeError where one
    failed."""
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_run, args=(work, number + 1, os.getpid())) for number in range(count)]
    for worker in workers:
        worker.start()

    def pass_on(*_: Any) -> None:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    for worker in workers:
        worker.join()
    failed = [str(number) for number, worker in enumerate(workers, 1) if worker.exitcode]
    if failed:
        msg = f"Worker {', '.join(failed)} of {count} failed; nothing that it had not processed was committed."
        raise ShardlakeError(msg, "Its error is above. Run it again: it goes on after the last commit.")


def _run(work: Work, number: int, parent: int) -> None:
    die_with_parent(parent)()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent passes it on as SIGTERM

    def say(line: str) -> None:
        sys.stderr.write(f"worker {number}: {line}\n")
        sys.stderr.flush()

    pipeline, settings = Pipeline.load(work.pipeline), Settings.read(**work.settings)
    make = processor_class(pipeline.load_module("consumers", work.consumer))
    schema = pipeline.schema_of(pipeline.topic(work.topic))
    worker = Worker(
        consumer_settings(settings.kafka_bootstrap_servers, work.group, report_end=work.until_caught_up),
        work.topic,
        Decoder(schema, Registry(settings.schema_registry_url)),
        make,
        say,
    )
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run(until_caught_up=work.until_caught_up)
