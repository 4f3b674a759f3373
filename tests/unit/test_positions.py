"""The state file: what is saved comes back, and nothing else is taken for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shardlake.errors import BadInput, Unavailable
from shardlake.produce.positions import Mark, Place, State, StateFile

pytestmark = pytest.mark.unit

PLACE = Place("id", "/a.log", "/a.log.1", 1, 2, 30, 4, Mark(30, "ab"), Mark(7, "cd"), (30, 5))
STATE = State("app-logs", "uuid", {0: 5, 3: 0}, [PLACE], is_clean=True)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "deep" / "state.json")
    assert file.load("app-logs", "uuid") is None
    file.save(STATE)
    file.close()
    assert StateFile(file.path).load("app-logs", "uuid") == STATE


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "7", "{}", '{"version": 2}', '{"version": 1, "topic": "app-logs"}', "\xff", "[" * 100_000],
)
def test_a_damaged_state_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(BadInput, match=r"state\.json is damaged") as raised:
        StateFile(tmp_path / "state.json").load("app-logs", "uuid")
    assert "--state" in raised.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("position_bytes", -1), ("position_bytes", 2**63), ("position_bytes", "x"), ("lines", None), ("identity", []),
        ("born", None), ("path", {}), ("device", "x"), ("head", {"size_bytes": 1.5, "digest": "ab"}), ("done", 5),
    ],
)  # fmt: skip
def test_a_place_that_is_none_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    file = StateFile(tmp_path / "state.json")
    file.save(STATE)
    saved = json.loads(file.path.read_text())
    saved["places"][0][name] = value
    file.path.write_text(json.dumps(saved))
    with pytest.raises(BadInput, match=rf"state\.json is damaged.*{name}"):
        file.load("app-logs", "uuid")


def test_a_file_whose_name_is_not_utf_8_is_found_again(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state.json")
    state = replace(STATE, places=[replace(PLACE, born="/caf\udce9.log", path="/caf\udce9.log")])
    file.save(state)
    assert file.load("app-logs", "uuid") == state


@pytest.mark.parametrize(("topic", "topic_id"), [("other", "uuid"), ("app-logs", "made anew")])
def test_a_state_file_of_another_topic_is_refused(tmp_path: Path, topic: str, topic_id: str) -> None:
    file = StateFile(tmp_path / "state.json")
    file.save(STATE)
    with pytest.raises(BadInput, match="is of"):
        file.load(topic, topic_id)


def test_two_followers_do_not_share_a_state_file(tmp_path: Path) -> None:
    first = StateFile(tmp_path / "state.json")
    with pytest.raises(Unavailable, match="Another follower, process"):
        StateFile(tmp_path / "state.json")
    first.close()
    StateFile(tmp_path / "state.json").close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be written"):
        StateFile(tmp_path / "file" / "state.json")
