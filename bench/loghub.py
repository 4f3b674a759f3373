"""`python -m bench.loghub FOLDER`: the lines of loghub's systems against their true time, level, component and text.

FOLDER has NAME.log and NAME.csv, as https://github.com/logpai/loghub has them. Each line is parsed as `shardlake
produce` parses it, with the formats that the file's lines bring up; nothing is said of the system. Times are UTC, and
where a log has no year, the year is not compared.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from producers import fields, log_lines

Row = dict[str, str]
LETTERS = {"V": "TRACE", "D": "DEBUG", "I": "INFO", "W": "WARN", "E": "ERROR", "F": "FATAL"}
YEARLESS = 1904
COMPARED = ("time", "level", "component", "text")


def _at(layout: str, *columns: str) -> Callable[[Row], datetime]:
    return lambda row: datetime.strptime(" ".join(row[one] for one in columns), layout).replace(tzinfo=UTC)


TIMES: dict[str, Callable[[Row], datetime]] = {
    "Android": _at("%Y %m-%d %H:%M:%S.%f", "Year", "Date", "Time"),
    "Apache": _at("%a %b %d %H:%M:%S %Y", "Time"),
    "HDFS": _at("%y%m%d %H%M%S", "Date", "Time"),
    "Hadoop": _at("%Y-%m-%d %H:%M:%S,%f", "Date", "Time"),
    "Linux": _at("%Y %b %d %H:%M:%S", "Year", "Month", "Date", "Time"),
    "OpenStack": _at("%Y-%m-%d %H:%M:%S.%f", "Date", "Time"),
    "Spark": _at("%y/%m/%d %H:%M:%S", "Date", "Time"),
    "Zookeeper": _at("%Y-%m-%d %H:%M:%S,%f", "Date", "Time"),
}


def wrong(system: str, row: Row, found: dict[str, Any]) -> list[str]:
    """Name the parts of a line that differ from loghub's own split."""
    level = None if system == "Linux" else LETTERS.get(row["Level"]) or fields.level(row["Level"])  # there it is a host
    component = row.get("Component", "")
    if system == "Zookeeper":  # loghub cuts the thread's name at its first slash or colon: the class is at the end
        component = component.rpartition(":")[2]
    moment = found.get("event_time")
    true = TIMES[system]({**row, "Year": str(YEARLESS)})
    if moment is not None and true.year == YEARLESS:
        moment = moment.replace(year=YEARLESS)
    component_found = found.get("service" if system == "Linux" else "logger") or ""
    same = {
        "time": moment == true,
        "level": found.get("level") == level,
        "component": component_found == component,
        "text": (found.get("message") or "").strip() == row["Content"].strip(),
    }
    return [part for part in COMPARED if not same[part]]


def compared(folder: Path, system: str) -> tuple[int, Counter[str], dict[str, int], list[str]]:
    """How many lines a system's log has, how many are wrong in each part, the formats, and the first wrong lines."""
    reader = log_lines.reader()
    counts: Counter[str] = Counter()
    examples: list[str] = []
    lines = (folder / f"{system}.log").read_text(encoding="utf-8", errors="backslashreplace").split("\n")
    with (folder / f"{system}.csv").open(encoding="utf-8", errors="backslashreplace", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, (row, line) in enumerate(zip(rows, lines, strict=False), 1):
        found = reader.recogniser.read(system, number, line.rstrip("\r")) or {}
        parts = wrong(system, row, found)
        counts.update(parts)
        counts["line"] += bool(parts)
        if parts and len(examples) < 3:
            examples.append(f"{system}:{number} {', '.join(parts)}: {line[:160]}")
    return len(rows), counts, reader.lines(), examples


def main() -> None:
    """Print a table, and the first lines that are wrong. Exit code 1 where more than 0.5 % of a system's lines are."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("folder", type=Path)
    folder = arguments.parse_args().folder
    failed = False
    print("| system | lines | " + " | ".join(COMPARED) + " | all right | formats |")
    print("|---|---|---|---|---|---|---|---|")
    for system in TIMES:
        lines, counts, formats, examples = compared(folder, system)
        shares = [f"{100 * (1 - counts[part] / lines):.2f} %" for part in (*COMPARED, "line")]
        named = ", ".join(f"{name} {count:,}" for name, count in formats.items())
        print(f"| {system} | {lines:,} | " + " | ".join(shares) + f" | {named} |")
        for one in examples:
            print(f"  {one}", file=sys.stderr)
        failed = failed or counts["line"] > 0.005 * lines
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
