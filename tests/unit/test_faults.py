"""What a sitting's history and figures are made of."""

from __future__ import annotations

import hashlib
import json
import shutil
from itertools import islice
from pathlib import Path
from threading import enumerate as enumerate_threads

import pytest

from shardlake.errors import BadInput
from shardlake.faults.checkpoint import COMPLETED_BEFORE, IN_FLIGHT, Checkpoint
from shardlake.faults.history import Entry, History, read
from shardlake.faults.kinds import KINDS
from shardlake.faults.recovery import rate
from shardlake.faults.report import BEGIN, END, Quantiles, Report, report, summary, write
from shardlake.faults.runs import ledgers, new_run
from shardlake.faults.sitting import deck
from shardlake.faults.visible import Visible
from shardlake.ledger import Ledger
from shardlake.topics import covers
from tests.support import wait_for

pytestmark = pytest.mark.unit


def a_fault(kind: str, at_rate: int, state: str, fault_seconds: float, heal_seconds: float) -> list[Entry]:
    return [
        {"what": "injecting", "kind": kind, "ends": {"0": 10}, "rate": at_rate},
        {"what": "injected", "kind": kind, "checkpoint": {"id": 1, "state": state}},
        {"what": "healed", "kind": kind},
        {"what": "recovered", "kind": kind, "fault_seconds": fault_seconds, "heal_seconds": heal_seconds, "rate": 1},
    ]


def test_a_history_is_read_as_it_was_written_and_a_torn_last_line_passed_over(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.note("began", seed=7)
    history.note("healed", ends={0: 5})
    # Not closed: what was noted is in the file at once.
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"what": "reco')
    assert [(entry["what"], entry.get("seed"), entry.get("ends")) for entry in read(tmp_path)] == [
        ("began", 7, None),
        ("healed", None, {"0": 5}),
    ]
    assert 0 <= read(tmp_path)[0]["seconds"] <= read(tmp_path)[1]["seconds"]
    history.close()
    assert read(tmp_path / "nowhere") == []


def test_a_history_is_added_to(tmp_path: Path) -> None:
    for number in range(2):
        history = History(tmp_path)
        history.note("began", number=number)
        history.close()
    assert [entry["number"] for entry in read(tmp_path)] == [0, 1]


def test_commits_cover_what_was_there_only_in_every_partition() -> None:
    assert covers({0: 10, 1: 5}, {0: 10, 1: 5})
    assert covers({0: 11, 1: 5, 2: 1}, {0: 10, 1: 5})
    assert not covers({0: 100, 1: 4}, {0: 10, 1: 5})
    assert not covers({0: 10}, {0: 10, 1: 5})
    # A partition that nothing was sent to needs no commit.
    assert covers({0: 10}, {0: 10, 1: 0})


def test_a_rate_is_over_all_partitions() -> None:
    assert rate({0: 10, 1: 20}, {0: 110, 1: 220}, 2) == 150


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Quantiles(0, 0, 0)),
        ([3.0], Quantiles(3, 3, 3)),
        ([4.0, 1.0, 3.0, 2.0], Quantiles(2, 4, 4)),
        ([float(n) for n in range(1, 201)], Quantiles(100, 198, 200)),
    ],
)
def test_quantiles_are_values_that_were_measured(values: list[float], expected: Quantiles) -> None:
    assert Quantiles.of(values) == expected


def test_a_report_counts_each_kind_over_all_sittings() -> None:
    first: list[Entry] = [
        *a_fault("kill-broker", 2400, IN_FLIGHT, 15, 14),
        *a_fault("kill-broker", 1900, COMPLETED_BEFORE, 11, 10),
        {"what": "verdict", "verdict": "holds", "records": 1000},
        {"what": "ended"},
    ]
    second: list[Entry] = [
        *a_fault("kill-broker", 2500, IN_FLIGHT, 13, 12),
        *a_fault("stop-jobs", 2500, IN_FLIGHT, 9, 7)[:3],
        {"what": "stuck", "kind": "stop-jobs"},
        {"what": "verdict", "verdict": "anomaly", "records": 500},
        {"what": "ended"},
    ]
    killed = [*a_fault("kill-broker", 2500, IN_FLIGHT, 99, 99)[:1]]  # noted, and then it was over
    found = report([first, second, killed])
    assert (found.sittings, found.unfinished, found.faults, found.records) == (3, 1, 4, 1500)
    assert found.verdicts == {"holds": 1, "anomaly": 1}
    broker, stop = found.kinds
    assert (broker.kind, broker.faults, broker.in_flight, broker.stuck) == ("kill-broker", 3, 2, 0)
    assert (broker.lowest_rate, broker.after_fault) == (1900, Quantiles(13, 15, 15))
    assert broker.after_heal == Quantiles(12, 14, 14)
    assert (stop.kind, stop.faults, stop.stuck, stop.after_heal) == ("stop-jobs", 1, 1, Quantiles(0, 0, 0))
    assert summary(found) == "3 sittings, 1 of them unfinished, 4 faults, 1,500 records; verdicts: 1 anomaly, 1 holds"


