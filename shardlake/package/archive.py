"""The package: a zip as Amazon Managed Service for Apache Flink takes it, and as Flink anywhere can run it.

main.py                   the entry point                                 property python
lib/shardlake-jobs.jar    connector, formats, logins, our own classes     property jarfile
python/                   the pipeline, its jobs with their options,      property pyFiles
                          and what of the engine they need

Nothing in it depends on where it will run: addresses and names of secrets are runtime properties. The same pipeline
and locks give the same bytes, on the same versions of Python and zlib.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from shardlake.install import jars, layout, own_jar
from shardlake.package.merged_jar import entry, merge
from shardlake.package.modules import ENGINE, ENTRY, Needed, needed
from shardlake.pipeline import FOLDERS, Pipeline

JAR = "lib/shardlake-jobs.jar"
PYTHON = "python/"
JOBS = "jobs.json"
"""Beside the pipeline's folders: each job's options by its name."""

LIMIT_BYTES = 512 * 1024**2
"""What the service takes."""

SHADED_KAFKA = "flink-sql-connector-kafka"
AWS_SOURCES = ENGINE / "java-aws"


def write(out: Path, pipeline: Pipeline, chosen: Mapping[str, Mapping[str, str]], say: Callable[[str], None]) -> Needed:
    """Write the package; what it needed. The servers are installed. Raises Unavailable where jars cannot be had."""
    found = needed(pipeline)
    files = {f"{PYTHON}{path.relative_to(ENGINE.parent)}": path.read_bytes() for path in found.engine.values()}
    for folder in FOLDERS:
        for path in sorted((pipeline.folder / folder).iterdir()) if (pipeline.folder / folder).is_dir() else ():
            if path.suffix in (".py", ".avsc", ".toml"):
                files[f"{PYTHON}{folder}/{path.name}"] = path.read_bytes()
    files[f"{PYTHON}{JOBS}"] = json.dumps({job: dict(options) for job, options in chosen.items()}, indent=1).encode()
    files["main.py"] = ENTRY.read_bytes()
    with tempfile.TemporaryDirectory() as temporary:
        jar = _dependencies(Path(temporary), say)
        with zipfile.ZipFile(out, "w") as archive:
            for name in sorted(files):
                archive.writestr(entry(name), files[name])
            archive.writestr(entry(JAR, compressed=False), jar.read_bytes())
    return found


def _dependencies(folder: Path, say: Callable[[str], None]) -> Path:
    pinned = [*jars.pinned("package"), *(jar for jar in jars.pinned("flink") if jar.artifact != SHADED_KAFKA)]
    say(f"{len(pinned)} jars into one; those that are not in the download cache are fetched")
    paths = list(jars.fetch(pinned, lambda _: None).values())
    aws = folder / "shardlake-aws.jar"
    own_jar.build(AWS_SOURCES, [layout.OWN_JAR, *paths], layout.JAVA, layout.ROOT / "ecj.jar", aws)
    merged = folder / "merged.jar"
    merge([layout.OWN_JAR, aws, *paths], merged)
    return merged
