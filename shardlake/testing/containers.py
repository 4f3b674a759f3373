"""The containers of compose.yaml for tests: on free ports, under a name of their own, gone at the end.

They are started by testcontainers from the file that `docker compose up` takes, so that what is tested is what runs.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import uuid4

from testcontainers.compose import DockerCompose

from shardlake import compose
from shardlake.errors import Unavailable
from shardlake.patience import Patience
from shardlake.pipeline import Pipeline
from shardlake.progress import Lines, Work, of_processes
from shardlake.provision import provision
from shardlake.settings import Settings
from shardlake.stack.containers import Container, containers, docker, said, why
from shardlake.stack.ports import is_taken
from shardlake.testing.running import Running

SERVERS = (*compose.BROKERS, "registry", "s3", "zookeeper", "jobmanager", "taskmanager-1", "taskmanager-2")
"""Without the application, producers and consumers: a test starts its own."""
PROMETHEUS_PORT = "PROMETHEUS_PORT"
PORTS = range(30_100, 32_700)
"""Above those of `free_port_base`, below those that Linux gives to whoever asks for any."""


@dataclass(frozen=True, slots=True)
class RunningContainers(Running):
    """The servers as containers. They can be crashed, killed and started by the name of their service."""

    variables: dict[str, str]
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        """With this, a command finds these containers."""
        return {
            **os.environ,
            **self.variables,
            compose.STACK: "compose",
            "SHARDLAKE_STATE": str(self.state),
            "SHARDLAKE_CHECKPOINT_SECONDS": str(self.settings.checkpoint_seconds),
            "COLUMNS": "200",
        }

    def container(self, service: str) -> Container:
        """What the engine says of a service's container."""
        project = self.variables[compose.PROJECT]
        (found,) = [one for one in containers(self.pipeline.folder, project) if one.service == service]
        return found

    def crash(self, service: str) -> None:
        """SIGKILL to the server's process in its container: the engine starts it again, as after any crash.

        Detached: the container ends with that process, and may do so before the engine has told of the command's end.
        """
        docker("exec", "--detach", self.container(service).name, "bash", "-c", "kill -9 $(cat /proc/1/task/1/children)")

    def kill(self, service: str) -> None:
        """SIGKILL to the whole container, which stays down."""
        docker("kill", self.container(service).name)

    def start_again(self, service: str) -> float:
        """Start a container that is down and wait until it is healthy; how long that took, in seconds."""
        began = time.monotonic()
        docker("start", self.container(service).name)
        self.await_healthy(service)
        return time.monotonic() - began

    def await_healthy(self, service: str) -> None:
        """Wait until a container does what it is for. Raises Unavailable with the cause where it does not come to."""
        patience, lines = Patience(), Lines()
        work = Work(lambda: of_processes([pid] if (pid := self.container(service).pid) else []))
        while not (found := self.container(service)).is_well:
            signs = (work.count(), lines.count(said(found.name))) if patience.is_long else ()
            if not patience.goes_on(service, (found.state, found.health, found.restarts), signs):
                cause, fix = why(found)
                raise Unavailable(
                    f"{service} is not healthy, and nothing has moved for {patience.still_for}: {cause}.", fix
                )


@contextmanager
def running_containers(
    folder: Path,
    state: Path,
    *,
    checkpoint_seconds: float = 2,
    build: bool = True,
    services: Iterable[str] = SERVERS,
    profiles: Iterable[str] = (),
) -> Iterator[RunningContainers]:
    """Build and start the servers of the compose.yaml in `folder`, a pipeline's, or other services of it, also of
    profiles; stop them, and remove their data.

    Raises Unavailable where no Docker engine answers.
    """
    docker("info")
    variables = {name: str(port) for name, port in zip(_ports(), _free_ports(len(_ports())), strict=True)}
    variables |= {compose.PROJECT: f"shardlake-{uuid4().hex[:8]}"}
    state.mkdir(parents=True, exist_ok=True)
    written = state / "containers.env"
    written.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    pipeline = Pipeline.load(folder)
    settings = Settings.read(**compose.settings(folder, variables), checkpoint_seconds=checkpoint_seconds)
    with DockerCompose(
        folder, "compose.yaml", build=build, env_file=str(written), services=list(services), profiles=list(profiles)
    ):
        provision(pipeline, settings)
        yield RunningContainers(pipeline, settings, variables, state)


def _ports() -> list[str]:
    return [*(name for name in compose.DEFAULTS if name.endswith("_PORT")), PROMETHEUS_PORT]


def _free_ports(count: int) -> list[int]:
    """A broker must know its own before it starts. From where the system takes none for others, which might listen
    before the containers do."""
    free = (port for port in random.sample(PORTS, len(PORTS)) if not is_taken(port))
    found = list(islice(free, count))
    if len(found) < count:
        raise Unavailable(f"No {count} ports are free from {PORTS[0]} to {PORTS[-1]}.")
    return found