def test_a_report_is_written_between_its_marks_again_and_again(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    history: list[Entry] = [*a_fault("kill-broker", 2400, IN_FLIGHT, 15, 14), {"what": "ended"}]
    found = report([history])
    write(found, page)
    once = page.read_text()
    assert once.startswith(f"before\n{BEGIN}\n1 sitting, 1 fault, 0 records; verdicts: none.\n")
    assert "| kill-broker | 1 | 1 | 2,400 | 15.0 / 15.0 / 15.0 | 14.0 / 14.0 / 14.0 | 0 |\n" in once
    assert once.endswith(f"{END}\nafter\n")
    assert "old" not in once
    write(found, page)
    assert page.read_text() == once


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}"])
def test_a_page_without_the_marks_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(BadInput, match="no place for the report"):
        write(Report(0, 0, {}, 0, 0, ()), page)
    assert page.read_text() == text


def test_all_kinds_come_before_one_comes_again_in_an_order_of_the_seed() -> None:
    names = tuple(KINDS)
    drawn = [kind.name for kind in islice(deck(names, "1 001"), 2 * len(names))]
    assert sorted(drawn[: len(names)]) == sorted(drawn[len(names) :]) == sorted(names)
    assert drawn == [kind.name for kind in islice(deck(names, "1 001"), 2 * len(names))]
    assert drawn != [kind.name for kind in islice(deck(names, "1 002"), 2 * len(names))]


def test_each_sitting_has_the_next_number_and_a_killed_one_loses_its_data_alone(tmp_path: Path) -> None:
    killed, failed = new_run(tmp_path / "out"), new_run(tmp_path / "out")
    assert (killed.name, failed.name) == ("001", "002")
    for run in (killed, failed):
        (run / "data").mkdir()
    (killed / "history.jsonl").write_text(json.dumps({"what": "began"}) + "\n")
    (failed / "history.jsonl").write_text(json.dumps({"what": "ended", "holds": False}) + "\n")
    assert new_run(tmp_path / "out").name == "003"
    assert (killed / "history.jsonl").exists()
    assert not (killed / "data").exists()
    assert (failed / "data").exists()


def test_of_ledgers_their_hash_and_counts_are_kept(tmp_path: Path) -> None:
    written = Ledger(tmp_path, "one", "app-logs", "id")
    for number in range(5):
        written.intend(b"key", b"%d" % number)
    for number in range(3):
        written.acknowledged(number, 0, number)
    written.failed(3)
    written.flush()
    written.close()
    (tmp_path / "torn.ledger").write_bytes(b"SL")
    one, torn = ledgers(tmp_path)
    assert (one["name"], one["sent"], one["acknowledged"], one["failed"], one["unknown"]) == ("one.ledger", 5, 3, 1, 1)
    assert one["sha256"] == hashlib.sha256((tmp_path / "one.ledger").read_bytes()).hexdigest()
    assert (torn["name"], torn["sent"], torn["unknown"]) == ("torn.ledger", 0, 0)


def test_a_file_is_no_folder_of_sittings(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadInput, match="is no folder"):
            new_run(path)


def test_a_checkpoint_is_in_flight_until_its_metadata_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "chk-12"
    folder.mkdir()
    checkpoint = Checkpoint(folder)
    assert checkpoint.number == 12
    assert checkpoint.state_at(0) == IN_FLIGHT
    (folder / "_metadata").touch()
    written_ns = (folder / "_metadata").stat().st_mtime_ns
    assert checkpoint.state_at(written_ns - 1) == IN_FLIGHT
    assert checkpoint.state_at(written_ns + 1) == COMPLETED_BEFORE
    wait_for(lambda: not [thread for thread in enumerate_threads() if "_watch" in thread.name], "the watch's end")
    shutil.rmtree(folder)
    assert checkpoint.close() == "completed"


def test_a_checkpoint_whose_folder_goes_was_aborted(tmp_path: Path) -> None:
    folder = tmp_path / "chk-3"
    folder.mkdir()
    checkpoint = Checkpoint(folder)
    folder.rmdir()
    assert checkpoint.close() == "aborted"


def test_each_visible_file_of_the_lake_is_noted_once(tmp_path: Path) -> None:
    lake, run = tmp_path / "lake", tmp_path / "run"
    hour = lake / "app_logs" / "hour=05"
    hour.mkdir(parents=True)
    run.mkdir()
    (hour / "one.parquet").write_bytes(b"12345")
    (hour / ".hidden.parquet").touch()
    visible = Visible(lake, run)
    visible.look()
    visible.look()
    (hour / "two.parquet").write_bytes(b"123")
    visible.close()
    assert (run / "visible.txt").read_text() == "5 app_logs/hour=05/one.parquet\n3 app_logs/hour=05/two.parquet\n"
