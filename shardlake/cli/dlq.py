"""`shardlake dlq list|show|redrive`: the dead letters of the jobs and of consumer groups."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shardlake.cli.dlq_tables import as_json, left_table, letters_table, overview_table, show_letter
from shardlake.cli.output import err, out, print_json
from shardlake.counted import counted
from shardlake.errors import BadInput, ShardlakeError
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.terminal import visible

if TYPE_CHECKING:
    from shardlake.redrive.letters import Letter
    from shardlake.redrive.processing import Work
    from shardlake.redrive.selection import Selection

Topic = Annotated[str, typer.Argument(help="A dead-letter topic, as app-logs.dlq: `dlq list` names them.")]
ErrorClass = Annotated[str | None, typer.Option(help="Whole, or its last part: UnknownSchema.")]
SourceOption = Annotated[str | None, typer.Option("--source", help="As app-logs-2, app-logs-2:17, app-logs-2:17-40.")]
Since = Annotated[str | None, typer.Option(help="Arrived in the source then or later: 2026-11-25T10:00Z.")]
Until = Annotated[str | None, typer.Option(help="Arrived in the source before.")]
Key = Annotated[str | None, typer.Option(help="The record's key.")]
Group = Annotated[str | None, typer.Option(help="The consumer group.")]
Limit = Annotated[int | None, typer.Option(min=1, help="No more than so many.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]

app = typer.Typer(no_args_is_help=True, help="Dead letters: which there are, and sending them back.")


@app.command("list")
def list_letters(
    ctx: typer.Context,
    topic: Annotated[str | None, typer.Argument(help="One of them; without, an overview of all.")] = None,
    error_class: ErrorClass = None,
    source: SourceOption = None,
    since: Since = None,
    until: Until = None,
    key: Key = None,
    group: Group = None,
    not_redriven: Annotated[bool, typer.Option(help="Only what is left to redrive.")] = False,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """What is a dead letter, where it came from, and why; by topic and error class, or one by one for a topic."""
    from shardlake.redrive.letters import dead_letter_topics

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    selection = _selection(error_class, source, since, until, key, group, not_redriven=not_redriven)
    if topic is None:
        found = dead_letter_topics(pipeline, settings.kafka_bootstrap_servers)
        chosen = {name: (whose, _letters(pipeline, settings, name, selection)) for name, whose in found.items()}
        if json:
            print_json([as_json(name, letters, limit) | {"of": whose} for name, (whose, letters) in chosen.items()])
        else:
            out.print(overview_table(chosen) if any(letters for _, letters in chosen.values()) else "no dead letters")
        return
    letters = _letters(pipeline, settings, topic, selection, check=True)
    if json:
        print_json(as_json(topic, letters, limit))
        return
    if not letters:
        out.print(f"no dead letters in {topic}" + ("" if selection.is_all else " that the filters take"))
        return
    out.print(letters_table(letters[:limit]))
    if limit is not None and len(letters) > limit:
        out.print(f"and {len(letters) - limit:,} more")


@app.command()
def show(
    ctx: typer.Context,
    topic: Topic,
    offset: Annotated[str, typer.Argument(help="Its offset, or PARTITION:OFFSET, as the list has it.")],
    bytes_: Annotated[int, typer.Option("--bytes", min=0, help="So many of the value are shown.")] = 1024,
    json: Json = False,
) -> None:
    """One dead letter whole: headers, key, bytes, and its record where it can be decoded. This may be PII."""
    from shardlake.redrive.letters import check_topic

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    place = re.fullmatch(r"(?:(\d{1,9}):)?(\d{1,18})", offset, re.ASCII)
    if place is None:
        raise BadInput(f"{offset!r} is no offset.", "Write it as 17, or as PARTITION:OFFSET.")
    check_topic(pipeline, settings.kafka_bootstrap_servers, topic)
    show_letter(pipeline, settings, topic, int(place[1] or 0), int(place[2]), bytes_, json=json)


@app.command()
def redrive(
    ctx: typer.Context,
    topic: Topic,
    error_class: ErrorClass = None,
    source: SourceOption = None,
    since: Since = None,
    until: Until = None,
    key: Key = None,
    group: Group = None,
    consumer: Annotated[
        str | None, typer.Option(help="Of a group's dead letters: a file of consumers/. Default: the group's name.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds that a handler may take; 0: any time.")] = 60,
    limit: Limit = None,
    dry_run: Annotated[bool, typer.Option(help="Only say which.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Send dead letters back: the jobs' to their topic, each exactly once; a group's through its consumer.

    Exit code 1 where one could not be: it stays a dead letter.
    """
    from shardlake.redrive import redrive as redriving

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    selection = _selection(error_class, source, since, until, key, group)
    letters = _letters(pipeline, settings, topic, None, check=True)
    selection.check(letters)
    chosen, outcome = redriving.choose(letters, selection, limit)
    work = _work(pipeline, settings, chosen, consumer, timeout)
    if dry_run and not json and chosen:
        out.print(letters_table(chosen))
    if chosen and not dry_run:
        _ask(f"Redrive {counted(len(chosen), 'dead letter')} of {topic}?", yes=yes)
        servers = settings.kafka_bootstrap_servers
        outcome = redriving.redrive(pipeline, servers, topic, selection, limit, work, err.print)
    counts = {
        "would be redriven" if dry_run else "redriven": len(chosen) if dry_run else outcome.redriven,
        "already redriven": outcome.already,
        "failed": len(outcome.failed),
        "filtered out": outcome.filtered_out,
        "not ours": outcome.not_ours,
    }
    if json:
        failed = as_json(topic, [letter for letter, _ in outcome.failed], None)["letters"]
        print_json({**{name.replace(" ", "_"): n for name, n in counts.items()}, "failed_letters": failed})
    else:
        out.print(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    if outcome.failed:
        if not json:
            out.print(left_table(outcome.failed))
        raise ShardlakeError(
            f"{counted(len(outcome.failed), 'record is still a dead letter', 'records are still dead letters')}.",
            "Mend what fails, and run it again.",
        )


def _selection(
    error_class: str | None,
    source: str | None,
    since: str | None,
    until: str | None,
    key: str | None,
    group: str | None,
    *,
    not_redriven: bool = False,
) -> Selection:
    from shardlake.redrive.selection import Selection, Source
    from shardlake.shards.start import milliseconds

    return Selection(
        error_class=error_class,
        source=Source.read(source) if source else None,
        since_ms=milliseconds(since) if since else None,
        until_ms=milliseconds(until) if until else None,
        key=key,
        group=group,
        not_redriven=not_redriven,
    )


def _letters(
    pipeline: Pipeline, settings: Settings, topic: str, selection: Selection | None, *, check: bool = False
) -> list[Letter]:
    from shardlake.redrive.letters import check_topic, read_letters
    from shardlake.redrive.marks import read_marks

    servers = settings.kafka_bootstrap_servers
    if check:
        check_topic(pipeline, servers, topic)
    letters = read_letters(pipeline, servers, topic, read_marks(servers, topic))
    if selection is None:
        return letters
    if check:
        selection.check(letters)
    return [letter for letter in letters if selection.takes(letter)]


def _work(
    pipeline: Pipeline, settings: Settings, letters: list[Letter], consumer: str | None, timeout: float
) -> Work | None:
    """None where no consumer is needed. Raises BadInput where it is not known which."""
    from shardlake.redrive.processing import Work
    from shardlake.shards.handler import Consumer

    sources = [letter.source for letter in letters if letter.source and letter.source.group]
    groups = sorted({source.group for source in sources})
    if not groups:
        return None
    if consumer is None and len(groups) > 1:
        raise BadInput(f"These are of several groups: {', '.join(groups)}.", "Redrive one at a time, with --group.")
    name = Path(consumer or groups[0]).stem if consumer else groups[0]
    if consumer is None and name not in pipeline.modules("consumers"):
        there = ", ".join(pipeline.modules("consumers")) or "none"
        raise BadInput(
            f"No consumer is called {name}, as the group is.", f"Name one with --consumer. There is: {there}."
        )
    Consumer.of(pipeline.load_module("consumers", name))
    for topic in {source.topic for source in sources}:
        pipeline.topic(topic)
    registry_url = settings.schema_registry_url
    return Work(pipeline=pipeline.folder, registry_url=registry_url, consumer=name, timeout_seconds=timeout or None)


def _ask(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput("Nobody can be asked here.", "Say --yes, or look first with --dry-run.")
    typer.confirm(visible(question), abort=True)
