"""Runtime properties of a package: what is right, and each wrong one by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shardlake.errors import BadInput
from shardlake.flink import properties
from shardlake.flink.inserts import on_any_flink
from shardlake.flink.properties import Properties
from shardlake.flink.tables import table_definitions
from shardlake.pipeline import Pipeline
from tests.support import ROOT

pytestmark = pytest.mark.unit

RIGHT = {
    "KAFKA_BOOTSTRAP_SERVERS": "b-1.example:9098,b-2.example:9098",
    "SCHEMA_REGISTRY_URL": "https://registry.example/apis/ccompat/v7/",
    "LAKE_URL": "s3://bucket/lake/",
    "KAFKA_LOGIN": "iam",
    "SHARDLAKE_PII_SECRET": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:pii",
}
MODIFIABLE = {
    *("pipeline.name", "pipeline.max-parallelism", "pipeline.object-reuse", "pipeline.global-job-parameters"),
    *("table.local-time-zone", "table.exec.source.idle-timeout"),
}
"""Of the service's page "Programmatic Flink configuration properties": any other it refuses since 2.2."""


def read(
    tmp_path: Path, given: dict[str, str], kafka: dict[str, str] | None = None, group: str = "shardlake"
) -> Properties:
    groups: list[dict[str, Any]] = [
        {"PropertyGroupId": "kinesis.analytics.flink.run.options", "PropertyMap": {"python": "main.py"}},
        {"PropertyGroupId": group, "PropertyMap": given},
    ]
    if kafka is not None:
        groups.append({"PropertyGroupId": "shardlake.kafka", "PropertyMap": kafka})
    file = tmp_path / "application_properties.json"
    file.write_text(json.dumps(groups))
    return Properties.read(Pipeline.load(ROOT), {"SHARDLAKE_PROPERTIES": str(file)})


def test_properties_become_options_of_the_tables(tmp_path: Path) -> None:
    found = read(tmp_path, RIGHT, {"client.rack": "euc1-az2"})
    assert found.endpoints.schema_registry_url == "https://registry.example/apis/ccompat/v7"
    assert found.endpoints.lake_url == "s3://bucket/lake"
    assert found.idle_seconds == 30
    assert found.pii_secret == RIGHT["SHARDLAKE_PII_SECRET"]
    statements = list(table_definitions(Pipeline.load(ROOT), found.endpoints))
    on_kafka = [one for one in statements if "'connector' = 'kafka" in one]
    assert len(on_kafka) == 4
    for statement in on_kafka:
        assert "'properties.bootstrap.servers' = 'b-1.example:9098,b-2.example:9098'" in statement
        assert "'properties.sasl.mechanism' = 'AWS_MSK_IAM'" in statement
        assert "'properties.client.rack' = 'euc1-az2'" in statement
    assert sum("'path' = 's3://bucket/lake/" in one for one in statements) == 5


def test_scram_names_its_secret(tmp_path: Path) -> None:
    found = read(tmp_path, RIGHT | {"KAFKA_LOGIN": "scram", "KAFKA_LOGIN_SECRET": "AmazonMSK_jobs"})
    assert found.endpoints.kafka["sasl.jaas.config"] == (
        "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="${secrets:AmazonMSK_jobs:username}" password="${secrets:AmazonMSK_jobs:password}";'
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"LAKE_URL": ""}, "The property LAKE_URL is missing in the group 'shardlake'."),
        ({"LAKE_URL": "bucket/lake"}, "The property LAKE_URL is 'bucket/lake', which is no URL."),
        ({"SCHEMA_REGISTRY_URL": "registry:8080"}, "The property SCHEMA_REGISTRY_URL is 'registry:8080'"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "<brokers>"}, "KAFKA_BOOTSTRAP_SERVERS still has its placeholder: '<brokers>'"),
        ({"LAKE_URL": "s3://<bucket>/lake"}, "The property LAKE_URL still has its placeholder"),
        ({"LAKE_ULR": "s3://bucket"}, "The group 'shardlake' has no property LAKE_ULR."),
        ({"SHARDLAKE_PII_KEY": "k" * 32}, "The property SHARDLAKE_PII_KEY would hold the PII key for all to see."),
        ({"KAFKA_LOGIN": "IAM"}, "The property KAFKA_LOGIN is 'IAM'."),
        ({"KAFKA_LOGIN": "scram"}, "The property KAFKA_LOGIN_SECRET is ''"),
        ({"SHARDLAKE_IDLE_SECONDS": "30 s"}, "The property SHARDLAKE_IDLE_SECONDS is '30 s'."),
        ({"SHARDLAKE_IDLE_SECONDS": "nan"}, "The property SHARDLAKE_IDLE_SECONDS is 'nan'."),
    ],
)
def test_a_wrong_property_is_named(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput) as raised:
        read(tmp_path, RIGHT | changes)
    assert message in raised.value.message
    assert raised.value.hint
    assert "k" * 32 not in raised.value.message + raised.value.hint


@pytest.mark.parametrize(
    "kafka",
    [
        {"ssl.keystore.password": "hunter2"},
        {"sasl.jaas.config": 'org.apache.kafka.common.security.plain.PlainLoginModule required password="hunter2";'},
    ],
)
def test_a_password_in_plain_sight_is_refused(tmp_path: Path, kafka: dict[str, str]) -> None:
    with pytest.raises(BadInput, match=f"The property {next(iter(kafka))} holds a password") as raised:
        read(tmp_path, RIGHT, kafka)
    assert "hunter2" not in raised.value.message + raised.value.hint


def test_a_group_of_another_name_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no property group 'shardlake'; there are: Shardlake, kinesis\.analytics"):
        read(tmp_path, RIGHT, group="Shardlake")
    file = tmp_path / "two.json"
    groups = [{"PropertyGroupId": name, "PropertyMap": RIGHT} for name in ("shardlake", "shardlake.kafka2")]
    file.write_text(json.dumps(groups))
    with pytest.raises(BadInput, match=r"no such property group: 'shardlake\.kafka2'"):
        Properties.read(Pipeline.load(ROOT), {"SHARDLAKE_PROPERTIES": str(file)})


@pytest.mark.parametrize("text", ["", "{}", '[{"PropertyGroupId": "shardlake"}]', "[1]"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(text)
    with pytest.raises(BadInput):
        Properties.read(Pipeline.load(ROOT), {"SHARDLAKE_PROPERTIES": str(file)})


def test_where_the_service_runs_it_the_pii_secret_is_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "application_properties.json"
    given = {name: value for name, value in RIGHT.items() if name != "SHARDLAKE_PII_SECRET"}
    file.write_text(json.dumps([{"PropertyGroupId": "shardlake", "PropertyMap": given}]))
    monkeypatch.setattr(properties, "FILE", str(file))
    with pytest.raises(BadInput, match="The property SHARDLAKE_PII_SECRET is missing"):
        Properties.read(Pipeline.load(ROOT), {})
    monkeypatch.setattr(properties, "FILE", str(tmp_path / "none.json"))
    with pytest.raises(BadInput, match="There are no runtime properties"):
        Properties.read(Pipeline.load(ROOT), {})


def test_only_what_the_service_lets_be_set_is_set() -> None:
    assert set(on_any_flink({"archive": {}}, 30)) <= MODIFIABLE
