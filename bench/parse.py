"""`make bench-parse`: lines a second, and CPU a line, of the parsers, beside a bare `re.match` and Vector's parsers.

All is measured in one run, in turns, so that what else the machine does falls on each alike: `auto`, which recognises
a file's format, beside the format that is named, and on mixed lines beside each line's own; `re.match` with the same
pattern, which yields groups and no values; and, with `--peer PYTHON` of an environment that has it, pyVRL's `parse_…`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from producers import access_log, log_lines, syslog
from shardlake.produce.lines import Line

LIMIT = 1.3
"""`auto` may take so many times the CPU of the format that is named."""
SAMPLES = {
    "access": '192.0.2.{n} - - [03/Nov/2026:12:{m:02}:{s:02} +0000] "GET /cart/{n}?page=7 HTTP/1.1" 200 17{n} '
    '"https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64)" {n}',
    "json": '{{"timestamp":"2026-11-03T12:{m:02}:{s:02}.5Z","level":"info","service":"shop","message":"paid {n}",'
    '"trace_id":"7f3a{n}","latency_ms":{n}.5,"status":200}}',
    "log4j_dash": "2026-11-03 12:{m:02}:{s:02},500 INFO  [http-{n}] com.example.shop.Pay - paid order {n} by card",
    "syslog": "<165>Nov  3 12:{m:02}:{s:02} web{n} sshd[8{n}]: Accepted publickey for jo from 192.0.2.{n} port 5000",
}
BARE = {
    "access": access_log.LINE,
    "json": re.compile(r"\{.*\}"),
    "log4j_dash": next(re.compile("".join(f.parts)) for f in log_lines.all_formats() if f.name == "log4j_dash"),
    "syslog": syslog.RFC3164,
}
VRL = {
    "access": '. = parse_apache_log!(.message, format: "combined")',
    "json": ". = parse_json!(.message)",
    "syslog": ". = parse_syslog!(.message)",
}
PEER = """
import json, sys, time, statistics
from pyvrl import Transform
given = json.load(sys.stdin)
transform = Transform(given["program"])
events = [{"message": line} for line in given["lines"]]
costs = []
for _ in range(given["rounds"]):
    began = time.process_time()
    for event in events:
        transform.remap(event)
    costs.append((time.process_time() - began) / len(events))
print(json.dumps(statistics.median(costs) * 1e6))
"""


def lines_of(sample: str, count: int) -> list[str]:
    """Lines of one kind, ten of each second, as a log has them."""
    return [sample.format(n=n % 250, m=n // 600 % 60, s=n // 10 % 60) for n in range(count)]


def parse_cost(lines: list[str], *formats: str) -> float:
    """Seconds of CPU a line. With several formats, line n is of the n-th of them, in turns."""
    readers = [log_lines.reader(format) for format in formats]
    given = [Line("bench.log", number, number, line) for number, line in enumerate(lines)]
    began = time.process_time()
    for read, line, text in zip(cycle(readers), given, lines, strict=False):
        read(line, text, "bench")
    cost = (time.process_time() - began) / len(lines)
    unparsed = sum(read.recogniser.unparsed.lines for read in readers)
    if unparsed:
        sys.exit(f"{unparsed} lines of {', '.join(formats)} were not parsed")
    return cost


def bare_cost(lines: list[str], pattern: re.Pattern[str]) -> float:
    """Seconds of CPU a line for the groups of one pattern."""
    match = pattern.match
    began = time.process_time()
    for text in lines:
        found = match(text)
        if found is not None:
            found.groups()
    return (time.process_time() - began) / len(lines)


def peer_cost_us(python: Path, lines: list[str], program: str, rounds: int) -> float:
    """Microseconds a line of pyVRL, in the environment of `python`."""
    given = json.dumps({"program": program, "lines": lines, "rounds": rounds})
    done = subprocess.run([str(python), "-c", PEER], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"pyVRL failed: {done.stderr.strip().splitlines()[-1:]}")
    return float(json.loads(done.stdout))


def main() -> None:
    """Measure and print. Exit code 1 where `auto` costs more than 1.3 times the format that is named."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--lines", type=int, default=20_000)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--peer", type=Path, metavar="PYTHON", help="a Python that has pyVRL 0.0.2")
    chosen = arguments.parse_args()
    logs = {name: lines_of(sample, chosen.lines) for name, sample in SAMPLES.items()}
    each = [iter(lines) for lines in logs.values()]
    mixed = [next(each[number % len(each)]) for number in range(chosen.lines)]
    ways: dict[tuple[str, str], Callable[[], float]] = {}
    for name, lines in logs.items():
        ways[name, "named"] = lambda lines=lines, name=name: parse_cost(lines, name)  # type: ignore[misc]
        ways[name, "auto"] = lambda lines=lines: parse_cost(lines, "auto")  # type: ignore[misc]
        ways[name, "re.match"] = lambda lines=lines, name=name: bare_cost(lines, BARE[name])  # type: ignore[misc]
    ways["mixed", "named"] = lambda: parse_cost(mixed, *logs)
    ways["mixed", "auto"] = lambda: parse_cost(mixed, "auto")
    costs: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    for number in range(chosen.rounds):
        for way, measure in list(ways.items())[:: 1 if number % 2 else -1]:
            costs[way].append(measure())
    print(f"{'lines':<12}{'parser':<10}{'us a line':>10}{'lines a second':>16}{'of named':>10}")
    failed = False
    medians = {way: statistics.median(found) * 1e6 for way, found in costs.items()}
    for (name, parser), cost in medians.items():
        share = cost / medians[name, "named"]
        failed = failed or (parser == "auto" and share > LIMIT)
        print(f"{name:<12}{parser:<10}{cost:>10.2f}{1e6 / cost:>16,.0f}{share:>10.2f}")
    for name, program in VRL.items() if chosen.peer else ():
        cost = peer_cost_us(chosen.peer, logs[name][:2000], program, 3)
        print(f"{name:<12}{'pyVRL':<10}{cost:>10.2f}{1e6 / cost:>16,.0f}{cost / medians[name, 'named']:>10.2f}")
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
