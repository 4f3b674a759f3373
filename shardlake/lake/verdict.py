"""What `verify` found: the anomalies by name, and what could not be checked.

The names are Jepsen's where Jepsen has one (its Kafka and total-queue workloads):

    lost-write            acknowledged, and not in the topic; or in the topic, and neither in the lake nor a dead letter
    duplicate             one event at two places of the topic, twice in the lake, or twice among the dead letters
    unexpected            in the topic or in the lake, and nobody sent it
    G1a                   seen although its transaction was aborted, or although it failed for certain
    inconsistent-offsets  another record at a place than the one that was acknowledged there
    nonmonotonic-send     a producer's events in another order than it sent them
    wrong-value           a row, or a dead letter, with another value than the record in the topic
    misrouted             a valid event among the dead letters, or in the lake what is no event
    late-unlisted         a window lacks late events that late_events does not list
    missing-window, unexpected-window, duplicate-window, wrong-window
                          a window that the archive does not account for
    vanished              a file of the lake that was seen, and is gone or of another size
    unreadable-file, empty-file
    recreated-topic       the lake, or a run, is of another topic of the same name than the one that was read
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

VERDICT_FILE = "verdict.json"
"""In a run's folder: `Verdict.as_json`."""
NAMED = 1000
"""So many of each name are named, all are counted."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One finding. `where` is a place (`app-logs/2/17`), a window's key or a file; `files` are those it is in."""

    name: str
    where: str
    what: str
    files: tuple[str, ...] = ()


@dataclass(slots=True)
class Findings:
    """What a check found. `unchecked` are sentences on what cannot be concluded, `notes` on what is as it may be.

    `source` is the topic of events that was checked, None where it was not one of them.
    """

    check: str
    checked: int = 0
    unit: str = "records"
    counts: dict[str, int] = field(default_factory=dict)
    anomalies: list[Anomaly] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    source: str | None = None

    def add(self, anomaly: Anomaly) -> None:
        """Count it, and name it where there are not too many of its name."""
        self.counts[anomaly.name] = self.counts.get(anomaly.name, 0) + 1
        if self.counts[anomaly.name] <= NAMED:
            self.anomalies.append(anomaly)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many records a topic of events has of each kind, and how many dead letters and rows of the lake are its."""

    topic: str
    events: int
    poison: int
    null_values: int
    dead_letters: int
    rows: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks. `conclusion` is holds, violated, or inconclusive where nothing is wrong in what could be checked.

    `sources` are the topics of events that were read.
    """

    findings: tuple[Findings, ...]
    seconds: dict[str, float]
    sources: tuple[Counted, ...] = ()

    @property
    def counts(self) -> Counter[str]:
        """Anomalies by name."""
        return sum((Counter(found.counts) for found in self.findings), Counter[str]())

    @property
    def conclusion(self) -> str:
        """See above."""
        if self.counts:
            return "violated"
        return "inconclusive" if any(found.unchecked for found in self.findings) else "holds"

    def as_json(self) -> dict[str, Any]:
        """For programs, and for the run's folder."""
        return {
            "conclusion": self.conclusion,
            "counts": dict(self.counts),
            "checks": [asdict(found) for found in self.findings],
            "sources": [asdict(source) for source in self.sources],
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }
