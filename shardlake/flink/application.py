"""The application: the pipeline's jobs as inserts of one statement set, submitted to a running Flink.

Runs as a program of its own (`python -m shardlake.flink.application`), because planning needs a JVM with an
environment that is set before Python starts, and because its output belongs into a log. See `submit`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shardlake import registry_login
from shardlake.errors import BadInput
from shardlake.flink import plan
from shardlake.flink.endpoints import Endpoints
from shardlake.flink.gateway import guard
from shardlake.flink.inserts import Closed, Jobs, Writers, execute, on_any_flink, planned
from shardlake.flink.submit import REFUSED
from shardlake.flink.tables import group_of
from shardlake.folders import state_folder
from shardlake.install import layout
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.storage import S3, as_url, is_remote

if TYPE_CHECKING:
    from pyflink.table import TableEnvironment


def configuration(
    settings: Settings, jobs: Jobs, python_files: Path, *, draining: bool = False, apart: bool = False
) -> dict[str, str]:
    """Flink's settings for the application; the reasons stand beside those that are not its defaults.

    `python_files` is a folder with the pipeline's modules. `draining` is for a run whose only end is to be drained: a
    source that is idle at the drain swallows the last watermark, and open windows are lost without a word (FLINK-40499,
    open).
    """
    return {
        **on_any_flink(jobs, 0 if draining else settings.idle_seconds, apart=apart),
        "execution.target": "remote",
        "execution.attached": "false",
        "rest.address": settings.flink_rest_url.split("//")[1].split(":")[0],
        "rest.port": settings.flink_rest_url.rsplit(":", 1)[1].strip("/"),
        "parallelism.default": str(settings.parallelism),
        "execution.checkpointing.interval": f"{round(settings.checkpoint_seconds * 1000)} ms",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.dir": as_url(settings.jobs / "checkpoints"),
        "execution.checkpointing.savepoint-dir": as_url(settings.jobs / "savepoints"),
        # What was checkpointed is in the lake: a job that started over would write it again.
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # A broker that restarts fails a checkpoint or two; the job need not restart for it.
        "execution.checkpointing.tolerable-failed-checkpoints": "3",
        "state.backend.type": "hashmap",
        # A registry or broker that is down is waited for, for ever; one bad record never restarts the job.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "10 s",
        # The workers of Python functions import the pipeline's modules by the names that the client knew them by.
        "python.files": f"file://{python_files}",
        "python.executable": layout.WORKERS_PYTHON.name,
        "python.client.executable": sys.executable,
    }


def application(
    pipeline: Pipeline,
    settings: Settings,
    jobs: Jobs,
    *,
    start_offsets: dict[str, str] | None = None,
    closed: Closed | None = None,
    draining: bool = False,
    apart: str | None = None,
) -> tuple[TableEnvironment, str, Writers]:
    """The whole application as a compiled plan, checked but not submitted. `apart` is the job that runs apart from the
    others.
    """
    guard()
    from pyflink.common import Configuration
    from pyflink.table import EnvironmentSettings, TableEnvironment

    flink = Configuration()
    staged = pipeline.stage(state_folder() / "python")
    for name, value in configuration(settings, jobs, staged, draining=draining, apart=bool(apart)).items():
        flink.set_string(name, value)
    if is_remote(settings.lake):
        _load_file_systems(settings.s3)
    environment = TableEnvironment.create(
        EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(flink).build()
    )
    where = Endpoints(
        settings.jobs_kafka or settings.kafka_bootstrap_servers,
        settings.jobs_registry or settings.schema_registry_url,
        as_url(settings.lake),
        registry_login=registry_login.login() is not None,
        group=group_of(apart),
    )
    return environment, *planned(environment, pipeline, where, jobs, start_offsets, closed, apart=bool(apart))


def _load_file_systems(s3: S3) -> None:
    """Those that are plugins: planning opens the lake's (FileSink does, for no more than its name), and a client of
    PyFlink loads none by itself."""
    from pyflink.common import Configuration
    from pyflink.java_gateway import get_gateway

    flink = get_gateway().jvm.org.apache.flink.core
    configuration = Configuration()
    for name, value in s3.flink_settings().items():
        configuration.set_string(name, value)
    java = configuration._j_configuration  # noqa: SLF001
    flink.fs.FileSystem.initialize(java, flink.plugin.PluginUtils.createPluginManagerFromRootFolder(java))


def main() -> None:
    """Read the request, a line; at the next line, which says where to resume, submit; write the job's id."""
    request: dict[str, Any] = json.loads(sys.stdin.readline())
    environment, compiled, writers = application(
        Pipeline.load(Path(request["pipeline"])),
        Settings.read(**request["settings"]),
        request["jobs"],
        start_offsets=request["start_offsets"],
        closed=request["closed"],
        draining=request["draining"],
        apart=request["apart"],
    )
    numbered = plan.numbered(compiled)
    line = sys.stdin.readline()
    if not line:  # whoever asked has given up
        return
    go: dict[str, str | None] = json.loads(line)
    change = plan.Change((), ())
    if go["resume_from"]:
        environment.get_config().set("execution.state-recovery.path", go["resume_from"])
        if go["plan"]:
            change = plan.compare(go["plan"], numbered, writers)
        if change.removed or request["apart"]:
            environment.get_config().set("execution.state-recovery.ignore-unclaimed-state", "true")
    job_id = str(execute(environment, numbered).get_job_client().get_job_id())
    sys.stdout.write(json.dumps({"job_id": job_id, "plan": numbered, "writers": writers, **asdict(change)}))


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        sys.exit(REFUSED + json.dumps([error.message, error.hint]))
