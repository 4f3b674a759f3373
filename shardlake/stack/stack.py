"""The local stack: broker, registry, job manager and task manager, and S3 on request, as children of one launcher.

They start side by side, are stopped in order, and none outlives the launcher: the kernel kills them when it ends,
however it ends. State is thrown away at the stop unless it has a folder of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from shardlake.durable import OWNER_ALONE, make_folder, write_durably
from shardlake.errors import BadInput, Unavailable
from shardlake.folders import DEFAULT_PORT_BASE, STACK_FILE, running_stack
from shardlake.install import layout
from shardlake.lock import Lock
from shardlake.pii import KEY_FILE, taskmanager_environment
from shardlake.process import identity
from shardlake.progress import Work, of_processes
from shardlake.stack.flink import jobmanager, rest_url, taskmanager
from shardlake.stack.java import TEMPORARY
from shardlake.stack.kafka import kafka
from shardlake.stack.lock import lock_data
from shardlake.stack.planner import planner
from shardlake.stack.ports import Ports
from shardlake.stack.registry import registry, registry_url
from shardlake.stack.s3 import BUCKET, own_s3, s3
from shardlake.stack.server import Server, ServerPlan
from shardlake.stack.starting import await_ready
from shardlake.storage import S3

NEEDED_MEMORY_GB = 3
NEEDED_DISK_GB = 1
SERVERS = ("jobmanager", "taskmanager", "registry", "kafka", "planner")
"""The slowest to start first."""
PRIVATE = ("kafka", "registry", "flink", "jobs")
S3_PRIVATE = ("kafka", "registry", "flink", "s3")
"""The data's folders for their owner alone: they hold records as they came, also in the jobs' checkpoints."""
STOP_ORDER = ("planner", "taskmanager", "jobmanager", "registry", "kafka", "s3")


class Stack:
    """A running stack. `with Stack(...)` stops it at the end, and where the start fails."""

    def __init__(
        self,
        state: Path,
        *,
        port_base: int = DEFAULT_PORT_BASE,
        data: Path | None = None,
        s3: bool = False,
        train: bool = False,
        servers: Collection[str] = SERVERS,
        short_lived: bool = False,
    ) -> None:
        """Nothing is started yet. `state` gets the file by which other commands find this stack.

        With `data`, topics, schemas, offsets, checkpoints and the lake are kept there, and come back. With `s3` the
        lake and what the jobs keep are in an S3 server of the stack's own. `servers` names those of SERVERS to start.
        With `short_lived` every JVM compiles with its quick compiler alone: cheaper for some minutes of little data,
        slower for more.
        """
        self.ports = Ports.from_base(port_base)
        self.state = state
        self.kept = data is not None
        self.data = data.resolve() if data else Path(tempfile.mkdtemp(prefix="shardlake-"))
        self.servers: dict[str, Server] = {}
        self.has_s3 = s3
        self._s3 = own_s3(self.ports) if s3 else S3.of(os.environ)
        self._train = train
        self._named = servers
        self._short_lived = short_lived
        self._pii: dict[str, str] = {}
        self._ended: set[str] = set()
        self._lock: Lock | None = None
        self._work = Work(lambda: of_processes(server.pid for server in self.servers.values()))

    def __enter__(self) -> Stack:
        """Start, and wait until everything answers."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def settings(self) -> dict[str, str]:
        """What `Settings` of other processes need to find it; with the keys of its S3, for its user alone."""
        lake, jobs = f"file://{self.data / 'lake'}", str(self.data / "jobs")
        keys = {}
        if self.has_s3 and self._s3:
            lake, jobs = f"s3://{BUCKET}/lake", f"s3://{BUCKET}/jobs"
            keys = {f"s3_{name}": value for name, value in asdict(self._s3).items()}
        return {
            "kafka_bootstrap_servers": f"127.0.0.1:{self.ports.kafka}",
            "schema_registry_url": registry_url(self.ports),
            "flink_rest_url": rest_url(self.ports),
            "lake_url": lake,
            "jobs_folder": jobs,
            **keys,
        }

    def start(
        self, on_ready: Callable[[str], None] = lambda _: None, on_spawned: Callable[[], None] = lambda: None
    ) -> float:
        """Start all servers side by side; seconds until all were ready. `on_spawned` is called while they start.

        Raises, with nothing left running, Unavailable where a port is taken, memory or disk are short, or a server
        does not come up, and BadInput where the key for PII is wrong.
        """
        began = time.monotonic()
        try:
            self._check()
            self._spawn()
            on_spawned()
            await_ready(self.servers, on_ready)
        except BaseException:
            self.stop()
            raise
        seconds = time.monotonic() - began
        self._write_state(ready=True, seconds=seconds)
        return seconds

    def mark_provisioned(self, *, restarts: bool = False) -> None:
        """Tell those who wait for this stack that the pipeline's topics and schemas are there too, and whether its
        launcher starts servers that have ended again when it gets SIGUSR1."""
        seconds = running_stack(self.state)["ready_seconds"]
        self._write_state(ready=True, seconds=seconds, provisioned=True, restarts=restarts)

    def stop(self) -> None:
        """Stop in order, each asked first; remove what is not kept."""
        for name in STOP_ORDER:
            server = self.servers.get(name)
            if server:
                server.terminate()
                # The two of Flink stop side by side; the registry and the broker after what uses them.
                if name != "taskmanager":
                    server.wait()
        for server in self.servers.values():
            server.wait()
        self.servers.clear()
        if running_stack(self.state).get("launcher_identity") == identity(os.getpid()):
            (self.state / STACK_FILE).unlink(missing_ok=True)
        if not self.kept:
            shutil.rmtree(self.data, ignore_errors=True)
        if self._lock:
            self._lock.release()

    def note_ended(self) -> list[str]:
        """The servers that have ended by themselves since the last call, once other commands can see it too."""
        ended = [name for name, server in self.servers.items() if server.exit_code() is not None]
        new = [name for name in ended if name not in self._ended]
        if new:
            self._ended.update(new)
            self._publish(running_stack(self.state) | {"servers": self._entries()})
        return new

    def restart(self, name: str) -> None:
        """Start a server again, with the same files, after its end or by ending it."""
        self.servers[name].restart()
        self._ended.discard(name)
        self._publish(running_stack(self.state) | {"servers": self._entries()})

    def _check(self) -> None:
        other = find(self.state)
        if other:
            msg = f"A stack is already running here (process {other['launcher_pid']})."
            raise Unavailable(msg, "Use it, or stop it with `shardlake down`.")
        self.ports.check(s3=self.has_s3)
        self._check_home()
        memory_gb = psutil.virtual_memory().available / 1e9
        if memory_gb < NEEDED_MEMORY_GB:
            msg = f"Only {memory_gb:.1f} GB of memory are free; the stack needs {NEEDED_MEMORY_GB} GB."
            raise Unavailable(msg, "Close other programs and try again.")
        make_folder(self.data)
        self._lock = lock_data(self.data)
        disk_gb = shutil.disk_usage(self.data).free / 1e9
        if disk_gb < NEEDED_DISK_GB:
            msg = f"{self.data} has only {disk_gb:.1f} GB of free disk; the stack needs {NEEDED_DISK_GB} GB."
            raise Unavailable(msg, "Free some space, or choose another folder with `--data DIR`.")
        self._pii = taskmanager_environment(self.data)

    def _check_home(self) -> None:
        """What is kept stays where it is: another home would be an empty lake beside topics that jobs have written."""
        if self.has_s3 and S3.of(os.environ):
            msg = "--s3 starts an S3 server of the stack's own, and LAKE_URL or SHARDLAKE_JOBS names another one."
            raise BadInput(msg, "Unset the variable, or leave out --s3.")
        if self.has_s3 and next((self.data / "lake").glob("*"), None):
            raise BadInput(f"{self.data} keeps its lake in files.", "Leave out --s3, or choose another --data DIR.")
        if not self.has_s3 and (self.data / "s3").exists():
            raise BadInput(f"{self.data} keeps its lake in S3.", "Add --s3, or choose another --data DIR.")

    def _spawn(self) -> None:
        logs = self.state / "logs"
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.has_s3:
            (self.data / "lake").mkdir(parents=True, exist_ok=True)  # others may read it
        for folder in (logs, *(self.data / name for name in (S3_PRIVATE if self.has_s3 else PRIVATE))):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)  # those of older versions, too
        for log in logs.glob("*.log"):
            log.unlink()
        for left in self.data.glob(f"*/{TEMPORARY}"):
            shutil.rmtree(left)
        self._write_state(ready=False)
        # Formatting Kafka's storage takes a second, in which the others already run.
        for plan in self._plans():
            self.servers[plan.name] = Server(plan, logs / f"{plan.name}.log")
        self._write_state(ready=False)

    def _plans(self) -> Iterator[ServerPlan]:
        if self.has_s3 and self._s3:
            yield s3(self.data / "s3", self.ports, self._s3)
        how = {"train": self._train, "short_lived": self._short_lived}
        plans: dict[str, Callable[[], ServerPlan]] = {
            "jobmanager": lambda: jobmanager(self.data / "flink", self.ports, s3=self._s3, train=self._train),
            "taskmanager": lambda: taskmanager(self.data / "flink", self.ports, pii=self._pii, s3=self._s3, **how),
            "registry": lambda: registry(self.data / "registry", self.ports, train=self._train),
            "kafka": lambda: kafka(self.data / "kafka", self.ports, **how),
            "planner": lambda: planner(self.state, self._s3),
        }
        for name in SERVERS:
            if name in self._named:
                yield plans[name]()

    def await_ready(self, name: str) -> None:
        """Wait until a server that was started again answers. Raises Unavailable where it ends, or does not come to."""
        await_ready({name: self.servers[name]})

    def signs(self) -> Hashable:
        """What changes as long as a server's process works."""
        return self._work.count()

    def _write_state(
        self, *, ready: bool, seconds: float | None = None, provisioned: bool = False, restarts: bool = False
    ) -> None:
        content: dict[str, Any] = {
            "launcher_pid": os.getpid(),
            "launcher_identity": identity(os.getpid()),
            "ready": ready,
            "ready_seconds": seconds,
            "provisioned": provisioned,
            "restarts": restarts,
            "data": str(self.data),
            "kept": self.kept,
            "ports": asdict(self.ports),
            "settings": self.settings,
            "pii_key_file": self._pii.get(KEY_FILE),
            "servers": self._entries(),
        }
        self._publish(content)

    def _entries(self) -> dict[str, Any]:
        return {
            name: {
                "pid": server.pid,
                "identity": identity(server.pid),
                "address": server.plan.address,
                "log": str(server.log),
                "exit_code": server.exit_code(),
            }
            for name, server in self.servers.items()
        }

    def _publish(self, content: dict[str, Any]) -> None:
        # It may hold S3's keys.
        write_durably(self.state / STACK_FILE, json.dumps(content, indent=2), OWNER_ALONE)


