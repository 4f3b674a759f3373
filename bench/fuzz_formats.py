"""`make fuzz-formats`: sample lines of all formats, cut, doubled, spliced and with odd letters, through all parsers.

Each line must become an event, parsed or whole in `raw`; no parser may fail, and none may take long.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator

from producers import log_lines
from shardlake.produce.lines import Line

ODD = ["\x00", "\ufeff", "\\xe9", "\ud7ff", "\u2028", "9" * 30, "é", *'"\\][%{ \t=:-']
LIMIT_MS = 50.0


def spoiled(draw: random.Random, samples: list[str]) -> Iterator[str]:
    """Yield spoiled lines for ever."""
    while True:
        line, other = draw.choice(samples), draw.choice(samples)
        at, till = sorted((draw.randrange(len(line) + 1), draw.randrange(len(line) + 1)))
        yield draw.choice(
            (
                line[:at],
                line[at:],
                line + line,
                line[:at] + other[draw.randrange(len(other)) :],
                line[:at] + draw.choice(ODD) + line[at:],
                line[:at] + line[till:],
                line[:till] + line[at:],
            )
        )


def run(seed: int, lines: int) -> tuple[log_lines.Reader, float]:
    """The reader that has read so many lines, and the CPU of the line that cost most, in milliseconds.

    Raises AssertionError where a line is no event, or not accounted for.
    """
    samples = [sample.line for format in log_lines.all_formats() for sample in format.samples]
    source = spoiled(random.Random(seed), samples)
    read = log_lines.reader(year=2026)
    most = 0.0
    for number in range(lines):
        text = next(source)
        began = time.thread_time()
        event = read(Line(f"{number % 50}.log", number, number, text), text, "fuzz")
        most = max(most, time.thread_time() - began)
        assert event["service"], text
        assert log_lines.is_parsed(event) or event["raw"] == text, text
    assert sum(read.read_lines().values()) == lines
    return read, most * 1000


def main() -> None:
    """Run and print. Exit code 1 where a parser failed or a line took long."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--lines", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    read, most_ms = run(chosen.seed, chosen.lines)
    for note in read.unforeseen.notes():
        print(note)
    unparsed = read.read_lines()["none"]
    print(
        f"{chosen.lines:,} lines of seed {chosen.seed}: {unparsed:,} whole, the others of {len(read.lines())} formats"
    )
    print(f"the slowest took {most_ms:.1f} ms")
    raise SystemExit(bool(read.unforeseen.lines) or most_ms > LIMIT_MS)


if __name__ == "__main__":
    main()
