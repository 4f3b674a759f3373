"""What a report says of one run, in order."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

from shardlake.load.document import (
    UNKNOWN,
    Banner,
    Document,
    Section,
    Table,
    facts,
    milliseconds,
    number,
    percent,
    rate,
)
from shardlake.load.result import SAMPLES_FILE, Latency, Result, Sample
from shardlake.load.verdict import judgements, void_because

RAW_BYTES = 900_000
"""Of samples within the page; an hour of them may be more."""
LATENCY_COLUMNS = (
    "latency", "count", "unknown", "p50, ms", "p90, ms", "p99, ms", "p99.9, ms", "max, ms", "what was measured",
)  # fmt: skip


def of_run(result: Result, samples: Sequence[Sample]) -> Document:
    """All of it; plots are named and drawn elsewhere."""
    return Document(
        title=_title(result),
        judgements=judgements(result),
        banners=tuple(_banners(result)),
        sections=(
            _offered(result), _latencies(result), _lag(result), _usage(result), _acts(result), _verified(result),
            Section(title="Command", code=result.command),
            facts("Settings", result.settings), facts("Machine", result.machine), facts("Versions", result.versions),
            _raw(samples),
        ),
    )  # fmt: skip


def _title(result: Result) -> str:
    verdict = ", ".join(map(str, judgements(result)))
    words = [word for word, why in (("partial", result.partial), ("void", void_because(result))) if why]
    offered = f"{rate(result.schedule.offered_per_second)} events a second for " if result.schedule else ""
    said = f"{' and '.join(words)}: {verdict}" if words else verdict
    return f"{said[0].upper()}{said[1:]} — load of {offered}{number(result.seconds)} s"


def _banners(result: Result) -> list[Banner]:
    found = []
    if result.partial:
        found.append(
            Banner(
                "Partial", f"This run is not whole: {result.partial.rstrip('.')}. Its figures are of what there was."
            )
        )
    void = void_because(result)
    if void:
        said = f"The latencies of this run are void: {void}. They are struck out below and none is to be quoted."
        found.append(Banner("Void", said))
    if result.anomalies or result.verified == "violated":
        named = ", ".join(f"{count:,} {name}" for name, count in sorted(result.anomalies.items())) or "see verify"
        found.append(Banner("Violated", f"Not all that was acknowledged is there as it should be: {named}."))
    return found


def _offered(result: Result) -> Section:
    rows = [
        ("began", result.began),
        ("lasted, s", number(result.seconds, 1)),
        ("of it warm-up, not counted, s", number(result.warm_up_seconds, 1)),
        ("events", number(result.events)),
        ("acknowledged", number(result.acknowledged)),
        ("failed", number(result.failed)),
        ("unknown", number(result.unknown)),
        ("bytes an event", number(result.bytes_per_event, 1)),
    ]
    if result.schedule is None:
        words: tuple[str, ...] = ("It is not known whether the load was offered as intended.",)
        tables = [Table(columns=("figure", "value"), rows=tuple(rows))]
    else:
        schedule = result.schedule
        rows[4:4] = [
            ("offered, events a second", rate(schedule.offered_per_second)),
            ("reached, events a second", rate(schedule.reached_per_second)),
        ]
        words = ("The schedule was kept." if schedule.kept else f"The schedule was not kept: {void_because(result)}.",)
        slip = Table(columns=LATENCY_COLUMNS, rows=(_latency("schedule slip", schedule.slip),), words_last=1)
        tables = [Table(columns=("figure", "value"), rows=tuple(rows)), slip]
    return Section(title="Load offered", words=words, tables=tuple(tables), plots=("rate",))


def _latencies(result: Result) -> Section:
    void = void_because(result)
    if void:
        words: tuple[str, ...] = (f"Void: {void}. What is struck out was measured and does not count.",)
    else:
        words = ("From the intended time of sending, after the warm-up.",)
    if not result.latencies:
        return Section(title="Latencies", words=(*words, "None was measured."))
    rows = tuple(_latency(name, one) for name, one in result.latencies.items())
    table = Table(columns=LATENCY_COLUMNS, rows=rows, words_last=1, struck=bool(void))
    return Section(title="Latencies", words=words, tables=(table,), plots=("latencies",))


def _latency(name: str, found: Latency) -> tuple[str, ...]:
    values = (found.p50_ms, found.p90_ms, found.p99_ms, found.p999_ms, found.max_ms)
    shown = [milliseconds(value) if found.count else UNKNOWN for value in values]
    return (name, number(found.count), number(found.unknown), *shown, found.note)


def _lag(result: Result) -> Section:
    if not result.lag:
        return Section(title="Lag", words=("No slope of lag is known.",), plots=("lag",))
    rows = tuple(
        (
            one.group, number(one.records_per_second, 2), f"{number(one.low, 2)} to {number(one.high, 2)}",
            percent(one.share), rate(one.mean_lag), rate(one.max_lag), one.conclusion,
        )
        for one in result.lag
    )  # fmt: skip
    columns = (
        "group", "slope, records a second", "by 95 % within", "of the rate", "lag, mean", "lag, max", "conclusion",
    )  # fmt: skip
    words = (
        "The line through each group's lag after the warm-up; lag holds where it grows by less than 1 % of the rate."
    )
    return Section(
        title="Lag", words=(words,), tables=(Table(columns=columns, rows=rows, words_last=1),), plots=("lag",)
    )


def _usage(result: Result) -> Section:
    tables = []
    if result.usage:
        columns = ("role", "processes", "CPU, s", "CPU, µs an event", "memory, highest, MB")
        rows = tuple(
            (
                one.role, number(one.processes), number(one.cpu_seconds, 1), number(one.cpu_us_per_event, 1),
                number(one.max_memory_mb),
            )
            for one in result.usage
        )  # fmt: skip
        tables.append(Table(columns=columns, rows=rows))
    if result.handlers:
        handlers = tuple((one.consumer, number(one.records), number(one.us_per_record, 1)) for one in result.handlers)
        tables.append(Table(columns=("consumer", "records", "in its own code, µs a record"), rows=handlers))
    words = () if result.usage else ("What processes took is not known.",)
    return Section(title="What it took", words=words, tables=tuple(tables), plots=("cpu", "memory"))


def _acts(result: Result) -> Section:
    if not result.acts:
        return Section(title="Acts of the scenario", words=("There were none.",))
    rows = tuple(
        (str(place), number(act.at_seconds, 1), act.name, act.said) for place, act in enumerate(result.acts, 1)
    )
    table = Table(columns=("act", "at, s", "what", "what came of it"), rows=rows, words_last=2)
    return Section(title="Acts of the scenario", words=("Numbered as in the plots.",), tables=(table,))


def _verified(result: Result) -> Section:
    words = (f"shardlake verify says: {result.verified}.",)
    if not result.anomalies:
        return Section(title="Verified", words=words)
    rows = tuple((name, number(count)) for name, count in sorted(result.anomalies.items()))
    return Section(title="Verified", words=words, tables=(Table(columns=("anomaly", "times"), rows=rows),))


def _raw(samples: Sequence[Sample]) -> Section:
    if not samples:
        return Section(title="Samples", words=("There are none.",))
    lines = _csv(samples)
    # The head and each line are of some length: of too many, every n-th is shown.
    step = -(-sum(map(len, lines)) // RAW_BYTES) or 1
    shown = [lines[0], *lines[1::step]]
    of_them = f"is one in {step} of the" if step > 1 else "are all"
    words = f"{len(samples):,} seconds were sampled; {SAMPLES_FILE} has them, line by line."
    held = f"Here {of_them} {len(samples):,}, lag in records, CPU in seconds since the sample before, memory in MB."
    return Section(title="Samples", words=(words, held), raw="\n".join(shown), folded=True)


def _csv(samples: Sequence[Sample]) -> list[str]:
    shards = sorted({(group, shard) for one in samples for group, lags in one.lag.items() for shard in lags})
    roles = sorted({role for one in samples for role in (*one.cpu_seconds, *one.memory_mb)})
    file = StringIO()
    write = csv.writer(file, lineterminator="\n").writerow
    heads = [f"lag {group} {shard}" for group, shard in shards]
    write(["seconds", "sent", *heads, *(f"cpu {role}" for role in roles), *(f"memory {role}" for role in roles)])
    for one in samples:
        lags = [one.lag.get(group, {}).get(shard, "") for group, shard in shards]
        cpu = [_short(one.cpu_seconds.get(role), 3) for role in roles]
        memory = [_short(one.memory_mb.get(role), 1) for role in roles]
        write([_short(one.at_seconds, 2), one.sent, *lags, *cpu, *memory])
    return file.getvalue().splitlines()


def _short(value: float | None, digits: int) -> str:
    return "" if value is None else f"{round(value, digits):g}" if value < 1e5 else str(round(value))
