"""How dead letters are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shardlake.cli.output import add_row, err, new_table, out, print_json, styled
from shardlake.errors import BadInput, Unavailable
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.terminal import visible

if TYPE_CHECKING:
    from rich.table import Table

    from shardlake.redrive.letters import Letter
    from shardlake.shards.contract import Failure

NOT_OURS = "not ours"
LINE_BYTES = 16


def overview_table(found: Mapping[str, tuple[str, Sequence[Letter]]]) -> Table:
    """A line for each topic and error class."""
    table = new_table("topic", "of", "error class", "total", "redriven", "left", right=slice(3, None))
    for name, (whose, letters) in found.items():
        for error_class, (total, redriven, left) in by_class(letters).items():
            add_row(table, name, whose, error_class, f"{total:,}", f"{redriven:,}", f"{left:,}")
        if not letters:
            add_row(table, name, whose, "", "0", "0", "0")
    return table


def by_class(letters: Sequence[Letter]) -> dict[str, tuple[int, int, int]]:
    """How many there are, were redriven, and are left, by the error class's last part."""
    total: Counter[str] = Counter()
    redriven: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for letter in letters:
        name = _short(letter)
        total[name] += 1
        redriven[name] += letter.mark is not None
        left[name] += letter.is_left
    return {name: (total[name], redriven[name], left[name]) for name in sorted(total)}


def letters_table(letters: Sequence[Letter]) -> Table:
    """A line for each."""
    table = new_table("at", "source", "arrived", "error class", "attempts", "group", "bytes", "times", "redriven")
    for letter in letters:
        source = letter.source
        row = ["", "", NOT_OURS, "", ""]
        if source:
            row = [letter.place, _time(source.timestamp_ms), _short(letter), str(source.attempts), source.group]
        redriven = f"{_time(letter.mark.at_ms)}, to {letter.mark.to}" if letter.mark else "" if not source else "no"
        size = f"{letter.size_bytes:,}"
        add_row(table, _at(letter), *row, size, str(letter.times), redriven)
    return table


def left_table(failed: Sequence[tuple[Letter, Failure]]) -> Table:
    """What could not be redriven, and why."""
    table = new_table("at", "source", "error class", "where")
    for letter, failure in failed:
        add_row(table, _at(letter), letter.place, failure.error_class, failure.where)
    return table


def as_json(topic: str, letters: Sequence[Letter], limit: int | None) -> dict[str, Any]:
    """For programs; neither keys nor messages, which may be PII."""
    named = {name: dict(zip(("total", "redriven", "left"), n, strict=True)) for name, n in by_class(letters).items()}
    return {"topic": topic, "by_class": named, "letters": [_row(letter) for letter in letters[:limit]]}


def show_letter(
    pipeline: Pipeline, settings: Settings, topic: str, partition: int, offset: int, shown_bytes: int, *, json: bool
) -> None:
    """Raises BadInput where there is none."""
    from shardlake import topics
    from shardlake.shards.processor import text_of

    servers = settings.kafka_bootstrap_servers
    message = topics.record_at(servers, topic, partition, offset)
    if message is None:
        first, end = topics.offsets(servers, topic).get(partition, (0, 0))
        there = f"{first:,} to {end - 1:,}" if first < end else "nothing"
        msg = f"There is no dead letter at {partition}:{offset} of {topic}."
        raise BadInput(msg, f"Its offsets are {there}; `dlq list {topic}` names them.")
    value = message.value()
    headers = [(name, text_of(text or b"")) for name, text in message.headers() or ()]
    key = None if message.key() is None else text_of(message.key())
    record, why_not = _decoded(pipeline, settings, message)
    err.print(styled("This may be PII: it is as it came, not masked.", "yellow"))
    if json:
        shown = None if value is None else value[:shown_bytes].hex()
        print_json(
            {
                "headers": headers,
                "key": key,
                "bytes": len(value or b""),
                "hex": shown,
                "record": record,
                "why_not": why_not,
            }
        )
        return
    for name, text in headers:
        _say(f"{name:<40} {text}")
    _say(f"{'key':<40} {'none' if key is None else key}")
    _say(f"{'value':<40} {'none' if value is None else f'{len(value):,} bytes'}")
    for line in hex_dump((value or b"")[:shown_bytes]):
        _say(f"  {line}")
    if value is not None and len(value) > shown_bytes:
        _say(f"  and {len(value) - shown_bytes:,} bytes more: --bytes {len(value)} shows all")
    for field, found in (record or {}).items():
        _say(f"{field:<40} {found}")
    if record is None:
        _say(f"{'record':<40} {why_not}")


def hex_dump(value: bytes) -> list[str]:
    """As xxd: where, sixteen bytes in pairs, and what of them is text."""
    lines = []
    for start in range(0, len(value), LINE_BYTES):
        part = value[start : start + LINE_BYTES]
        text = "".join(chr(one) if 32 <= one < 127 else "." for one in part)
        lines.append(f"{start:08x}: {part.hex(' ', -2):<39}  {text}")
    return lines


def _decoded(pipeline: Pipeline, settings: Settings, message: Any) -> tuple[dict[str, Any] | None, str]:
    from shardlake.avro.codec import Decoder, Undecodable
    from shardlake.avro.registry import Registry
    from shardlake.dead_letter import DeadLetter

    letter = DeadLetter.if_ours(message.headers())
    if letter is None:
        return None, "not ours: it lacks the headers that say where it came from"
    topic = pipeline.topics.get(letter.topic)
    if topic is None or topic.schema is None:
        return None, "its topic has no schema in this pipeline"
    if message.value() is None:
        return None, "it has no value here"
    try:
        registry = Registry(settings.schema_registry_url)
        return Decoder(pipeline.schema_of(topic), registry, topic.subject).decode(message.value()), ""
    except Undecodable as error:
        why = error.beside(message.headers())
        return None, f"it cannot be decoded: {why.error_class}, {why.message}"
    except Unavailable as error:
        return None, f"it cannot be decoded now: {error.message}"


def _row(letter: Letter) -> dict[str, Any]:
    source = letter.source
    found: dict[str, Any] = {"partition": letter.partition, "offset": letter.offset, "bytes": letter.size_bytes}
    if source is None:
        return {**found, "error_class": None}
    return {
        **found,
        "source": letter.place,
        "arrival": datetime.fromtimestamp(source.timestamp_ms / 1000, UTC),
        "error_class": source.error_class,
        "attempts": source.attempts,
        "group": source.group or None,
        "times": letter.times,
        "redriven_to": letter.mark.to if letter.mark else None,
    }


def _short(letter: Letter) -> str:
    return letter.source.error_class.rpartition(".")[2] if letter.source else NOT_OURS


def _at(letter: Letter) -> str:
    return f"{letter.partition}:{letter.offset}"


def _time(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _say(line: str) -> None:
    out.print(visible(line))
