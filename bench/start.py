"""`make bench-start`: CPU-seconds by role, and seconds, of what a user waits for: servers, first rows, the jobs' end.

Each round starts a stack by the commands that a user types, with a topic of 5,000 lines of a web server's log: `up`,
`produce`, `jobs run` until the lake shows a row, `jobs finish`, the three a second time on the same stack, and `down`.
`--beside TREE` names another working tree with a set-up of its own; the rounds of the two alternate.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.jobs import ROOT, say
from bench.samples import write
from shardlake.folders import running_stack
from shardlake.lake.tables import VISIBLE
from shardlake.pipeline import Pipeline

LINES = 5_000
COMMANDS = (("--help",), ("status",), ("lag",), ("jobs", "list"), ("query", "SELECT 1"))
ROLES = ("jobmanager", "taskmanager", "registry", "kafka", "planner", "python workers", "launcher", "commands")
"""The servers' processes; the workers of Python functions; the commands, with the JVM that one starts to plan."""

PR_SET_CHILD_SUBREAPER = 36
WORKER = "worker "


@dataclass
class Trial:
    """One round of one working tree: a stack with a state folder of its own."""

    tree: Path
    folder: Path
    samples: dict[str, dict[str, float]] = field(default_factory=dict)
    _launcher_pid: int | None = None
    _reaper: Thread | None = None
    _not_commands: float = 0.0

    def run(self) -> dict[str, dict[str, float]]:
        """Measure each step once: CPU-seconds by role and seconds, by the name of the step."""
        log = self.folder / "web.log"
        lines = Pipeline.load(ROOT).load_module("producers", "sample_log").lines_of_access_log
        log.write_text("".join(f"{line}\n" for line in lines(LINES, datetime.now(UTC))))
        self._step("up", self._call, "up", "-d", "--port-base", "27090", "--data", str(self.folder / "data"))
        try:
            for which in ("first", "second"):
                self._step(f"{which} produce", self._call, "produce", str(log))
                self._step(f"{which} run to a row", self._run_to_a_row)
                self._step(f"{which} finish", self._call, "jobs", "finish")
            for command in COMMANDS:
                self._step(" ".join(command), self._call, *command)
        finally:
            self._step("down", self._call, "down")
        return self.samples

    def _run_to_a_row(self) -> None:
        before = self._files()
        self._call("jobs", "run")
        while self._files() == before:
            time.sleep(0.05)

    def _files(self) -> int:
        return sum(1 for _ in (self.folder / "data" / "lake" / "app_logs").rglob(VISIBLE))

    def _step(self, name: str, do: Callable[..., None], *arguments: str) -> None:
        servers, commands, began = self._servers(), _of_children() - self._not_commands, time.monotonic()
        do(*arguments)
        seconds, after = time.monotonic() - began, self._servers()
        if self._reaper and not after:
            self._reaper.join()
        commands = _of_children() - self._not_commands - commands
        used = dict[str, float]()
        for process_name, cpu in after.items():
            role = "python workers" if process_name.startswith(WORKER) else process_name
            used[role] = used.get(role, 0.0) + cpu - servers.get(process_name, 0.0)
        self.samples[name] = {**used, "commands": commands, "seconds": seconds}

    def _reap(self, pid: int) -> None:
        """Wait for the launcher, or a Python worker whose task manager let go of it: neither is a command's."""
        _, _, used = os.wait4(pid, 0)
        self._not_commands += used.ru_utime + used.ru_stime

    def _servers(self) -> dict[str, float]:
        """Return the CPU-seconds so far of each server, and of each Python worker, a child of the task manager."""
        found, stack = dict[str, float](), running_stack(self.folder / "state")
        if not stack:
            return found
        launcher = psutil.Process(stack["launcher_pid"]).cpu_times()
        found["launcher"] = launcher.user + launcher.system
        for name, server in stack["servers"].items():
            process = psutil.Process(server["pid"])
            times = process.cpu_times()
            found[name] = times.user + times.system
            for worker in process.children(recursive=True):
                found[f"{WORKER}{worker.pid}"] = sum(worker.cpu_times()[:2])
        return found

    def _call(self, *arguments: str) -> None:
        environment = {**os.environ, "SHARDLAKE_STATE": str(self.folder / "state")}
        command = [str(self.tree / ".venv" / "bin" / "shardlake"), *arguments]
        done = subprocess.run(command, cwd=self.tree, env=environment, capture_output=True, text=True, check=False)
        self._launcher_pid = running_stack(self.folder / "state").get("launcher_pid", self._launcher_pid)
        if self._launcher_pid and not self._reaper:
            self._reaper = Thread(target=self._reap, args=(self._launcher_pid,), daemon=True)
            self._reaper.start()
        for orphan in psutil.Process().children():
            if orphan.name() == "java":
                os.waitpid(orphan.pid, 0)
            elif orphan.pid != self._launcher_pid:
                self._reap(orphan.pid)
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)} in {self.tree}: {done.stdout}{done.stderr}")


def _adopt_orphans() -> None:
    """Become the parent of what a command leaves behind: a JVM that plans outlives its client."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1):
        raise OSError(ctypes.get_errno(), "prctl")


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print; raw samples go to a file."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--beside", type=Path, help="Another working tree, after `make setup` in it.")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--out", type=Path, default=ROOT / "bench-out" / "start.json")
    chosen = arguments.parse_args()
    trees = {"this": ROOT} | ({"beside": chosen.beside.resolve()} if chosen.beside else {})
    _adopt_orphans()
    samples: list[dict[str, Any]] = []
    for number in range(chosen.rounds):
        for name in list(trees) if number % 2 == 0 else reversed(list(trees)):
            with tempfile.TemporaryDirectory() as folder:
                samples.append({"round": number, "tree": name, "steps": Trial(trees[name], Path(folder)).run()})
            say(f"round {number + 1} of {chosen.rounds}, {name}: {_cpu(samples[-1]['steps']):.1f} CPU-s")
    write(chosen.out, samples)
    for name in trees:
        report(name, [sample["steps"] for sample in samples if sample["tree"] == name])


def report(name: str, rounds: list[dict[str, dict[str, float]]]) -> None:
    """Print the medians of the rounds: a row for each step, CPU-seconds by role, their sum, and seconds."""
    table = Table("step", *ROLES, "sum", "seconds", box=None, title=f"CPU-seconds, {name}", title_justify="left")
    for step in rounds[0]:

        def median(role: str, step: str = step) -> float:
            return statistics.median(one[step].get(role, 0.0) for one in rounds)

        whole = statistics.median(_cpu({step: one[step]}) for one in rounds)
        table.add_row(step, *(f"{median(role):.1f}" for role in ROLES), f"{whole:.2f}", f"{median('seconds'):.1f}")
    Console(highlight=False, width=150).print(table)
    say(f"load average {', '.join(f'{value:.1f}' for value in os.getloadavg())}")


def _cpu(steps: dict[str, dict[str, float]]) -> float:
    return sum(cpu for used in steps.values() for role, cpu in used.items() if role != "seconds")


if __name__ == "__main__":
    main()
