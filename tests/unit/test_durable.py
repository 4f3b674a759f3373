"""Replacing a file: whole, on the disk, and for whom."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from shardlake.durable import FOR_ALL, OWNER_ALONE, write_durably

pytestmark = pytest.mark.unit


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record each file that is synced, and for a folder which files it held then."""
    found: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        held = sorted(file.name for file in path.iterdir()) if path.is_dir() else None
        found.append(path.name if held is None else f"{path.name}/ with {held}")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return found


@pytest.mark.parametrize("mode", [OWNER_ALONE, FOR_ALL])
def test_content_is_on_the_disk_before_its_name_and_its_name_before_the_end(
    tmp_path: Path, synced: list[str], mode: int
) -> None:
    file = tmp_path / "here" / "state.json"
    file.parent.mkdir()
    file.write_text("old")
    write_durably(file, "new", mode)
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert synced == ["state.json.new", "here/ with ['state.json']"]


def test_what_a_killed_process_left_lends_its_rights_to_nothing(tmp_path: Path) -> None:
    left = tmp_path / "key.new"
    left.write_text("half")
    left.chmod(0o666)
    write_durably(tmp_path / "key", "whole", OWNER_ALONE)
    assert (tmp_path / "key").read_text() == "whole"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == OWNER_ALONE
    assert not left.exists()


def test_a_link_in_the_way_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "another").write_text("precious")
    (tmp_path / "key.new").symlink_to(tmp_path / "another")
    write_durably(tmp_path / "key", "whole", OWNER_ALONE)
    assert (tmp_path / "another").read_text() == "precious"
    assert not (tmp_path / "key").is_symlink()
