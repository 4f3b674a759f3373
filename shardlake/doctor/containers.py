"""The containers of `docker compose up`: the engine, what it has to give, and each container that is not well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from shardlake import compose
from shardlake.doctor.finding import Finding
from shardlake.stack.containers import START, containers, docker, why
from shardlake.stack.ports import holder, is_taken

NEEDED_MEMORY_GB = 6
"""What all containers take at work, with some room; their limits add up to less than 8 GB."""


def engine(folder: Path) -> Iterator[Finding]:
    """Whether an engine answers, and has memory, and the ports that are not yet published are free."""
    about = json.loads(docker("info", "--format", "{{json .}}"))
    memory_gb = about["MemTotal"] / 1e9
    words = f"Docker {about['ServerVersion']}, {about['NCPU']} cores, {memory_gb:.1f} GB of memory"
    lack = f"The containers need {NEEDED_MEMORY_GB} GB: give the engine more, or use the local stack, `shardlake up`."
    yield Finding("engine", memory_gb >= NEEDED_MEMORY_GB, words, lack)
    published = {
        address.rpartition(":")[2]
        for one in containers(folder)
        if one.holds_ports
        for address in one.address.split(", ")
    }
    for name, port in compose.variables(folder).items():
        if name.endswith("_PORT") and port not in published and is_taken(int(port)):
            words = f"port {port} ({name}) is taken by {holder(int(port))}"
            yield Finding("ports", False, words, f"Stop that process, or set {name} in .env: see .env.example.")


def services(folder: Path) -> Iterator[Finding]:
    """Each container, and why it is not well where it is not."""
    found = containers(folder)
    if not found:
        yield Finding("containers", False, "there are none of this project", f"Start them: {START}.")
    well = [one for one in found if one.is_well]
    if well:
        yield Finding("containers", True, f"{len(well)} of {len(found)} are well")
    for one in found:
        if not one.is_well:
            cause, fix = why(one)
            yield Finding(one.service, False, f"{one.state}{f', {one.health}' if one.health else ''}: {cause}", fix)
