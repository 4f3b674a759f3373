"""`make bench-lines`: thread CPU time of each parser for the lines that cost it most, of 64 KiB and of 1 MiB."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from producers.log_lines import reader
from shardlake.produce.lines import MAX_LINE_BYTES, Line

LIMIT_BYTES = 64 << 10
LIMIT_MS = 50.0
TRIES = 3
HERE = Line("hostile.log", 0, 1, "")
HEADERS = " ".join(f"%{{X-{letter}}}i" for letter in "ABCDEFGH")
Case = tuple[str, dict[str, Any], Callable[[int], str]]


def _filled(start: str, part: str, end: str, size_bytes: int) -> str:
    return start + part * ((size_bytes - len(start) - len(end)) // len(part)) + end


def _case(name: str, start: str, part: str, end: str = "", **options: Any) -> Case:
    return name, options, lambda size_bytes: _filled(start, part, end, size_bytes)


CLIENT = '192.0.2.1 - - [03/Nov/2026:12:00:00 +0000] "'
SYSLOG = "<13>1 2026-11-03T12:00:00Z h a - - "
CASES: list[Case] = [
    _case("access: a user of many words", "192.0.2.1 - ", "a "),
    _case("access: escapes in quotes", CLIENT, '\\"', ' HTTP/1.1" 200 1'),
    _case("access: a quote that never ends", CLIENT, "\\\\"),
    _case("access: a long host", "", "a.", ":80 "),
    _case("5424: one parameter again and again", SYSLOG + "[e", ' a="1"', "] x"),
    _case("5424: many parameters, never closed", SYSLOG + "[e", ' a="1"'),
    _case("5424: many elements", SYSLOG, '[e a="1"]', " x"),
    _case("5424: an element again and again, no end", SYSLOG, '[e a="\\]"]', "["),
    _case("5424: a value of escapes", SYSLOG + '[e a="', "\\]", '"] x'),
    _case("5424: a value that never ends", SYSLOG + '[e a="', "\\]"),
    _case("3164: a long process id", "Nov  3 12:00:00 h a[", "1", "]: x"),
    _case("3164: a long time", "2026-11-03T12:00:00.", "1", "Z h a: x"),
    _case("json: a number of many digits", '{"msg":"a","n":0.', "1", "}"),
    _case("json: a latency of many digits", '{"msg":"a","latency_ms":"0.', "1", '"}'),
    _case("json: a latency of many zeros", '{"msg":"a","latency_ms":"1.', "0", '1"}'),
    _case("json: an epoch of many digits", '{"msg":"a","ts":"1793707200.', "1", '"}'),
    _case("json: many numbers", '{"msg":"a","n":[0', ",0.1", "]}"),
    _case("json: nested", '{"msg":"a","n":', "[", "}"),
    _case("json: escapes", '{"msg":"', "\\ud83d", '"}'),
    _case("json: many members", "{", '"a":1,', '"msg":"a"}'),
    _case("auto: spaces behind a time", "2026-11-03 12:00:00", " ", "INFO x"),
    _case("auto: words behind a time", "2026-11-03 12:00:00 ", "a ", "INFO x"),
    _case("auto: brackets behind a time", "[2026-11-03 12:00:00] ", "[a] ", "INFO x"),
    _case("logback: a thread of brackets", "2026-11-03 12:00:00,500 [", "] INFO a", format="logback"),
    _case("kafka: a message of brackets", "[2026-11-03 12:00:00,500] INFO ", "(a", ")", format="kafka"),
    _case("logfmt: a value that never ends", 'level=info msg="', '\\"', format="logfmt"),
    _case("layout: values of any letters", "", "- ", "x", layout="%t - %m - %x - %c"),
    _case("log format: eight headers without quotes", "", " ", "x", log_format_string=f"%h {HEADERS} %D"),
    _case("log format: eight headers, a line that ends otherwise", "", "a ", "]", log_format_string=f"{HEADERS} %t"),
    _case("log format: path and query", "", "a", " 200 x", log_format_string="%U%q %s"),
    _case("log format: quoted headers", '"', '\\"', '"', log_format_string='"%{A}i" "%{B}i" %s'),
]  # fmt: skip


def cost_ms(options: dict[str, Any], line: str) -> float:
    """The least of three."""
    return min(_once_ms(options, line) for _ in range(TRIES))


def _once_ms(options: dict[str, Any], line: str) -> float:
    read = reader(**options)
    began = time.thread_time()
    read(HERE, line, "file")
    return 1000 * (time.thread_time() - began)


def measured(sizes: list[int], only: str) -> Iterator[tuple[str, list[float]]]:
    """Each case's name, and what its line of each size costs in milliseconds."""
    for name, options, line_of in CASES:
        if only in name:
            yield name, [cost_ms(options, line_of(size_bytes)) for size_bytes in sizes]


def main() -> None:
    """Measure and print. Exit code 1 where a line of 64 KiB costs more than the limit."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--sizes", type=int, nargs="*", default=[LIMIT_BYTES, MAX_LINE_BYTES], metavar="BYTES")
    arguments.add_argument("--only", default="", help="cases with this in their names")
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    found = {}
    for name, costs in measured(chosen.sizes, chosen.only):
        found[name] = costs
        if not chosen.json:
            print(f"{name:<56}", *(f"{cost:>10.1f} ms" for cost in costs), flush=True)
    if chosen.json:
        print(json.dumps(found))
    raise SystemExit(any(cost > LIMIT_MS for costs in found.values() for cost in costs[: LIMIT_BYTES in chosen.sizes]))


if __name__ == "__main__":
    main()
