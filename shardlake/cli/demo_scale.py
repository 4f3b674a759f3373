"""`shardlake demo-scale`: a burst, workers that are added while it drains, one that is killed, and the sum."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from shardlake import compose
from shardlake.cli import demo_scale_pipeline as own
from shardlake.cli.demo import screen, start_stack
from shardlake.cli.demo_scale_report import report
from shardlake.cli.output import err, styled
from shardlake.cli.setup import installed
from shardlake.cli.stack import PortBase
from shardlake.counted import counted
from shardlake.errors import ShardlakeError
from shardlake.folders import DEFAULT_PORT_BASE, state_folder
from shardlake.patience import stretch
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from shardlake.produce.delivery import Delivery
    from shardlake.shards.leases import Leases, ShardLease

RATE = 150
BURST = 25_000
KEYS = 300
WORKERS = 3
SCALE = ["--drain-seconds", "15", "--cooldown-seconds", "8"]
BURST_AFTER_SECONDS = 3
KILL_AFTER_SECONDS = 3
LONGEST_SECONDS = 150
"""On a machine that has nothing else to do."""
LOOK_SECONDS = 0.5
SAY_EVERY_SECONDS = 3


def demo_scale(port_base: PortBase = DEFAULT_PORT_BASE) -> None:
    """Workers added one by one while a burst drains, one killed, and the sum: exit code 0 only if it holds."""
    from shardlake.stack.stack import Stack

    compose.refuse("docker compose up --wait")
    installed()
    began = time.monotonic()
    with ExitStack() as stack:
        local = Stack(state_folder(), port_base=port_base)
        stack.callback(local.stop)
        folder = state_folder() / "demo-scale"
        shutil.rmtree(folder, ignore_errors=True)
        records = own.write(folder)
        pipeline = Pipeline.load(folder)
        start_stack(pipeline, local)
        settings = Settings.read(**local.settings)
        stage = ScaleStage(pipeline, settings, began)
        stack.callback(stage.end)
        stage.play()
        stage.finish()
        report(settings, own.TOPIC, records, stage.in_flight)


class ScaleStage:
    """The supervisor as a user would start it, what is sent to its workers, and what the broker says of them."""

    def __init__(self, pipeline: Pipeline, settings: Settings, began: float) -> None:
        from shardlake.commands import Commands
        from shardlake.produce.delivery import Delivery

        self._settings = settings
        self._began = began
        self._commands = Commands(pipeline, settings, state_folder(), state_folder() / "logs")
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._delivery: Delivery = Delivery(settings.kafka_bootstrap_servers, own.TOPIC, self._say)
        self._draw = random.Random(1)
        self._sent = 0
        self._due = 0.0
        self._log_read = 0
        self._said = 0.0
        self._owners: dict[str, str] = {}
        self._victim = ""
        self.in_flight: dict[str, int] = {}
        """By shard of the worker that was killed, as its lease said last."""

    def play(self) -> None:
        """A burst, until three workers share it; one of them killed; until all is done. Raises ShardlakeError."""
        from shardlake.shards.leases import Leases

        self._say(f"one worker, {own.WORK_MS} ms of work a record, {RATE} records a second in {own.SHARDS} shards")
        self._supervisor = self._commands.start(
            "scale", "scale", own.CONSUMER, "--topic", own.TOPIC, "--no-dead-letters", "--max-workers", str(WORKERS),
            *SCALE,
        )  # fmt: skip
        leases = Leases(self._settings.kafka_bootstrap_servers, own.CONSUMER)
        try:
            self._play(leases)
        finally:
            leases.close()

    def _play(self, leases: Leases) -> None:
        assert self._supervisor is not None
        longest = LONGEST_SECONDS * stretch()
        deadline = time.monotonic() + longest
        burst_at = kill_at = None
        with screen() as show:
            while time.monotonic() < deadline and self._supervisor.poll() is None:
                time.sleep(LOOK_SECONDS)
                now = time.monotonic()
                self._relay()
                held = self._look(leases, show)
                owners = {one.owner for one in held if one.owner}
                all_held = len(held) == own.SHARDS and all(one.state == "held" for one in held)
                if burst_at is None and all_held:
                    burst_at = now + BURST_AFTER_SECONDS
                elif burst_at is not None and now >= burst_at:
                    burst_at = float("inf")
                    self._send(BURST)
                    self._say(styled(f"a burst of {counted(BURST, 'record')}", "bold"))
                if burst_at == float("inf") and kill_at is None and all_held and len(owners) == WORKERS:
                    kill_at = now + KILL_AFTER_SECONDS
                elif kill_at is not None and now >= kill_at and not self.in_flight:
                    self._kill(leases)
                    continue
                if not self.in_flight or any(self._is_victims(one) for one in held) or not all_held:
                    self._keep_sending(now)
                elif not any(one.behind for one in held):
                    return
        code = self._supervisor.poll()
        if code is not None:
            raise ShardlakeError(f"The supervisor ended with exit code {code}.", f"Its words are in {self._log()}.")
        msg = f"The shards were not drained within {longest:.0f} s."
        raise ShardlakeError(msg, f"Its words are in {self._log()}.")

    def finish(self) -> None:
        """Let the supervisor end with its workers. Raises ShardlakeError where it fails."""
        assert self._supervisor is not None
        account = self._delivery.finish()
        if not account.is_complete:
            raise ShardlakeError(
                f"Only {account.total_acknowledged:,} of {counted(account.handed_over, 'record')} were sent."
            )
        self._supervisor.terminate()
        code = self._supervisor.wait(60)
        self._relay()
        if code:
            raise ShardlakeError(f"The supervisor ended with exit code {code}.", f"Its words are in {self._log()}.")
        self._say("all is drained; the workers have ended")

    def end(self) -> None:
        """Leave nothing running."""
        if self._supervisor is not None and self._supervisor.poll() is None:
            self._supervisor.terminate()
            try:
                self._supervisor.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self._supervisor.pid, signal.SIGKILL)
                self._supervisor.wait()

    def _keep_sending(self, now: float) -> None:
        count = int((now - (self._due or now)) * RATE)
        if not self._due or count:
            self._due = now
        self._send(count)

    def _send(self, count: int) -> None:
        """Keys by a power law, so that shards are uneven."""
        for _ in range(count):
            self._sent += 1
            key = int(KEYS * self._draw.random() ** 2)
            self._delivery.send(f"record {self._sent}".encode(), f"key-{key}".encode())
        self._delivery.poll()

    def _look(self, leases: Leases, show: Any) -> list[ShardLease]:
        from shardlake.cli.leases import lease_table

        try:
            found = leases.read(time.time_ns() // 1_000_000)
        except ShardlakeError:  # the group is not there yet
            return []
        self._say_moves(found)
        if show is not None:
            show.update(lease_table(found), refresh=True)
        elif time.monotonic() - self._said > SAY_EVERY_SECONDS:
            self._said = time.monotonic()
            by_owner: defaultdict[str, list[str]] = defaultdict(list)
            for one in found:
                by_owner[f"{one.owner} holds" if one.state == "held" else one.state].append(one.shard[-1])
            words = "; ".join(f"{owner} {', '.join(shards)}" for owner, shards in sorted(by_owner.items()))
            self._say(f"{counted(sum(one.behind for one in found), 'record')} behind; {words}")
        return found

    def _say_moves(self, leases: list[ShardLease]) -> None:
        moves: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for one in leases:
            before = self._owners.get(one.shard)
            if one.owner and before != one.owner:
                moves[before or "", one.owner].append(f"{one.shard[-1]} (epoch {one.epoch})")
                self._owners[one.shard] = one.owner
        for (before, owner), shards in moves.items():
            self._say(f"shards {', '.join(shards)} go {f'from {before} ' if before else ''}to {owner}")

    def _kill(self, leases: Leases) -> None:
        """The worker with the most to do; the supervisor itself knows nothing of it."""
        held = leases.read(time.time_ns() // 1_000_000)
        behind: defaultdict[str, int] = defaultdict(int)
        for one in held:
            behind[one.owner or ""] += one.behind
        victim = max(behind, key=lambda owner: behind[owner])
        # The name comes from a topic, where others may write too.
        number = int(victim.rsplit(":", 1)[1])
        assert self._supervisor is not None
        for worker in psutil.Process(self._supervisor.pid).children(recursive=True):
            if worker.pid == number:
                worker.kill()
        self._victim = victim
        time.sleep(LOOK_SECONDS)  # for a commit that was on its way
        left = [one for one in leases.read(time.time_ns() // 1_000_000) if one.owner == victim]
        self.in_flight = {one.shard: one.in_flight or 0 for one in left}
        shards = ", ".join(one.shard[-1] for one in left)
        held_by = f" of {victim}, which held {shards}: {sum(self.in_flight.values()):,} in flight"
        self._say(styled("kill -9", "bold red", held_by))

    def _is_victims(self, lease: ShardLease) -> bool:
        return lease.owner == self._victim

    def _relay(self) -> None:
        """What the supervisor has said since; its workers' own words stay in its log."""
        with self._log().open() as log:
            log.seek(self._log_read)
            while (line := log.readline()).endswith("\n"):
                self._log_read = log.tell()
                if line.startswith("scale: "):
                    self._say(styled(line.strip(), "cyan"))

    def _log(self) -> Path:
        return state_folder() / "logs" / "scale.log"

    def _say(self, line: str | Text) -> None:
        err.print(styled(f"{time.monotonic() - self._began:5.1f} s ", "dim"), line)
