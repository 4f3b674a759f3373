"""`shardlake schema check|register|list|diff`: the folder's schemas beside the registry's."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake.cli.output import add_row, err, new_table, out, print_json, styled
from shardlake.errors import ShardlakeError
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from shardlake.avro.evolution import Change
    from shardlake.avro.registry import Registry
    from shardlake.provision import Check

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]

app = typer.Typer(no_args_is_help=True, help="The pipeline's schemas, and those that are registered.")


@app.command("list")
def list_schemas(ctx: typer.Context, json: Json = False) -> None:
    """Every subject of the registry: its type, its versions with their ids, its compatibility, and where the folder's
    schema is."""
    from shardlake.avro.registry import AVRO, same_version

    pipeline, registry = _both(ctx)
    ours = {topic.subject: pipeline.schema_of(topic) for topic in pipeline.on_broker if topic.schema}
    rows: list[dict[str, Any]] = []
    for subject in sorted({*registry.subjects(), *ours}):
        versions = registry.versions(subject)
        here = same_version(versions, ours[subject]) if subject in ours else None
        rows.append(
            {
                "subject": subject,
                "type": ", ".join(sorted({version.type for version in versions})) or AVRO,
                "versions": {version.number: version.schema_id for version in versions},
                "compatibility": registry.compatibility(subject),
                "folder": here.number if here else "not registered" if subject in ours else "no schema",
            }
        )
    if json:
        print_json(rows)
        return
    table = new_table("subject", "type", "version (id)", "compatibility", "the folder's")
    for row in rows:
        numbers = ", ".join(f"{number} ({schema_id})" for number, schema_id in row["versions"].items())
        ours_is = f"version {row['folder']}" if isinstance(row["folder"], int) else row["folder"]
        add_row(table, row["subject"], row["type"], numbers or "none", row["compatibility"], ours_is)
    out.print(table)


@app.command()
def diff(ctx: typer.Context, json: Json = False) -> None:
    """Field by field, what the folder's schemas change against the latest registered ones."""
    from shardlake.avro.evolution import changes
    from shardlake.provision import check_schemas

    pipeline, registry = _both(ctx)
    found = {
        check.topic.subject: changes(check.newest.schema, pipeline.schema_of(check.topic)) if check.newest else None
        for check in check_schemas(pipeline, registry)
    }
    if json:
        print_json({subject: [asdict(one) for one in those or []] for subject, those in found.items()})
        return
    for subject, those in found.items():
        said = "not registered yet" if those is None else "" if those else "no change"
        out.print(styled(subject, "bold"), f" {said}")
        for one in those or []:
            out.print(" ", *_line(one))


@app.command()
def check(ctx: typer.Context, json: Json = False) -> None:
    """Whether each schema of the folder can be registered. Exit code 1 where one cannot."""
    from shardlake.provision import check_schemas

    pipeline, registry = _both(ctx)
    checks = check_schemas(pipeline, registry)
    if json:
        print_json(
            [{"subject": one.topic.subject, "accepted": not one.refused, "reasons": one.reasons} for one in checks]
        )
    else:
        for one in checks:
            out.print(styled(one.topic.subject, "bold"), "", _verdict(one))
            for reason in one.reasons:
                out.print(f"  {reason}")
    refused = [one.topic.subject for one in checks if one.refused]
    if refused:
        msg = f"{len(refused)} of {len(checks)} schemas cannot follow the registered ones: {', '.join(refused)}."
        raise ShardlakeError(msg, "Give new fields a default, and keep the types of those there are.")


@app.command()
def register(ctx: typer.Context) -> None:
    """Register the folder's schemas; all or, where one is refused, none. Those that are registered stay as they are."""
    from shardlake.provision import register_schemas

    for subject, schema_id in register_schemas(*_both(ctx)).items():
        err.print(f"{subject} has the id {schema_id}")


def _both(ctx: typer.Context) -> tuple[Pipeline, Registry]:
    from shardlake.avro.registry import Registry

    return Pipeline.load(ctx.obj.pipeline), Registry(Settings.read().schema_registry_url)


def _verdict(one: Check) -> str | Text:
    if one.refused:
        return styled("cannot be registered", "bold red")
    if one.registered:
        return f"is registered: version {one.registered.number}, id {one.registered.schema_id}"
    return f"can be registered, as version {one.versions[-1].number + 1}" if one.versions else "is not registered yet"


def _line(change: Change) -> tuple[Text, str]:
    from shardlake.avro.evolution import kind

    if change.what in ("added", "removed"):
        field = change.after or change.before
        default = f"default {_literal(field['default'])}" if "default" in field else "no default"
        name = styled(f"+ {change.field}:", "green") if change.what == "added" else styled(f"- {change.field}:", "red")
        return name, f"{kind(field['type'])}, {default}"
    what = f"{change.field}, {change.what}" if change.field else f"the record's {change.what}"
    before, after = (
        kind(value) if change.what == "type" else _literal(value) for value in (change.before, change.after)
    )
    return styled(f"~ {what}:", "yellow"), f"{before} → {after}"


def _literal(value: Any) -> str:
    return "null" if value is None else str(value)


def provision(ctx: typer.Context) -> None:
    """Make the pipeline's topics and register its schemas, where they are missing; `up` does so by itself."""
    from shardlake import provision as provisioning

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    provisioning.provision(pipeline, settings)
    err.print(f"there are: {', '.join(topic.name for topic in pipeline.on_broker)}, and their schemas")
