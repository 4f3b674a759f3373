"""`shardlake produce`: log lines or synthetic events into the topic of events."""

from __future__ import annotations

import inspect
import math
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake.cli.follow import follow as follow_files
from shardlake.cli.follow import say, tell
from shardlake.cli.output import err, out, print_json
from shardlake.errors import BadInput, ShardlakeError
from shardlake.exposition import ON_LOOPBACK, Address
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings

if TYPE_CHECKING:
    from shardlake.ledger import Place
    from shardlake.produce.sending import Sending

    Opens = Callable[..., Sending]

SAY_EVERY_SECONDS = 5


def produce(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None, typer.Argument(help="A log file, - for standard input; any for --follow.")
    ] = None,
    service: Annotated[
        str | None, typer.Option(help="The events' service. Default: what the line says, else the file's name.")
    ] = None,
    format: Annotated[str, typer.Option(help="The lines': auto, or a name of `shardlake formats list`.")] = "auto",
    layout: Annotated[
        str | None, typer.Option(help="What logging is configured with: '%d %p [%t] %c: %m%n' or '%(asctime)s …'.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="A regular expression with named groups: time, level, message, …")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="An access log's own format, as Apache's LogFormat.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Of times without a zone, as Europe/Berlin or +03:00. Default: UTC.")
    ] = None,
    year: Annotated[int | None, typer.Option(help="Of times without a year. Default: the latest that fits.")] = None,
    field: Annotated[list[str] | None, typer.Option(help="JSON lines: FIELD=MEMBER, again for more.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Read on as files grow; 'quoted*.log' finds new ones.")
    ] = False,
    state: Annotated[Path | None, typer.Option(help="Where --follow keeps its places.")] = None,
    until_idle: Annotated[
        float | None, typer.Option(min=0, help="End --follow when nothing came for so many seconds.")
    ] = None,
    as_now: Annotated[bool, typer.Option(help="Move all times by one constant so that the last is now.")] = False,
    synthetic: Annotated[bool, typer.Option(help="Generate events instead of reading a file.")] = False,
    rate: Annotated[float, typer.Option(min=0.001, help="Synthetic events a second.")] = 1000,
    duration: Annotated[float, typer.Option(min=0, help="Seconds of synthetic events; inf: until Ctrl-C.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 1,
    poison: Annotated[int, typer.Option(min=0, help="Poison records spread among the synthetic events.")] = 0,
    with_: Annotated[
        list[str] | None, typer.Option("--with", help="What synthetic events are like, as NAME=VALUE: see docs/use.md.")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Default: the pipeline's topic of events.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="A run's folder: what becomes of each event is written there, for `verify`.")
    ] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Serve metrics for Prometheus there.")] = None,
    metrics_host: Annotated[str, typer.Option(help="Their address; 0.0.0.0 in a container only.")] = ON_LOOPBACK,
    json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    """Send events, and account for every one. Exit code 0 only if all were acknowledged and no line was refused."""
    if synthetic == bool(files):
        msg = "Give either a log file or --synthetic."
        raise BadInput(msg, "For example: shardlake produce access.log, or shardlake produce --synthetic --rate 1000.")
    if files and len(files) > 1 and not follow:
        msg = "Several files are for --follow."
        raise BadInput(msg, "Give one, or --follow, with --until-idle 5 to end at their ends.")
    if follow and (synthetic or as_now or "-" in (files or ())):
        msg = "--follow is for files as they are."
        raise BadInput(msg, "Leave out --synthetic, --as-now and -.")
    if not follow and (state is not None or until_idle is not None):
        msg = "--state and --until-idle are for --follow."
        raise BadInput(msg, "Add --follow, or leave them out.")
    from shardlake.produce.sending import Sending

    pipeline, settings = Pipeline.load(ctx.obj.pipeline), Settings.read()
    chosen = pipeline.topic(topic) if topic else pipeline.events_topic
    as_event: Any = None
    metrics = None if metrics_port is None else Address(metrics_host, metrics_port)
    to = partial(Sending, pipeline, settings, chosen, ledger, metrics=metrics)
    if synthetic:
        module = pipeline.load_module("producers", "synthetic")
        summary = _synthetic(to, module, rate, duration, seed, poison, with_ or [])
    else:
        module = pipeline.load_module("producers", "log_lines")
        more = {"timezone": timezone, "year": year, "layout": layout, "pattern": pattern}
        given = {name: value for name, value in more.items() if value is not None}
        as_event = _reader(module, format, log_format, field or (), service, **given)
        to = partial(to, read=getattr(as_event, "read_lines", None))
        if follow:
            summary = follow_files(to, files or [], module, as_event, state, until_idle)
        else:
            summary = _file(to, (files or [""])[0], service, module.is_parsed, as_event, chosen.event_time, as_now)
    if hasattr(as_event, "lines"):
        summary["formats"] = as_event.lines()
    for note in getattr(as_event, "notes", list)():
        tell(note)
    if json:
        print_json(summary)
    else:
        for name, value in summary.items():
            if value not in (None, {}, ()):
                out.print(f"{name.replace('_', ' '):<17} {_shown(name, value)}")
    _conclude(summary, is_stopped=follow and until_idle is None)


def _shown(name: str, value: Any) -> Any:
    if name == "formats":
        return ", ".join(f"{one} {count:,}" for one, count in value.items())
    return f"{value:,}" if isinstance(value, int) else ", ".join(value) if isinstance(value, tuple) else value


def _reader(module: Any, *options: Any, **more: Any) -> Any:
    """The pipeline's function from a line to an event. A pipeline of an older version knows fewer options."""
    unknown = more.keys() - inspect.signature(module.reader).parameters.keys()
    if unknown:
        msg = f"This pipeline's producers/log_lines.py takes no --{sorted(unknown)[0]}."
        raise BadInput(msg, "Leave it out, or let `reader` take it, as this project's own does.")
    return module.reader(*options, **more)


def _file(
    to: Opens, name: str, service: str | None, is_parsed: Any, as_event: Any, event_time: str | None, as_now: bool
) -> dict[str, Any]:
    from shardlake.produce import lines
    from shardlake.produce.events import Read, from_file

    lines.check(name)
    if name == lines.STDIN and (as_now or service is None):
        msg = "Standard input has no name, and cannot be read twice."
        raise BadInput(msg, "Give --service NAME, and leave out --as-now.")
    count = Read()
    events = from_file(name, as_event, is_parsed, event_time, as_now, count, tell)
    # Standard input's next line may be long in coming.
    sending = to(say=err.print, **({"batch_values": 1} if name == lines.STDIN else {}))
    summary = _send(sending, events, count)
    refused = summary.pop("too_large") + count.refused
    return {**asdict(count), "refused": refused, **summary}


def _synthetic(
    to: Opens, module: Any, rate: float, duration: float, seed: int, poison: int, options: list[str]
) -> dict[str, Any]:
    from shardlake.produce.events import on_schedule

    load = module.Load.of(options)
    if poison and duration == math.inf:
        raise BadInput("Poison is spread over the duration, and inf has no parts.", "Give --duration in seconds.")
    sending = to(say=err.print)
    kinds: list[tuple[str, bytes]] = []
    if poison:
        schema = sending.pipeline.schema_of(sending.topic)
        kinds = sending.pipeline.load_module("producers", "poison").poison(sending.sender.encode, schema)
        random.Random(seed).shuffle(kinds)
    name = f"synthetic seed {seed}"

    def spoil(number: int) -> None:
        sending.delivery.send(kinds[number % len(kinds)][1], place=(f"{name}, poison", number))

    def events() -> Iterator[tuple[Place, dict[str, Any]]]:
        sent = 0
        generated = module.sends(seed, datetime.now(UTC), rate, load)
        for number, (due, event) in enumerate(on_schedule(generated, duration, sending.delivery.poll)):
            while sent < poison and due >= sent * duration / poison:
                spoil(sent)
                sent += 1
            yield (name, number), event
        for left in range(sent, poison):
            spoil(left)

    return {"poison": poison, **_send(sending, events())}


def _send(sending: Sending, events: Iterator[tuple[Place, dict[str, Any]]], count: Any = None) -> dict[str, Any]:
    began = said = time.monotonic()
    too_large = 0
    interrupted = False
    send = sending.sender.send
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for place, event in events:
            if not send(event, None, place):
                too_large += 1
            if time.monotonic() - said > SAY_EVERY_SECONDS:
                said = time.monotonic()
                say(sending.delivery.account, count, said - began)
    except KeyboardInterrupt:
        interrupted = True
        err.print("interrupted: waiting for the reports of what was sent")
    except BadInput as error:
        before = sending.delivery.finish().total_acknowledged
        raise BadInput(f"{error.message} {before:,} events before it are in the topic.", error.hint) from error
    account = sending.delivery.finish()
    seconds = time.monotonic() - began
    return {
        "sent": account.handed_over,
        "acknowledged": account.total_acknowledged,
        "failed": account.failed,
        "unknown": account.unknown,
        "too_large": too_large,
        "partitions": dict(sorted(account.acknowledged.items())),
        "reasons": dict(account.reasons),
        "seconds": round(seconds, 1),
        "events_per_second": round(account.handed_over / max(seconds, 0.001)),
        "interrupted": interrupted,
    }


def _conclude(summary: dict[str, Any], *, is_stopped: bool) -> None:
    if summary["interrupted"]:
        sys.exit(130)
    missing = summary["sent"] - summary["acknowledged"]
    if is_stopped:
        # A follower that was told to end has lost nothing: what is not acknowledged is read at the next start.
        if missing:
            err.print(f"{missing:,} lines were not acknowledged: they are sent at the next start")
        return
    if missing:
        reasons = "; ".join(summary["reasons"]) or "no report came"
        msg = (
            f"{missing} of {summary['sent']} events were not acknowledged "
            f"({summary['failed']} failed, {summary['unknown']} unknown): {reasons}."
        )
        again = "Produce the file again: its events keep their ids." if "lines" in summary else ""
        raise ShardlakeError(msg, again or "Those that are unknown may be in the topic or not.")
    refused = summary.get("refused", 0) or summary.get("too_large", 0)
    if refused:
        places = ", ".join(summary.get("refused_places", ()))
        where = f": {places}" if places else ""
        msg = f"{refused} lines are longer than an event may be (1 MiB) and were not sent{where}."
        raise ShardlakeError(msg, "All others were. Shorten those lines and produce them alone.")
