"""Settings: which of several sources wins, and what is said of a wrong value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shardlake.errors import BadInput, Unavailable
from shardlake.settings import Settings

pytestmark = pytest.mark.unit

STACK = {"kafka_bootstrap_servers": "127.0.0.1:1", "lake_url": "/stack", "s3_access_key": "own", "parallelism": 3}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    monkeypatch.setenv("SHARDLAKE_STATE", str(tmp_path))
    monkeypatch.delenv("SHARDLAKE_STACK", raising=False)
    (tmp_path / "stack.json").write_text(json.dumps({"settings": {**STACK, "of_a_newer_version": 1}}))


@pytest.mark.parametrize(
    ("environment", "given", "field", "expected"),
    [
        ({}, {}, "kafka_bootstrap_servers", "127.0.0.1:1"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "b:2"}, {}, "kafka_bootstrap_servers", "b:2"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "b:2"}, {"kafka_bootstrap_servers": "c:3"}, "kafka_bootstrap_servers", "c:3"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "b:2"}, {}, "parallelism", 3),
        ({"SHARDLAKE_PARALLELISM": "5"}, {}, "parallelism", 5),
        ({}, {}, "delivery_seconds", 120),
        ({"AWS_ACCESS_KEY_ID": "of another S3"}, {}, "s3_access_key", "own"),
        ({"AWS_ACCESS_KEY_ID": "theirs", "LAKE_URL": "s3://theirs/x"}, {}, "s3_access_key", "theirs"),
        ({"AWS_ACCESS_KEY_ID": "theirs", "LAKE_URL": "s3://theirs/x"}, {}, "lake_url", "s3://theirs/x"),
    ],
)
@pytest.mark.usefixtures("stack")
def test_the_nearest_source_wins(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], given: dict[str, Any], field: str, expected: Any
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert getattr(Settings.read(**given), field) == expected


@pytest.mark.usefixtures("stack")
def test_a_wrong_value_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDLAKE_PARALLELISM", "none")
    with pytest.raises(BadInput, match="The setting SHARDLAKE_PARALLELISM is wrong"):
        Settings.read()


def test_records_go_to_a_named_broker_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDLAKE_STATE", str(tmp_path))
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(Unavailable, match="No broker is known"):
        Settings.read().must_name_a_broker()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    Settings.read().must_name_a_broker()
