"""The containers of `docker compose up`: which there are, how they do, and why one is not well."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shardlake import compose
from shardlake.errors import ShardlakeError, Unavailable
from shardlake.stack.ended import errors_in

ENGINE_SECONDS = 60
"""Longer than a busy engine takes."""
SERVICE = "com.docker.compose.service"
ONE_SHOT = frozenset({"setup", "jobs", "load"})
"""They end when their work is done."""
TAIL_LINES = 200
KILLED = 137
START = "`docker compose up --wait`"


@dataclass(frozen=True, slots=True)
class Container:
    """A service's container. `health` is healthy, starting, unhealthy, or '' where nobody asks it."""

    service: str
    name: str
    state: str
    health: str
    exit_code: int
    restarts: int
    out_of_memory: bool
    memory_limit_bytes: int
    address: str
    said: str = field(repr=False)
    """What the engine could not do with it, or what asking after its health said last."""
    pid: int = 0
    """Of its first process, on the engine's machine; 0 where none runs."""

    @property
    def holds_ports(self) -> bool:
        """Whether what it publishes is its own already."""
        return self.state in ("running", "paused", "restarting")

    @property
    def is_well(self) -> bool:
        """It does what it is for, or has done it."""
        if self.service in ONE_SHOT:
            return self.state == "running" or (self.state == "exited" and self.exit_code == 0)
        return self.state == "running" and self.health in ("", "healthy")


def containers(folder: Path, project: str | None = None) -> list[Container]:
    """Those of the compose project of this folder, or another one, running or not. Raises Unavailable where no engine
    answers."""
    project = project or compose.variables(folder)[compose.PROJECT]
    names = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={project}").split()
    found = json.loads(docker("inspect", *names)) if names else []
    return sorted((_container(one) for one in found), key=lambda one: one.service)


def memory_bytes(names: list[str]) -> dict[str, str]:
    """What each running container takes, as the engine says it (`212MiB`)."""
    if not names:
        return {}
    lines = docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *names).splitlines()
    return {name: use.split(" /")[0] for name, use in (line.split(" ", 1) for line in lines)}


def why(container: Container) -> tuple[str, str]:
    """The cause where a container is not well, and what to do."""
    again = f"Then {START} again."
    log = f"Its log: `docker logs {container.name}`."
    if container.out_of_memory or (container.exit_code == KILLED and container.state != "running"):
        if container.out_of_memory:
            limit = f"{container.memory_limit_bytes / 2**20:,.0f} MB"
            return f"it needed more than its limit of {limit}", f"Raise its mem_limit in docker/compose.yaml. {again}"
        return "it was killed (exit code 137)", f"{START} starts it again. {log}"
    if container.state == "paused":
        return "it is paused", f"Let it go on: `docker unpause {container.name}`."
    if container.state == "created":
        return container.said or "it waits for others that are not well", f"See to those first. {again}"
    error = last_error(container.name)
    if container.state in ("exited", "restarting", "dead"):
        how = f"it ends with exit code {container.exit_code}"
        return f"{how}: {error}" if error else how, f"{log} {again}"
    if container.health == "starting":
        return "it is starting", f"Wait a little. {log}"
    return f"it runs and does not answer{f': {error}' if error else ''}", log


def last_error(name: str) -> str:
    """The last line of a container's log that names an error, with the line that says what to do; '' without one."""
    lines = [line.decode() for line in said(name)]
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith("error: "):
            return " ".join(line.strip() for line in lines[number : number + 2]).removeprefix("error: ")[:500]
    errors = errors_in(lines)
    return errors[-1].strip()[:300] if errors else ""


def said(name: str) -> list[bytes]:
    """The last lines of a container's log."""
    done = _run("logs", "--tail", str(TAIL_LINES), name)
    return (done.stdout + done.stderr).encode().splitlines()


def pii_key(folder: Path) -> str:
    """The key that the task managers hash PII with: who verifies must know it.

    Raises Unavailable where no task manager has one.
    """
    managers = [one for one in containers(folder) if one.service.startswith("taskmanager") and one.state == "running"]
    if not managers:
        raise Unavailable("No task manager runs in a container, and so nobody tells the key of PII.", f"Try {START}.")
    return docker("exec", managers[0].name, "sh", "-c", 'printf %s "${SHARDLAKE_PII_KEY:-$(cat /pii/pii.key)}"')


def docker(*arguments: str) -> str:
    """What a command of docker's prints. Raises Unavailable, with the cause and what to do, where no engine answers."""
    done = _run(*arguments)
    if done.returncode == 0:
        return done.stdout
    words = " ".join(done.stderr.split())
    if "permission denied" in words.lower():
        msg = "This user may not use the Docker engine: its socket refuses."
        raise Unavailable(
            msg, "Join the group `docker` (`sudo usermod -aG docker $USER`) and log in anew, or use sudo."
        )
    if "cannot connect" in words.lower() or "error during connect" in words.lower():
        host = os.environ.get("DOCKER_HOST", "its usual socket")
        msg = f"No Docker engine answers at {host}."
        raise Unavailable(msg, "Start it (`sudo systemctl start docker`), or use the local stack: `shardlake up`.")
    raise ShardlakeError(f"docker {arguments[0]} failed: {words[:300]}")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=ENGINE_SECONDS, check=False
        )
    except FileNotFoundError:
        msg = "There is no `docker` command on this machine."
        raise Unavailable(msg, "Install Docker with Compose 2.20 or later, or use the local stack.") from None
    except subprocess.TimeoutExpired:
        msg = f"The Docker engine has not answered within {ENGINE_SECONDS} s."
        raise Unavailable(msg, "It may be short of memory or disk: `docker info`, `df -h`.") from None


def _container(found: dict[str, Any]) -> Container:
    state, health = found["State"], found["State"].get("Health") or {}
    log = health.get("Log") or []
    return Container(
        service=found["Config"]["Labels"][SERVICE],
        name=found["Name"].lstrip("/"),
        state=state["Status"],
        health=health.get("Status", ""),
        exit_code=state["ExitCode"],
        restarts=found["RestartCount"],
        out_of_memory=state["OOMKilled"],
        memory_limit_bytes=found["HostConfig"]["Memory"],
        address=", ".join(_published(found)),
        said=state["Error"] or (log[-1]["Output"].strip() if log else ""),
        pid=state["Pid"],
    )


def _published(found: dict[str, Any]) -> Iterator[str]:
    for ports in (found["HostConfig"]["PortBindings"] or {}).values():
        for port in ports or []:
            yield f"{port['HostIp']}:{port['HostPort']}"
