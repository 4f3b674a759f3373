"""The checker is checked: bugs planted in workers and in files, each seen under its name, and clean runs in which it
sees nothing. Bugs planted in producers and jobs are in test_checker_live.py."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer

from shardlake.ledger import read
from shardlake.testing.stack import RunningStack
from tests.e2e.checking import by_hand, ended, verify
from tests.support import ROOT, Topic, event

pytestmark = pytest.mark.e2e

REAL_LOG = ROOT.parent / "shared" / "data" / "apache_access.log"
RATE = 500
JOBS = ("archive", "service_health", "sessions")
LOADS = (
    (),
    ("--with", "late=0.05"),
    ("--with", "duplicates=0.05"),
    ("--with", "out_of_order=0.3"),
    ("--with", "zipf=0", "--with", "clients=3"),
    ("--poison", "150"),
)


@dataclass(frozen=True)
class Runs:
    """A stack on which several runs were made, all to their end."""

    stack: RunningStack
    folders: list[Path]

    def verify(self, exit_code: int, lake: Path | None = None, runs: list[Path] | None = None) -> dict[str, Any]:
        """The verdict, on another lake where one is given."""
        return verify(self.stack, exit_code, self.folders if runs is None else runs, lake)

    def anomalies(self, lake: Path | None = None, runs: list[Path] | None = None) -> list[dict[str, Any]]:
        """Those of a verdict that names some."""
        return [one for check in self.verify(1, lake, runs)["checks"] for one in check["anomalies"]]

    @property
    def lake(self) -> Path:
        """Where the jobs write: this module does harm to copies of it, and so its stack keeps it in files."""
        assert isinstance(self.stack.settings.lake, Path)
        return self.stack.settings.lake


@pytest.fixture(scope="module")
def runs(shardlake_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Ten runs of different kinds, one after the other, through jobs that are stopped and resumed in between."""
    folder = tmp_path_factory.mktemp("runs")
    folders: list[Path] = []
    stack = shardlake_stack.emptied(ROOT)

    def produce(*arguments: str) -> None:
        folders.append(folder / f"{len(folders):02}")
        stack.shardlake("produce", *arguments, "--ledger", str(folders[-1]))

    stack.shardlake("jobs", "run", *JOBS)
    for seed, load in enumerate(LOADS[:3]):
        produce("--synthetic", "--rate", str(RATE), "--duration", "2", "--seed", str(seed), *load)
    stack.shardlake("jobs", "stop")
    for seed, load in enumerate(LOADS[3:], 3):
        produce("--synthetic", "--rate", str(RATE), "--duration", "2", "--seed", str(seed), *load)
    stack.shardlake("jobs", "run", *JOBS)
    log = REAL_LOG if REAL_LOG.exists() else ROOT / "tests" / "data" / "access.log"
    produce(str(log), "--as-now")
    produce(str(log), "--service", "another")
    produce("--follow", str(log), "--until-idle", "1")
    (folder / "lines.json").write_text('{"ts": "2026-11-24T10:00:00Z", "msg": "one"}\nno JSON\n')
    produce(str(folder / "lines.json"), "--format", "json")
    stack.shardlake("jobs", "finish")
    return Runs(stack, folders)


@pytest.mark.parametrize("first", [0, 5, 9])
def test_ten_clean_runs_raise_nothing(runs: Runs, first: int) -> None:
    assert len(runs.folders) == 10
    # To a run, what others wrote since it began is unexpected, unless their runs are named too.
    found = runs.verify(0, runs=runs.folders[first:])
    assert found["conclusion"] == "holds"
    sent = sum(len(read(path).digests) for one in runs.folders[first:] for path in one.glob("*.ledger"))
    assert found["checks"][1]["checked"] == sent
    assert found["checks"][2]["checked"] >= sent
    checked = {check["check"]: check["checked"] for check in found["checks"]}
    assert checked["the topic service-health, against the lake"] == checked["service_health, counted again"] > 0


def test_what_another_run_sent_is_unexpected_to_one(runs: Runs) -> None:
    found = runs.verify(1, runs=runs.folders[8:9])
    assert found["counts"] == {"unexpected": 2}


@pytest.fixture
def lake(runs: Runs, tmp_path: Path) -> Path:
    """A copy of the lake, to do harm to."""
    return Path(shutil.copytree(runs.lake, tmp_path / "lake"))


def files(lake: Path, table: str) -> list[Path]:
    return sorted((lake / table).rglob("[!._]*.parquet"), key=lambda path: path.stat().st_size)


def places(file: Path) -> set[str]:
    rows = pq.read_table(file, columns=["topic", "partition", "offset"]).to_pylist()
    return {f"{row['topic']}/{row['partition']}/{row['offset']}" for row in rows}


