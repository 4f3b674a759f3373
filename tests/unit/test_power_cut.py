"""What a machine's death leaves on the disk, at each moment of what the programs here promise to have written.

`power_cut` says what is simulated. Each test asks, of every disk that there may be, for what was promised by then.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shardlake import ledger, pii
from shardlake.durable import make_folder
from shardlake.lake.migrate import migrate
from shardlake.lake.tables import lake_tables
from shardlake.ledger import FSYNC_SECONDS, Ledger, Run
from shardlake.pipeline import Pipeline
from shardlake.produce.positions import Mark, Place, State, StateFile
from shardlake.storage import write_whole
from tests.support import ROOT
from tests.unit.power_cut import Recording, recorded
from tests.unit.test_migrate import all_rows, older

pytestmark = pytest.mark.unit

SEED = 7
Held = Callable[[Path, tuple[object, ...]], None]


def on_every_disk(recording: Recording, tmp_path: Path, holds: Held, *, is_journal: bool = False) -> int:
    """Ask `holds` of each disk after each moment, with what was promised by then; how many disks there were."""
    disks = 0
    for at, promised in enumerate(recording.promises):
        for disk in recording.disks(at, tmp_path / "disks", SEED, is_journal=is_journal):
            holds(disk, promised)
            disks += 1
        shutil.rmtree(tmp_path / "disks")
    return disks


def replaced(write: Callable[[Path, str], None], tmp_path: Path) -> int:
    """Write three texts in turn to a file in a folder that is new; each is there from then on, or one that is newer."""
    texts = [f"{number} " * 100 for number in range(3)]
    with recorded(tmp_path / "real") as recording:
        for number, text in enumerate(texts):
            write(recording.root / "new" / "folder" / "file.json", text)
            recording.promise(number)

    def holds(disk: Path, promised: tuple[object, ...]) -> None:
        file = disk / "new" / "folder" / "file.json"
        if promised or file.exists():
            assert file.read_text() in texts[int(str(promised[0])) if promised else 0 :]

    return on_every_disk(recording, tmp_path, holds)


def test_a_file_that_is_replaced_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    assert replaced(write_whole, tmp_path) > 200


@pytest.mark.parametrize("left_out", ["the file's content", "the folder's names"])
def test_a_write_that_syncs_too_little_is_found(tmp_path: Path, left_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsynced(file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_text(text)
        new.replace(file)

    def half_synced(file: Path, text: str) -> None:
        monkeypatch.setattr("shardlake.durable.sync_folder", lambda _: None)
        write_whole(file, text)

    with pytest.raises((AssertionError, FileNotFoundError)):
        replaced(unsynced if left_out == "the file's content" else half_synced, tmp_path)


def test_the_key_of_pii_that_a_task_manager_was_told_is_there_for_ever(tmp_path: Path) -> None:
    with recorded(tmp_path / "real") as recording:
        data = recording.root / "data"
        make_folder(data)
        pii.taskmanager_environment(data, {})
        first = pii.read(data / "pii.key")
        recording.promise({first})
        before, after, _ = pii.rotate(data / "pii.key")
        recording.promise({first, pii.read(data / "pii.key")})
    assert before != after

    def holds(disk: Path, promised: tuple[object, ...]) -> None:
        if promised:
            known = set(pii.known_keys({pii.KEY_FILE: str(disk / "data" / "pii.key")}, {}))
            assert known >= promised[0]  # type: ignore[operator]
        elif (disk / "data").exists():  # a task manager that starts then makes a key, or takes a whole one
            pii.taskmanager_environment(disk / "data", {})

    assert on_every_disk(recording, tmp_path, holds) > 200


def test_a_follower_comes_back_to_the_lines_that_it_saved(tmp_path: Path) -> None:
    def state(lines: int) -> State:
        mark = Mark(lines, "00")
        return State("t", "id", {0: lines}, [Place("i", "a", "a", 1, 2, 9 * lines, lines, mark, mark)], True)

    with recorded(tmp_path / "real") as recording:
        file = StateFile(recording.root / "state" / "follow.json")
        for lines in range(1, 4):
            file.save(state(lines))
            recording.promise(lines)
        file.close()

    def holds(disk: Path, promised: tuple[object, ...]) -> None:
        path = disk / "state" / "follow.json"
        if promised or path.exists():
            found = StateFile(path)
            saved = found.load("t", "id")
            found.close()
            assert saved is not None
            assert saved == state(saved.places[0].lines)
            assert saved.places[0].lines >= (int(str(promised[0])) if promised else 1)

    assert on_every_disk(recording, tmp_path, holds) > 200


def test_a_ledger_holds_what_was_written_a_second_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("shardlake.ledger.time.monotonic", lambda: clock[0])
    sent = 0

    def send(written: Ledger) -> None:
        nonlocal sent
        for _ in range(20):
            written.intend(b"key", b"%d" % sent, ("a.log" if sent < 50 else "b.log", sent))
            sent += 1
        written.flush()

    Ledger(tmp_path / "others", "q", "t", "id").close()
    with recorded(tmp_path / "real") as recording:
        run = recording.root / "runs" / "first"
        Run("t", "id", {0: 5}, 1.0).join(run)
        written = Ledger(run, "p", "t", "id")
        recording.promise(0, 0, False)
        for _ in range(4):
            send(written)
            for sequence in range(sent - 20, sent - 10):
                written.acknowledged(sequence, 0, 100 + sequence)
            clock[0] += FSYNC_SECONDS * 0.6
            written.flush()
            clock[0] += FSYNC_SECONDS * 0.6
            written.rest()
            recording.promise(sent, sent // 2, False)
        written.close()
        recording.promise(sent, sent // 2, True)

    def holds(disk: Path, promised: tuple[object, ...]) -> None:
        found, *_ = ledger.of_run(disk / "runs" / "first", tmp_path / "others")
        if not promised:  # a producer that was cut off in its start is not in another's way
            return
        events, acknowledged, has_ended = promised
        assert Run.read(disk / "runs" / "first") == Run("t", "id", {0: 5}, 1.0)
        assert len(found.digests) >= int(str(events))
        assert found.digests.tolist() == [ledger.digest(b"key", b"%d" % number) for number in range(len(found.digests))]
        assert len(found.acknowledged) >= int(str(acknowledged))
        # What is told is what happened, however little of it is there.
        assert (found.offsets == found.acknowledged + 100).all()
        assert set(found.acknowledged.tolist()) <= {number for number in range(sent) if number % 20 < 10}
        assert found.has_ended >= bool(has_ended)

    assert on_every_disk(recording, tmp_path, holds) > 200


@pytest.mark.thorough
def test_a_lake_that_is_written_anew_has_every_row_when_it_is_done_again(tmp_path: Path) -> None:
    before = all_rows(older(tmp_path / "real" / "lake", hours=1))
    with recorded(tmp_path / "real") as recording:
        lake = recording.root / "lake"
        assert [done.files for done in migrate(lake, lake_tables(lake, Pipeline.load(ROOT)), lambda _: None)] == [1]
    asked: set[tuple[object, ...]] = set()

    def holds(disk: Path, _: tuple[object, ...]) -> None:
        files = [file for file in sorted(disk.rglob("*")) if file.is_file()]
        content = tuple((str(file.relative_to(disk)), file.read_bytes()) for file in files)
        if content in asked:  # few disks differ, and DuckDB is asked of each
            return
        asked.add(content)
        tables = lake_tables(disk / "lake", Pipeline.load(ROOT), also_cut_off=True)
        list(migrate(disk / "lake", tables, lambda _: None))
        assert all_rows(tables) == before

    on_every_disk(recording, tmp_path, holds, is_journal=True)
    assert len(asked) > 5
