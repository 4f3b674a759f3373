"""The peers of `make bench-peers`: programs in virtual environments of their own, started, killed and stopped.

An environment is made once for each lock and kept with the downloads.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from bench.environment import environment
from shardlake.child import die_with_parent
from shardlake.kafka_login import client
from shardlake.settings import Settings
from shardlake.topics import committed_by, offsets

PROGRAMS = Path(__file__).parent / "peer_programs"
POLL_SECONDS = 0.25
STOP_SECONDS = 60
CONSUMER_SETTINGS = {
    "isolation.level": "read_committed",
    "check.crcs": True,
    "fetch.queue.backoff.ms": 5,
    # A member that was killed is missed sooner; with the default of 45 s each start after a kill waits for that.
    "session.timeout.ms": 6000,
}
"""The first two as the jobs' own source has them, the third because librdkafka is several times faster with it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A folder of `peer_programs`, and what its program does with a record that it cannot decode."""

    name: str
    folder: str
    skips_poison: bool = False

    @property
    def python(self) -> Path:
        """Its interpreter, installed where it is not yet: up to a minute and 400 MB."""
        lock = PROGRAMS / self.folder / "requirements.lock"
        return environment(lock, f"peers/{self.folder}") / "bin" / "python"


BY_HAND = Peer("by hand", "by_hand")
QUIX = Peer("Quix Streams", "quix")
PEERS = (BY_HAND, QUIX)
SKIPPING = tuple(Peer(f"{peer.name}, skipping", peer.folder, skips_poison=True) for peer in PEERS)


class Run:
    """A peer at work on a topic: one process at a time, and the CPU of all that it has had."""

    def __init__(self, peer: Peer, settings: Settings, topic: str, folder: Path, commit_seconds: float) -> None:
        self.group = f"{folder.name}-{peer.folder}"
        self.lake = folder / "lake"
        self.lake.mkdir(parents=True)
        self.log = folder / "log"
        self.cpu_seconds = 0.0
        self._command = [str(peer.python), str(PROGRAMS / peer.folder / "archive.py")]
        self._environment = {
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "SCHEMA_REGISTRY_URL": settings.schema_registry_url,
            "TOPIC": topic,
            "GROUP": self.group,
            "LAKE": str(self.lake),
            "COMMIT_SECONDS": str(commit_seconds),
            "CONSUMER_SETTINGS": json.dumps(CONSUMER_SETTINGS),
            "ON_POISON": "skip" if peer.skips_poison else "stop",
        }
        self.start()

    def start(self) -> None:
        """Start it, the first time or again."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                preexec_fn=die_with_parent(),
            )

    def has_ended(self) -> bool:
        """Whether its process has ended, which then is accounted for."""
        if self._process.returncode is None:
            pid, status, used = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_seconds += used.ru_utime + used.ru_stime
        return self._process.returncode is not None

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait; SIGKILL where that takes too long."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if not self.has_ended():
            os.kill(self._process.pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while not self.has_ended():
            if time.monotonic() > deadline:
                os.kill(self._process.pid, signal.SIGKILL)
            time.sleep(0.01)


class Progress:
    """How far a group has committed a topic, as a share of what the topic held when this began."""

    def __init__(self, settings: Settings, group: str, topic: str) -> None:
        servers = settings.kafka_bootstrap_servers
        self._ends = {partition: end for partition, (_, end) in offsets(servers, topic).items()}
        self._partitions = [TopicPartition(topic, number) for number in self._ends]
        self._consumer = Consumer(client(servers, group_id=group))

    def share(self) -> float:
        """1 where nothing is left."""
        done = sum(place.offset for place in committed_by(self._consumer, self._partitions))
        return float(done / sum(self._ends.values()))

    def await_share(self, wanted: float, has_ended: Callable[[], bool], seconds: float) -> bool:
        """Wait until so much is committed; False where the process has ended before, or the time has."""
        deadline = time.monotonic() + seconds
        while self.share() < wanted:
            if has_ended() or time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def close(self) -> None:
        """Leave."""
        self._consumer.close()
