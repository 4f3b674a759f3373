"""`shardlake verify`: whether every event is where it must be, once, with its values."""

from __future__ import annotations

import json as json_lines
import os
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from shardlake import compose
from shardlake.cli.follow import tell
from shardlake.cli.lake import recounts
from shardlake.cli.output import add_row, new_table, out, print_json, styled
from shardlake.errors import BadInput, ShardlakeError, Unavailable
from shardlake.folders import running_stack, state_folder
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.terminal import visible

if TYPE_CHECKING:
    from shardlake.lake.evidence import Evidence
    from shardlake.lake.verdict import Verdict

SHOWN = 20


def verify(
    ctx: typer.Context,
    runs: Annotated[
        list[Path] | None, typer.Argument(help="The folders of runs, as given to `produce --ledger`.")
    ] = None,
    options: Annotated[list[str] | None, typer.Option("--set", help="As given to `jobs run`: JOB.NAME=VALUE.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Hold ledgers, topic, lake, dead letters and windows against each other.

    Exit code 0 where all holds, 1 where an anomaly is found, 3 where something could not be checked.
    """
    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    verdict = verdict_of(pipeline, settings, runs or [], options or [])
    if json:
        print_json(verdict.as_json())
    else:
        show(verdict)
    if verdict.conclusion == "violated":
        named = ", ".join(f"{count:,} {name}" for name, count in sorted(verdict.counts.items()))
        raise ShardlakeError(f"It does not hold: {named}.", "docs/reliability.md says what each name means.")
    if verdict.conclusion == "inconclusive":
        raise Unavailable("Nothing is wrong in what could be checked, and not all could be.", "See above.")


def verdict_of(pipeline: Pipeline, settings: Settings, runs: list[Path], options: list[str]) -> Verdict:
    """Read the topic again and check; the evidence and the verdict are kept in the first run's folder.

    Where the broker is gone, or its topic was made anew, the evidence that an earlier `verify` has kept is used.
    """
    from shardlake.lake.tables import lake_tables
    from shardlake.lake.verdict import VERDICT_FILE
    from shardlake.lake.verify import verify as check
    from shardlake.ledger import Run

    for one in runs:
        Run.read(one)
    run = runs[0] if runs else None
    tables = lake_tables(settings.lake, pipeline)
    topic = pipeline.events_topic
    with TemporaryDirectory(prefix="shardlake-evidence-") as temporary:
        evidence = _evidence(pipeline, settings, run, Path(temporary))
        verdict = check(
            pipeline, topic, tables, evidence, runs, lambda some, archive: recounts(pipeline, some, options, archive)
        )
    if run is not None:
        (run / VERDICT_FILE).write_text(json_lines.dumps(verdict.as_json(), indent=1))
    return verdict


def _evidence(pipeline: Pipeline, settings: Settings, run: Path | None, temporary: Path) -> Evidence:
    from shardlake.lake.evidence import Evidence
    from shardlake.ledger import Run
    from shardlake.topics import topic_id

    topic = pipeline.events_topic
    is_anew = False
    try:
        if run is None or topic_id(settings.kafka_bootstrap_servers, topic.name) == Run.read(run).topic_id:
            return _collect(pipeline, settings, run / "evidence" if run else temporary)
        is_anew, why = True, f"{topic.name} was made anew since."
    except Unavailable as error:
        why = error.message
        if run is None:
            raise
    try:
        evidence = Evidence.load(run / "evidence")
    except BadInput as error:
        if is_anew:  # the run is named for it, and the lake is held against the topic that there is
            return _collect(pipeline, settings, temporary)
        msg = f"The topic of the run in {run} cannot be read: {why}"
        raise Unavailable(msg, "No earlier `verify` has kept what it held: only its ledgers are left.") from error
    tell(f"{why} What an earlier verify has read of it is used.")
    return evidence


def _collect(pipeline: Pipeline, settings: Settings, folder: Path) -> Evidence:
    from shardlake.avro.registry import AVRO, Registry
    from shardlake.flink.resume import ended_at
    from shardlake.flink.tables import GROUP
    from shardlake.lake.evidence import collect
    from shardlake.lake.masks import Masks
    from shardlake.lake.published import PUBLISHED, collect_published
    from shardlake.topics import committed

    topic = pipeline.events_topic
    versions = Registry(settings.schema_registry_url).versions(topic.subject)
    older = [version.schema for version in reversed(versions) if version.type == AVRO]
    masks = Masks(pipeline.schema_of(topic), _keys(pipeline.folder), older)
    # Before the topic and the lake are read: files show up a moment after the offsets are committed.
    covered = ended_at(settings.jobs, topic.name) if settings.jobs_folder else {}
    is_ended = bool(covered)
    rmtree(folder / PUBLISHED, ignore_errors=True)
    for partition, offset in committed(settings.kafka_bootstrap_servers, GROUP, topic.name).items():
        covered[partition] = max(offset, covered.get(partition, 0))
    evidence = collect(settings, pipeline, topic, folder, masks, covered=covered, say=tell)
    if is_ended:
        collect_published(settings, pipeline, folder / PUBLISHED)
    return evidence


def _keys(folder: Path) -> list[str]:
    """The keys that the jobs may have hashed PII with. The containers' is asked of them where none is given."""
    from shardlake import pii
    from shardlake.stack.containers import pii_key

    if compose.is_wanted() and not (os.environ.get(pii.KEY) or os.environ.get(pii.KEY_FILE)):
        return pii.known_keys({pii.KEY: pii_key(folder)}, {})
    return pii.known_keys(os.environ, running_stack(state_folder()))


def show(verdict: Verdict) -> None:
    """For people: a line a check, then what was found, by name, and what could not be checked."""
    table = new_table("check", "checked", "", "anomalies", right=slice(1, 2))
    for found in verdict.findings:
        named = ", ".join(f"{count:,} {name}" for name, count in sorted(found.counts.items()))
        add_row(table, found.check, f"{found.checked:,}", found.unit, styled(named, "bold red") if named else "none")
    out.print(table)
    for found in verdict.findings:
        for anomaly in found.anomalies[:SHOWN]:
            files = f" ({', '.join(anomaly.files)})" if anomaly.files else ""
            out.print(styled(anomaly.name, "red"), visible(f"{anomaly.where}: {anomaly.what}{files}"))
        if sum(found.counts.values()) > SHOWN:
            out.print(f"and {sum(found.counts.values()) - SHOWN:,} more in this check: --json names more")
    for found in verdict.findings:
        for words in found.notes:
            out.print(f"note: {words}")
        for words in found.unchecked:
            out.print(styled("not checked:", "yellow"), words)
    colour = {"holds": "green", "violated": "red", "inconclusive": "yellow"}[verdict.conclusion]
    out.print(styled(verdict.conclusion, f"bold {colour}"), f"after {sum(verdict.seconds.values()):.1f} s")