def find(state: Path) -> dict[str, Any] | None:
    """The stack that runs and was started for this state folder; cleans up after a launcher that was killed."""
    found = running_stack(state)
    if not found:
        return None
    if _runs(found):
        return found
    (state / STACK_FILE).unlink(missing_ok=True)
    if not found["kept"]:
        shutil.rmtree(found["data"], ignore_errors=True)
    return None


def _runs(found: dict[str, Any]) -> bool:
    pid = found["launcher_pid"]
    if "launcher_identity" in found:
        return bool(found["launcher_identity"] == identity(pid))
    try:  # an older version's, which knew its launcher by the time
        return bool(abs(psutil.Process(pid).create_time() - found["launcher_started"]) < 1)
    except psutil.NoSuchProcess:
        return False


def train() -> None:
    """Write the servers' class-data archives by starting and stopping a stack once."""
    # Below the ports that the kernel gives out: a client that asks one of those before its server listens may be given
    # that very port, and then it is connected to itself.
    base = DEFAULT_PORT_BASE + 21_000
    with tempfile.TemporaryDirectory() as state:
        trained = [name for name in SERVERS if name != "planner"]
        stack = Stack(Path(state), port_base=base, train=True, servers=trained)
        with stack:
            pass
    missing = set(trained) - {path.stem for path in layout.ARCHIVES.glob("*.jsa")}
    if missing:  # they only save time
        (layout.ARCHIVES / "incomplete").write_text(", ".join(sorted(missing)))
