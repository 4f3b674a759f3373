"""The key that masks PII: where it is from, who gets it, and how it is rotated."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from shardlake import pii
from shardlake.errors import BadInput

pytestmark = pytest.mark.unit

LONG = "0123456789abcdef"


def test_a_key_is_made_once_for_a_data_folder_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = pii.taskmanager_environment(tmp_path, {})
    path = tmp_path / "pii.key"
    assert first == {"SHARDLAKE_PII_KEY_FILE": str(path)}
    key = pii.read(path)
    assert len(key) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert pii.taskmanager_environment(tmp_path, {}) == first
    assert pii.read(path) == key


def test_a_given_key_wins_and_nothing_is_made(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{LONG}\n")
    assert pii.taskmanager_environment(tmp_path, {pii.KEY: LONG}) == {pii.KEY: LONG}
    assert pii.taskmanager_environment(tmp_path, {pii.KEY_FILE: str(file)}) == {pii.KEY_FILE: str(file)}
    assert pii.read(file) == LONG
    assert not (tmp_path / "pii.key").exists()
    assert pii.without_key({pii.KEY: LONG, pii.KEY_FILE: str(file), "HOME": "/"}) == {"HOME": "/"}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({pii.KEY: "secret"}, "The PII key in SHARDLAKE_PII_KEY has 6 bytes; it needs 16"),
        ({pii.KEY: LONG, pii.KEY_FILE: "/key"}, "Both SHARDLAKE_PII_KEY and SHARDLAKE_PII_KEY_FILE are set"),
        ({pii.KEY_FILE: "missing"}, "missing: No such file"),
        ({pii.KEY_FILE: "short"}, "short has 6 bytes"),
        ({pii.KEY_FILE: "latin"}, "it is not UTF-8"),
    ],
)
def test_a_wrong_key_is_refused_and_not_told(tmp_path: Path, environment: dict[str, str], words: str) -> None:
    (tmp_path / "short").write_text(" secret\n")
    (tmp_path / "latin").write_bytes(b"secret-secret-\xe9-secret")
    if pii.KEY_FILE in environment:
        environment = {**environment, pii.KEY_FILE: str(tmp_path / environment[pii.KEY_FILE])}
    with pytest.raises(BadInput, match=words) as refused:
        pii.taskmanager_environment(tmp_path, environment)
    assert refused.value.hint
    assert "secret" not in refused.value.message + refused.value.hint


def test_a_value_is_hashed_as_rfc_2104_says_with_the_keys_id_before_it() -> None:
    # printf %s ünï | openssl dgst -sha256 -hmac 0123456789abcdef
    assert pii.hashed(LONG, "ünï") == "9f9f5111:a6e0ceef98db0081ddbb93dd9b390027"


def test_a_rotated_key_is_new_and_the_old_one_is_kept_beside_it(tmp_path: Path) -> None:
    target, link = tmp_path / "real", tmp_path / "key"
    target.write_text(LONG)
    link.symlink_to(target)
    old, new, kept = pii.rotate(link)
    assert old == pii.key_id(LONG) == "9f9f5111"
    assert new == pii.key_id(pii.read(link)) != old
    assert link.is_symlink()
    assert kept == tmp_path / f"real.{old}"
    assert pii.read(kept) == LONG
    assert {stat.S_IMODE(path.stat().st_mode) for path in (target, kept)} == {0o600}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "real", f"real.{old}"]


def test_all_keys_that_rotation_left_are_known_the_present_one_first(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(LONG)
    _, second, _ = pii.rotate(key)
    _, third, _ = pii.rotate(key)
    (tmp_path / "key.new").write_text("half")
    stack = {"pii_key_file": str(key)}
    found = pii.known_keys({pii.KEY: "another key of the environment"}, stack)
    assert [pii.key_id(one) for one in found] == [third, *sorted([second, "9f9f5111"])]
    assert pii.known_keys({pii.KEY_FILE: str(key)}, {}) == found
    assert pii.known_keys({pii.KEY: LONG}, {}) == [LONG]
    assert pii.known_keys({pii.KEY: LONG}, {"pii_key_file": None}) == [LONG]
    assert pii.known_keys({}, {}) == pii.known_keys({}, {"pii_key_file": None}) == []
