"""How the servers' JVMs are started: with class-data archives, and logging to standard output."""

from __future__ import annotations

from pathlib import Path

from shardlake.install import layout

SHORT_LIVED = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
"""For programs that start, do little and end: never for the broker or the task manager under load."""


NO_SHARED_FILES = "-XX:-UsePerfData"
"""A JVM writes its counters into a file of a known name in the machine's temporary folder otherwise."""

LOGGING = ["-Xlog:disable", "-Xlog:all=error:stderr"]
"""An archive that no longer fits is worth no warning, it only costs time."""

TEMPORARY = "tmp"
"""In the folder of each server: what one leaves there that is killed goes with the stack's data."""


def java(name: str, folder: Path, *, heap_mb: int, options: list[str], train: bool = False) -> list[str]:
    """The command up to the main class, for a server that keeps its files in `folder`. With `train` it writes the
    archive that later starts read."""
    temporary = folder / TEMPORARY
    temporary.mkdir(parents=True, exist_ok=True)
    archive = layout.ARCHIVES / f"{name}.jsa"
    if train:
        sharing = [f"-XX:ArchiveClassesAtExit={archive}"]
    elif archive.is_file():
        sharing = [f"-XX:SharedArchiveFile={archive}"]
    else:
        sharing = []
    memory = [f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m"]
    return [str(layout.JAVA), NO_SHARED_FILES, *sharing, *LOGGING, *memory, f"-Djava.io.tmpdir={temporary}", *options]


def log4j(folder: Path, level: str = "info") -> Path:
    """A log4j 2 configuration that writes to standard output, which is the server's log file."""
    path = folder / "log4j2.properties"
    path.write_text(
        f"rootLogger.level = {level}\n"
        "rootLogger.appenderRef.stdout.ref = stdout\n"
        "appender.stdout.name = stdout\n"
        "appender.stdout.type = Console\n"
        "appender.stdout.layout.type = PatternLayout\n"
        "appender.stdout.layout.pattern = %d{ISO8601} %-5p %c{1} %m%n\n"
        # It writes down the whole environment of each Python worker, and so a key that was given by it.
        "logger.beam.name = org.apache.beam.runners.fnexecution.control.DefaultJobBundleFactory\n"
        "logger.beam.level = off\n"
    )
    return path
