"""Records go to a broker that the user named, or that a running stack did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shardlake.errors import Unavailable
from shardlake.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHARDLAKE_STATE", str(tmp_path))
    for variable in ("KAFKA_BOOTSTRAP_SERVERS", "SHARDLAKE_STACK"):
        monkeypatch.delenv(variable, raising=False)


def test_nobody_is_sent_to_by_default() -> None:
    settings = Settings.read()
    assert settings.kafka_bootstrap_servers  # others may ask whether somebody is there
    with pytest.raises(Unavailable, match="KAFKA_BOOTSTRAP_SERVERS is not set"):
        settings.must_name_a_broker()


def test_a_broker_may_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    Settings.read().must_name_a_broker()


def test_a_running_stack_names_its_broker(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text(json.dumps({"settings": {"kafka_bootstrap_servers": "127.0.0.1:1"}}))
    Settings.read().must_name_a_broker()
