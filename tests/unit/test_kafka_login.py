"""Clients log in by a file of librdkafka's settings, and keep what makes them safe."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from confluent_kafka import Producer

from shardlake.errors import BadInput
from shardlake.kafka_login import client
from shardlake.produce.delivery import producer_settings
from shardlake.shards.worker import consumer_settings

pytestmark = pytest.mark.unit

SCRAM = """
# MSK
security.protocol = SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.username=jobs
sasl.password=a=b#c
acks=0
isolation.level=read_uncommitted
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "client.properties"
    monkeypatch.setenv("SHARDLAKE_KAFKA_CONFIG", str(file))
    return file


def test_without_a_file_only_the_brokers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHARDLAKE_KAFKA_CONFIG", raising=False)
    assert client("b:1", group_id="g") == {"bootstrap.servers": "b:1", "log_level": 0, "group.id": "g"}


def test_the_files_settings_are_every_clients(config: Path) -> None:
    config.write_text(SCRAM)
    assert client("b:1")["sasl.password"] == "a=b#c"
    for settings in (producer_settings("b:1"), consumer_settings("b:1", "g")):
        assert settings["security.protocol"] == "SASL_SSL"
        assert settings["sasl.username"] == "jobs"


def test_what_keeps_records_safe_is_not_taken_away_by_the_file(config: Path) -> None:
    config.write_text(SCRAM)
    assert producer_settings("b:1")["acks"] == "all"
    assert consumer_settings("b:1", "g")["isolation.level"] == "read_committed"
    Producer(producer_settings("127.0.0.1:9"))  # librdkafka takes them all


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sasl.username", "Line 1"),
        ("\nSASL PASSWORD=secret", "Line 2"),
        ("sasl.password=<password>", "sasl.password"),
    ],
)
def test_a_line_that_is_no_setting_is_named_without_what_it_holds(config: Path, text: str, named: str) -> None:
    config.write_text(text)
    with pytest.raises(BadInput, match=named) as raised:
        client("b:1")
    assert "secret" not in raised.value.message + raised.value.hint


def test_a_file_that_is_not_there_is_named(config: Path) -> None:
    with pytest.raises(BadInput, match=r"client\.properties .*SHARDLAKE_KAFKA_CONFIG.* cannot be read: No such file"):
        client("b:1")


def test_iam_is_a_token_signed_for_the_region(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = ModuleType("aws_msk_iam_sasl_signer")
    provider = SimpleNamespace(generate_auth_token=lambda region: (f"signed for {region}", 1_800_000_000_500))
    monkeypatch.setattr(signer, "MSKAuthTokenProvider", provider, raising=False)
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", signer)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    config.write_text("security.protocol=SASL_SSL\nsasl.mechanism=AWS_MSK_IAM\n")
    settings = client("b:1")
    assert settings["sasl.mechanism"] == "OAUTHBEARER"
    assert settings["oauth_cb"]("") == ("signed for eu-central-1", 1_800_000_000.5)


def test_iam_without_region_or_signer_says_what_to_do(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    config.write_text("sasl.mechanism=AWS_MSK_IAM\n")
    with pytest.raises(BadInput) as raised:
        client("b:1")
    assert raised.value.hint == "Set AWS_REGION."
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(BadInput) as raised:
        client("b:1")
    assert "pip install aws-msk-iam-sasl-signer-python" in raised.value.hint
