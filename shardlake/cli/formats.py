"""`shardlake formats list|test|explain`: the formats of log lines, and which of them takes which lines of a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from shardlake.cli.output import add_row, new_table, out, print_json
from shardlake.errors import BadInput
from shardlake.formats import growth
from shardlake.formats.clock import Clock
from shardlake.pipeline import Pipeline

app = typer.Typer(no_args_is_help=True, help="The formats of log lines, and which takes which lines of a file.")

FILE = Annotated[str, typer.Argument(help="A log file, - for standard input.")]
FORMAT = Annotated[str, typer.Option(help="A format's name, or auto.")]
LAYOUT = Annotated[str | None, typer.Option(help="As for `shardlake produce`.")]
LINES = Annotated[int, typer.Option(min=1, help="Read so many lines.")]
SHOWN_PLACES = 3
SHOWN_LETTERS = 100


@app.command("list")
def list_formats(ctx: typer.Context, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show the formats in the order in which they are tried."""
    formats = _module(ctx).all_formats()
    if json:
        print_json([{"name": one.name, "title": one.title, "where": one.where, "samples": len(one.samples)}
                    for one in formats])  # fmt: skip
        return
    table = new_table("format", "lines", "where")
    for one in formats:
        add_row(table, one.name, one.title, one.where or "")
    out.print(table)


@app.command("test")
def try_formats(
    ctx: typer.Context,
    file: Annotated[str | None, typer.Argument(help="A log file, - for standard input. Without: all samples.")] = None,
    format: FORMAT = "auto",
    layout: LAYOUT = None,
    pattern: LAYOUT = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Count the lines of a file by the format that takes them; without a file, parse the formats' own sample lines.

    Exit code 1 where a sample has other values than its file says, or where a pattern's time may grow faster than a
    line.
    """
    if file is None:
        _test_samples(ctx)
        return
    reader = _reader(ctx, format, layout, pattern)
    lines = sum(1 for _ in _events(reader, file))
    recogniser = reader.recogniser
    unparsed = [
        {"place": place, "line": text, "nearest": str(recogniser.nearest(text) or "no format takes any of it")}
        for place, text in recogniser.unparsed.samples
    ]
    found = {
        "lines": lines,
        "formats": recogniser.formats(),
        "unparsed": recogniser.unparsed.lines,
        "continued": recogniser.continued,
        "unparsed_samples": unparsed,
    }
    if json:
        print_json(found)
        return
    for name, count in recogniser.formats().items():
        out.print(f"{name:<24} {count:>12,}")
    out.print(f"{'no format':<24} {recogniser.unparsed.lines:>12,}")
    if recogniser.continued:
        out.print(f"  {recogniser.continued:,} of these look like parts of the events above them")
    for one in unparsed:
        out.print(f"{one['place']}  {one['line'][:SHOWN_LETTERS]!r}")
        out.print(f"  {one['nearest']}")


@app.command()
def explain(
    ctx: typer.Context,
    file: FILE,
    format: FORMAT = "auto",
    layout: LAYOUT = None,
    pattern: LAYOUT = None,
    lines: LINES = 20,
    unparsed: Annotated[bool, typer.Option("--unparsed", help="Show the lines alone that no format takes.")] = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show each line's format and fields; for a line that no format takes, which came nearest and where it stopped."""
    reader = _reader(ctx, format, layout, pattern)
    shown = (one for one in _explained(reader, file) if not (unparsed and one["format"]))
    for one in islice(shown, lines):
        if json:
            print_json(one)
            continue
        out.print(f"{one['place']}  {one['format'] or 'no format'}")
        if one["format"] is None:
            out.print(f"  {one['line'][:SHOWN_LETTERS]!r}\n  {one['nearest'] or 'no format takes any of it'}")
        for name, value in (one["event"] or {}).items():
            out.print(f"  {name:<16} {value}")


def _explained(reader: Any, file: str) -> Iterator[dict[str, Any]]:
    for place, text, event in _events(reader, file):
        taken = reader.recogniser.taken_by
        name = taken.name if taken else None
        near = reader.recogniser.nearest(text) if taken is None else None
        yield {
            "place": place,
            "format": name,
            "line": text,
            "event": {key: _shown(value) for key, value in event.items() if value is not None} if name else None,
            "nearest": str(near) if near else None,
        }


def _shown(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _events(reader: Any, file: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    from shardlake.produce import lines

    lines.check(file)
    service = Path(file).name.split(".")[0]
    for line in lines.read(file):
        if line.text is not None:
            yield f"{line.source}:{line.number}", line.text, reader(line, line.text, service)


def _test_samples(ctx: typer.Context) -> None:
    module = _module(ctx)
    wrong = samples = 0
    for format in module.all_formats():
        try:
            growth.check("".join(format.parts))
        except BadInput as error:
            wrong += 1
            out.print(f"{format.name}  {error.message}")
        for sample in format.samples:
            samples += 1
            parse = module.parser_of(format, Clock.of(None, sample.year))
            differences = sample.differences(parse(sample.line))
            if differences:
                wrong += 1
                out.print(f"{format.name}  {sample.line!r}")
                for one in differences:
                    out.print(f"  {one}")
    out.print(f"{samples:,} sample lines: {wrong:,} faults")
    if wrong:
        sys.exit(1)


def _module(ctx: typer.Context) -> Any:
    module = Pipeline.load(ctx.obj.pipeline).load_module("producers", "log_lines")
    if not hasattr(module, "all_formats"):
        msg = "This pipeline's producers/log_lines.py has no formats in files."
        raise BadInput(msg, "Take over producers/formats and how this project's own log_lines.py reads them.")
    return module


def _reader(ctx: typer.Context, format: str, layout: str | None, pattern: str | None) -> Any:
    options = {name: value for name, value in (("layout", layout), ("pattern", pattern)) if value is not None}
    return _module(ctx).reader(format, **options)
