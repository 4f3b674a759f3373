"""What a run of load found: `load.json` in its folder, with `samples.jsonl` beside it, a line a second.

Everything a report shows comes from these two files, so that one is made again, or two are compared, at any time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from shardlake.errors import BadInput
from shardlake.kept_json import FirstVersion, parsed

RESULT_FILE = "load.json"
SAMPLES_FILE = "samples.jsonl"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """From the intended time of sending, in milliseconds, after the warm-up.

    `histogram` is HdrHistogram's own encoding (base64, values in microseconds, 1 to an hour, 3 digits). `unknown` are
    acknowledged events of which it is not known when they came there. `note` says in words what was measured, and how
    finely.
    """

    count: int
    unknown: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    histogram: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Whether the load was offered as intended: `slip` is how late events were handed over. Where it was not `kept`,
    `why` says so and all latencies are void."""

    slip: Latency
    offered_per_second: float
    reached_per_second: float
    kept: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """The line through a group's lag after the warm-up: records a second that lag grows by, with the bounds in which
    it is by 95 %. `share` is the slope / the rate; `conclusion` is holds, grows or undecided at 1 % of the rate."""

    group: str
    records_per_second: float
    low: float
    high: float
    share: float
    mean_lag: float
    max_lag: float
    conclusion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the processes of one role took after the warm-up, and how many and large they were at most. Roles: kafka,
    registry, jobmanager, taskmanager, s3, producers, consumers, measuring."""

    role: str
    processes: int
    cpu_seconds: float
    cpu_us_per_event: float
    max_memory_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """What a consumer's own code took, waiting included."""

    consumer: str
    records: int
    us_per_record: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that the scenario did, and what came of it; seconds are since the load began."""

    at_seconds: float
    name: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run. `partial` says why it is not whole, '' where it is; `void` why its latencies are none.

    `latencies` are by what they lead to: "acknowledged", "consumed", "window result", "visible in the lake". `verified`
    is the conclusion of `verify`, `anomalies` what it found, by name.
    """

    command: str
    began: str
    seconds: float
    warm_up_seconds: float
    partial: str = ""
    void: str = ""
    events: int = 0
    acknowledged: int = 0
    failed: int = 0
    unknown: int = 0
    bytes_per_event: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    schedule: Schedule | None = None
    latencies: dict[str, Latency] = field(default_factory=dict)
    lag: list[Slope] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    handlers: list[Handler] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    verified: str = "not checked"
    anomalies: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {"version": VERSION, **asdict(self)}

    def write(self, folder: Path) -> None:
        """Into its folder."""
        (folder / RESULT_FILE).write_text(json.dumps(self.as_json(), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Result:
        """Raises BadInput where the folder holds none that can be read."""
        try:
            content = (folder / RESULT_FILE).read_text()
            parsed(content, FirstVersion)
            return parsed(content, cls)
        except (OSError, ValueError) as error:
            msg = f"{folder} holds no run of load: its {RESULT_FILE} cannot be read ({error})."
            raise BadInput(msg, "`shardlake load --report FOLDER` makes one.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One second. Lag is in records, by group and then by shard; events `sent`, and CPU-seconds, are those since the
    sample before; memory is resident. CPU and memory are by role."""

    at_seconds: float
    sent: int
    lag: dict[str, dict[str, int]]
    cpu_seconds: dict[str, float]
    memory_mb: dict[str, float]


def read_samples(folder: Path) -> list[Sample]:
    """Of a run, in order; a last line that is torn is left out."""
    found = []
    for line in (folder / SAMPLES_FILE).read_text().splitlines():
        try:
            found.append(parsed(line, Sample))
        except ValueError:
            break
    return found


CAPACITY_FILE = "capacity.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A rate that was tried: what its line of lag was, and whether the schedule was kept."""

    rate: float
    slope: Slope | None
    reached_per_second: float
    slip_p99_ms: float
    conclusion: str
    """holds, grows, undecided, or not offered: the load could not be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The highest rate that holds, for one configuration: `kind` is consumers, jobs or producers, `count` their
    workers, parallelism or processes. `bounds` are the highest rate that held and the lowest that did not, 0 where
    there is none; `limit` says what did not hold: lag, the load itself or free memory. `confirmed` of `repeats` runs
    at the rate held."""

    kind: str
    name: str
    count: int
    rate: float
    bounds: tuple[float, float]
    limit: str
    confirmed: int
    repeats: int
    cpu_us_per_event: float
    probes: list[Probe] = field(default_factory=list)
    verified: str = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacities:
    """All that a search found: `capacity.json`."""

    command: str
    began: str
    machine: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    partial: str = ""
    found: list[Capacity] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {"version": VERSION, **asdict(self)}

    def write(self, folder: Path) -> None:
        """Into its folder."""
        (folder / CAPACITY_FILE).write_text(json.dumps(self.as_json(), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Capacities:
        """Raises BadInput where the folder holds none that can be read."""
        try:
            content = (folder / CAPACITY_FILE).read_text()
            parsed(content, FirstVersion)
            return parsed(content, cls)
        except (OSError, ValueError) as error:
            msg = f"{folder} holds no search for capacity: its {CAPACITY_FILE} cannot be read ({error})."
            raise BadInput(msg, "`shardlake load --find-max --report FOLDER` makes one.") from error
