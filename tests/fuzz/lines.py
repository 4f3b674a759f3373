"""Lines of real logs, spoiled, through each producer's parsers.

A line is an event that its schema takes, or is kept whole, or is refused and counted; none costs more than 50 ms of a
thread's CPU.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from producers.log_lines import Reader, is_parsed, reader
from shardlake.avro.codec import MAX_VALUE_BYTES, encoder
from shardlake.pipeline import Pipeline
from shardlake.produce.events import Read, Times, from_file
from shardlake.produce.lines import MAX_LINE_BYTES, Line, decoded
from tests.fuzz.spoiling import MOST_BYTES, spoiled
from tests.fuzz.tries import Fault, Try
from tests.support import ROOT

LIMIT_SECONDS = 0.05
"""Of a thread's CPU, for 64 Ki characters: a byte that is not UTF-8 is four of them to a parser."""
FILE_LINES = 500
NOT_IN_NAMES = re.compile(rb"[\x00/]+|\A\.{1,2}\Z")
REAL = ROOT.parent / "shared" / "data"
"""Logs of others, which are not this project's to give away; without them its own sample is spoiled."""
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"timezone": "America/New_York", "year": 9999},
    {"format": "json", "mapping": ("message=log", "event_time=@timestamp", "status=http.status")},
    {"log_format_string": '%v:%p %h %l %u %t "%r" %>s %b "%{Referer}i" %{X-Forwarded-For}i %D'},
    {"log_format_string": "%{msec}t %U%q %T %{x}C"},
)


def corpus() -> list[list[bytes]]:
    """Real lines without their ends, a list for each file."""
    files = sorted(path for path in REAL.rglob("*") if path.suffix in (".log", ".json", ".txt", ".csv"))
    files = files or [ROOT / "tests" / "data" / "access.log"]
    found = [[line for line in path.read_bytes().splitlines() if line] for path in files]
    return [lines for lines in found if lines]


def tries(chance: Random) -> Iterator[Try]:
    """Mostly a line through one reader, and now and then a file of such lines through `from_file`."""
    files = corpus()
    readers = [reader(**options) for options in OPTIONS]
    schema = Pipeline.load(ROOT).schemas["app_log"]
    encode = encoder(schema, 1)
    kept: list[bytes] = []

    def one(read: Reader, raw: bytes) -> str:
        text = decoded(raw)
        began = time.thread_time()
        event = read(Line("a.log", 0, 1, text), text, "a")
        limit = LIMIT_SECONDS * max(1, len(text) / MOST_BYTES)
        if time.thread_time() - began > limit:
            _again(read, text, limit)
        if read.unforeseen.lines:
            note = read.notes()
            read.unforeseen.lines.clear()
            raise Fault(note)
        if not is_parsed(event) and event["raw"] != text:
            raise Fault("a line that no parser takes is not kept whole")
        Times("event_time", Read(), lambda _: None).look(event, "a.log:1")
        if len(encode(event)) > MAX_VALUE_BYTES:
            return "refused: too large"
        return "event" if is_parsed(event) else "kept whole"

    while True:
        # The automatic reader sees most lines, as with most users.
        read = chance.choice(readers) if chance.random() < 0.5 else readers[0]
        raw = spoiled(chance, chance.choice(chance.choice(files)), chance.choice(chance.choice(files)))
        kept.append(raw)
        yield raw, partial(one, read, raw)
        if len(kept) >= FILE_LINES:
            content = chance.choice((b"\n", b"\n", b"\r\n", b"\n\n", b"\r")).join(kept) + chance.choice((b"", b"\n"))
            kept.clear()
            name = NOT_IN_NAMES.sub(b"", spoiled(chance, b"access.log", b"", 60)) or b"a"
            as_now = chance.random() < 0.2
            yield (name, content), partial(_file, name, content, readers[0], as_now, encode)


def _again(read: Reader, text: str, limit: float) -> None:
    """Raise Fault where a line costs too much each of three times."""
    costs = []
    for _ in range(3):
        began = time.thread_time()
        read(Line("a.log", 0, 1, text), text, "a")
        costs.append(time.thread_time() - began)
    if min(costs) > limit:
        raise Fault(f"a line of {len(text):,} characters costs {1000 * min(costs):.0f} ms")


def _file(name: bytes, content: bytes, read: Reader, as_now: bool, encode: Callable[[Any], bytes]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / os.fsdecode(name)
        path.write_bytes(content)
        count, events = Read(), 0
        for (source, _), event in from_file(str(path), read, is_parsed, "event_time", as_now, count, lambda _: None):
            encode(event)
            source.encode()
            events += 1
    lines = sum(1 for line in content.split(b"\n") if line.strip(b"\r"))
    if count.lines != lines or events + count.refused != lines:
        raise Fault(f"{lines} lines, of which {count.lines} were counted: {events} events, {count.refused} refused")
    if count.refused and max(map(len, content.split(b"\n"))) < MAX_LINE_BYTES:
        raise Fault("a line was refused that is not too long")
    return "file"
