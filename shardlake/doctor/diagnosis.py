"""Everything that is looked at, from the machine up: what stands on something that is amiss is not looked at."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial
from pathlib import Path

from shardlake import compose
from shardlake.doctor import containers, data, jobs, machine, servers, storage, taking_up
from shardlake.doctor.finding import Check, Finding, examine
from shardlake.errors import BadInput
from shardlake.folders import state_folder
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.stack.stack import find

PROBES = {
    "broker": ("KAFKA_BOOTSTRAP_SERVERS", servers.broker, {"kafka"}),
    "registry": ("SCHEMA_REGISTRY_URL", servers.registry, {"registry"}),
    "flink": ("FLINK_REST_URL", servers.flink, {"jobmanager"}),
}
"""What clients ask: the variable that names one elsewhere, how it is asked, the local process behind it."""


def diagnose(pipeline_folder: Path, port_base: int) -> list[Finding]:
    """All findings, those of the machine first. Takes some seconds at most, whatever hangs."""
    if compose.is_wanted():
        return _diagnose_containers(pipeline_folder)
    stack = find(state_folder())
    settings = Settings.read()
    found = examine([Check("machine", partial(machine.machine, stack, port_base))])
    found += _s3(settings)
    down: list[Finding] = []
    if stack:
        found += examine([Check("space", partial(machine.space, stack, settings))])
        down = list(servers.processes(stack))
    lacking = {finding.check for finding in down}
    names = [
        name
        for name, (variable, _, behind) in PROBES.items()
        if (stack or variable in os.environ) and not behind & lacking
    ]
    return [*found, *down, *_asked(pipeline_folder, settings, names)]


def _diagnose_containers(folder: Path) -> list[Finding]:
    settings = Settings.read()
    found = examine([Check("engine", partial(containers.engine, folder))])
    if not any(one.ok for one in found if one.check == "engine"):
        return found
    found += examine([Check("containers", partial(containers.services, folder))])
    if not any(one.ok for one in found if one.check == "containers"):
        return found
    return [*found, *_s3(settings), *_asked(folder, settings, PROBES)]


def _s3(settings: Settings) -> list[Finding]:
    if any(url.startswith("s3") for url in (settings.lake_url, settings.jobs_folder)):
        return examine([Check("S3", partial(storage.storage, settings))])
    return []


def _asked(pipeline_folder: Path, settings: Settings, names: Collection[str]) -> list[Finding]:
    """What those of PROBES answer, and what stands on those that answer well."""
    answers = examine([Check(name, partial(PROBES[name][1], settings)) for name in names])
    # A name stands for all of a check's findings: one broker of several that is not reached is enough.
    ready = set(names) - {finding.check for finding in answers if not finding.ok}
    return [*answers, *_beyond(pipeline_folder, settings, ready)]


def _beyond(pipeline_folder: Path, settings: Settings, ready: set[str]) -> list[Finding]:
    if not ready:
        return []
    checks = []
    if "flink" in ready and settings.jobs_folder:
        checks.append(Check("jobs", partial(jobs.jobs, settings)))
    try:
        pipeline = Pipeline.load(pipeline_folder)
    except BadInput as error:
        return [Finding("pipeline", False, error.message, error.hint), *examine(checks)]
    if "broker" in ready:
        checks.append(Check("topics", partial(data.topics, pipeline, settings)))
        if "flink" in ready and settings.jobs_folder:
            checks.append(Check(taking_up.CHECK, partial(taking_up.taking_up, pipeline, settings)))
        checks += [
            Check(f"dead letters of {t.name}", partial(data.dead_letters, t, settings)) for t in pipeline.sources
        ]
    if "registry" in ready:
        checks.append(Check("schemas", partial(data.schemas, pipeline, settings)))
    return examine(checks)
