"""Which unfinished uploads the jobs' state names, also while a running job replaces its checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Event, Thread

import pytest

from shardlake.flink.needed import Needed

pytestmark = pytest.mark.unit

LOOKS = 200


def checkpoint(jobs: Path, number: int, named: str) -> Path:
    """A checkpoint that names an upload in a file of its own, as a large state does."""
    folder = jobs / "checkpoints" / "job" / f"chk-{number}"
    folder.mkdir(parents=True)
    (folder / "state").write_text(f"...{named}...")
    (folder / "_metadata").write_text("...")
    return folder


def test_names_are_found_while_checkpoints_replace_one_another(tmp_path: Path) -> None:
    checkpoint(tmp_path, 0, "an-upload")
    is_over = Event()

    def replace() -> None:
        number = 0
        while not is_over.wait(0.001):
            number += 1
            checkpoint(tmp_path, number, "an-upload")
            shutil.rmtree(tmp_path / "checkpoints" / "job" / f"chk-{number - 1}")

    running = Thread(target=replace)
    running.start()
    try:
        found = [Needed([tmp_path], ["an-upload", "another"]) for _ in range(LOOKS)]
    finally:
        is_over.set()
        running.join()
    assert all("chk-" in needed.why("an-upload", 0) for needed in found)
    assert not any(needed.why("another", 0) for needed in found)


def test_an_upload_that_only_an_older_state_names_is_kept_with_it(tmp_path: Path) -> None:
    older = checkpoint(tmp_path, 1, "an-upload")
    checkpoint(tmp_path, 2, "another")
    assert Needed([tmp_path], ["an-upload"]).why("an-upload", 0) == f"named by {older}"
