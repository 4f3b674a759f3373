"""The workers that read a load: the pipeline's own consumer in a group of the load's, watched."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shardlake import groups, topics
from shardlake.errors import BadInput
from shardlake.load.handled import Watched
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.shards import dead_letters
from shardlake.shards.handler import Consumer
from shardlake.shards.start import InitialPosition, Kind
from shardlake.shards.workers import Work, ended, start_worker

END_SECONDS = 60


class Workers:
    """From the main thread, with which they die."""

    def __init__(self, pipeline: Pipeline, settings: Settings, topic: str, consumer: str) -> None:
        """None is started yet. Raises BadInput where there is no such consumer."""
        Consumer.of(pipeline.load_module("consumers", consumer))
        self.group = f"load.{consumer}"
        self.consumer = consumer
        self._pipeline = pipeline
        self._settings = settings
        self._topic = topic
        self._servers = settings.kafka_bootstrap_servers
        self._dead_letters = dead_letters.topic_name(topic, self.group)
        self._work: Work | None = None
        self._log = Path(os.devnull)
        self._processes: list[Any] = []

    @property
    def pids(self) -> list[int]:
        """Of the workers that run; a worker's lanes may be its children."""
        return [process.pid for process in self._processes if process.is_alive()]

    def start(self, count: int, watched: Watched, log: Path) -> None:
        """From the topic's present ends on, whatever was there before. What they say goes to the log."""
        self._log = log
        self.forget()
        dead_letters.make_topic(self._servers, self._dead_letters)
        ends = topics.offsets(self._servers, self._topic)
        after = tuple((partition, end - 1) for partition, (first, end) in ends.items() if end > first)
        self._work = Work(
            pipeline=self._pipeline.folder,
            settings=self._settings.model_dump(),
            consumer=self.consumer,
            topic=self._topic,
            group=self.group,
            position=InitialPosition(Kind.AFTER_SEQUENCE_NUMBER, after=after),
            dead_letters=self._dead_letters,
            around=watched,
        )
        self.add(count)

    def add(self, count: int) -> int:
        """So many more; how many there are then."""
        assert self._work is not None
        with _output_to(self._log):
            for _ in range(count):
                self._processes.append(start_worker(self._work, len(self._processes) + 1))
        return len(self._processes)

    def failed(self) -> list[str]:
        """How those have ended that ended by themselves."""
        return [f"worker {number} has ended: {how}" for number, how in self._ended()]

    def end(self) -> list[str]:
        """Let them finish and leave; how those have ended that failed."""
        for process in self._processes:
            if process.is_alive():
                process.terminate()
        deadline = time.monotonic() + END_SECONDS
        for process in self._processes:
            process.join(max(0.1, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        failed = self.failed()
        self._processes.clear()
        return failed

    def forget(self) -> None:
        """The group's offsets and dead letters: they are of a load's copies. Raises Unavailable."""
        groups.forget(self._servers, self.group)
        topics.delete(self._servers, [self._dead_letters])

    def _ended(self) -> list[tuple[int, str]]:
        found = [(number, process.exitcode) for number, process in enumerate(self._processes, 1)]
        return [(number, how) for number, code in found if code != -signal.SIGTERM and (how := ended(code, advice=""))]


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """What is started meanwhile says what it says to a file: a consumer's own words would bury the load's."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = [(number, os.dup(number)) for number in (1, 2)]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        for number, _ in before:
            os.dup2(file, number)
        yield
    finally:
        for number, copy in before:
            os.dup2(copy, number)
            os.close(copy)
        os.close(file)


def only_consumer(pipeline: Pipeline, name: str | None) -> str:
    """The pipeline's one consumer where none is named. Raises BadInput where there are several, or none."""
    there = pipeline.modules("consumers")
    if name is not None:
        return name
    if len(there) != 1:
        msg = f"The pipeline has {len(there) or 'no'} consumers."
        raise BadInput(msg, f"Name one with --consumer ({', '.join(there)}), or give --workers 0.")
    return there[0]