def test_a_file_that_was_deleted(runs: Runs, lake: Path) -> None:
    victim = files(lake, "app_logs")[0]
    gone = places(victim)
    name, size = victim.relative_to(lake), victim.stat().st_size
    (runs.folders[0] / "visible.txt").write_text(f"{size} {name}\n")
    victim.unlink()
    found = runs.anomalies(lake)
    (runs.folders[0] / "visible.txt").unlink()
    assert {one["where"] for one in found if one["name"] == "lost-write"} == gone
    assert [one["where"] for one in found if one["name"] == "vanished"] == [str(name)]


def test_a_file_that_was_doubled(runs: Runs, lake: Path) -> None:
    victim = files(lake, "app_logs")[0]
    copy = victim.with_name(f"copy-{victim.name}")
    shutil.copyfile(victim, copy)
    found = [one for one in runs.anomalies(lake) if one["name"] == "duplicate"]
    assert {one["where"] for one in found} == places(victim)
    assert {tuple(sorted(one["files"])) for one in found} == {
        tuple(sorted(str(one.relative_to(lake)) for one in (victim, copy)))
    }


def test_a_file_that_was_cut(runs: Runs, lake: Path) -> None:
    victim = files(lake, "app_logs")[0]
    gone = places(victim)
    victim.write_bytes(victim.read_bytes()[:-100])
    found = runs.anomalies(lake)
    assert [one["where"] for one in found if one["name"] == "unreadable-file"] == [str(victim.relative_to(lake))]
    assert {one["where"] for one in found if one["name"] == "lost-write"} == gone


def test_swapped_bytes_in_one_field_of_one_row(runs: Runs, lake: Path) -> None:
    victim = files(lake, "app_logs")[-1]
    table = pq.read_table(victim)
    rows = table.to_pylist()
    row = next(row for row in rows if row["service"] != row["service"][::-1])
    row["service"] = row["service"][1] + row["service"][0] + row["service"][2:]
    pq.write_table(type(table).from_pylist(rows, table.schema), victim)
    found = [one for one in runs.anomalies(lake) if one["name"] == "wrong-value"]
    assert [(one["where"], one["files"]) for one in found] == [
        (f"app-logs/{row['partition']}/{row['offset']}", [str(victim.relative_to(lake))])
    ]
    assert found[0]["what"].endswith("than in the topic: service")


def test_a_window_that_is_short_by_one(runs: Runs, lake: Path) -> None:
    victim = files(lake, "service_health")[-1]
    table = pq.read_table(victim)
    rows = table.to_pylist()
    rows[0]["events"] -= 1
    pq.write_table(type(table).from_pylist(rows, table.schema), victim)
    everything = runs.anomalies(lake)
    (found,) = [one for one in everything if one["name"] == "wrong-window"]
    # The topic has it as it was.
    assert {one["name"] for one in everything} == {"wrong-window", "unexpected", "lost-write"}
    assert len(everything) == 3
    assert rows[0]["service"] in found["where"]
    assert found["what"].startswith(f"events: {rows[0]['events']}, counted again {rows[0]['events'] + 1}")


def test_late_events_that_were_dropped(runs: Runs, lake: Path) -> None:
    assert files(lake, "late_events")
    shutil.rmtree(lake / "late_events")
    found = runs.anomalies(lake)
    assert found
    assert {one["name"] for one in found} == {"late-unlisted"}


@pytest.fixture
def unarchived(lake: Path) -> Path:
    """A lake that lacks nothing but the archive."""
    shutil.rmtree(lake / "app_logs")
    return lake


def test_an_archive_by_hand_without_a_bug_raises_nothing(runs: Runs, unarchived: Path) -> None:
    assert ended(by_hand(runs.stack, "none", unarchived)) == 0
    assert runs.verify(0, unarchived)["conclusion"] == "holds"


@pytest.mark.parametrize(("bug", "name"), [("commit-before-work", "lost-write"), ("work-before-commit", "duplicate")])
def test_a_worker_killed_between_its_two_steps(runs: Runs, unarchived: Path, bug: str, name: str) -> None:
    assert ended(by_hand(runs.stack, bug, unarchived)) == -9
    assert ended(by_hand(runs.stack, bug, unarchived)) == 0
    found = runs.anomalies(unarchived)
    assert {one["name"] for one in found} == {name}
    assert 0 < len(found) <= 1000  # the batch in hand


def test_a_worker_that_reads_what_was_aborted(runs: Runs, unarchived: Path) -> None:
    topic = Topic(runs.stack)
    producer = Producer(
        {"bootstrap.servers": runs.stack.settings.kafka_bootstrap_servers, "transactional.id": "aborts"}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(50):
        producer.produce("app-logs", topic.encode(event(number)), partition=2)
    producer.flush(30)
    producer.abort_transaction(30)
    assert runs.verify(0)["conclusion"] == "holds"
    assert ended(by_hand(runs.stack, "read-uncommitted", unarchived)) == 0
    found = runs.anomalies(unarchived)
    assert [one["name"] for one in found] == ["G1a"] * 50
    assert {one["where"].rsplit("/", 1)[0] for one in found} == {"app-logs/2"}
