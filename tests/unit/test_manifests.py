"""The Kubernetes manifests against the operator's own schema, and against what they name."""

from __future__ import annotations

import json
import zipfile
from functools import lru_cache
from typing import Any

import jsonschema
import pytest
import yaml

from shardlake.errors import BadInput
from shardlake.flink.properties import Properties
from shardlake.install import jars
from shardlake.pipeline import Pipeline
from tests.support import ROOT

pytestmark = pytest.mark.unit

FOLDER = ROOT / "deploy" / "kubernetes"
CRD = "META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml"
FLINK_LINE = "v2_3"


@lru_cache
def schema() -> dict[str, Any]:
    """Of the newest operator that is in Maven, 1.10; unknown fields, which Kubernetes drops in silence, refused."""
    (path,) = jars.fetch(jars.pinned("operator"), lambda _: None).values()
    with zipfile.ZipFile(path) as archive:
        definition = yaml.load(archive.read(CRD), yaml.CSafeLoader)
    (version,) = definition["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    # It knows Flink up to 1.20. Later operators list v2_3 and change nothing else that is used here.
    found["properties"]["spec"]["properties"]["flinkVersion"]["enum"].append(FLINK_LINE)
    found["properties"] |= {name: {} for name in ("apiVersion", "kind", "metadata")}
    return strict(found)


def strict(one: dict[str, Any]) -> dict[str, Any]:
    if "properties" in one:
        one.setdefault("additionalProperties", False)
        for part in one["properties"].values():
            strict(part)
    if isinstance(one.get("items"), dict):
        strict(one["items"])
    return one


@pytest.fixture(scope="module")
def deployment() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "flink-deployment.yaml").read_text())
    return found


def test_the_operators_schema_takes_the_deployment(deployment: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema()).validate(deployment)


@pytest.mark.parametrize(("name", "value"), [("upgradMode", "savepoint"), ("parallelism", "two"), ("upgradeMode", "x")])
def test_the_schema_would_refuse_what_is_wrong(deployment: dict[str, Any], name: str, value: str) -> None:
    wrong = json.loads(json.dumps(deployment))
    wrong["spec"]["job"][name] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(wrong)


def test_the_deployment_runs_the_flink_that_is_in_the_image(deployment: dict[str, Any]) -> None:
    (pinned,) = (jar.version for jar in jars.pinned("flink") if jar.artifact == "flink-sql-parquet")
    assert deployment["spec"]["flinkVersion"] == f"v{'_'.join(pinned.split('.')[:2])}" == FLINK_LINE
    assert deployment["spec"]["job"]["jarURI"].endswith(f"/flink-python-{pinned}.jar")


def test_the_properties_are_those_that_a_package_reads(tmp_path: Any) -> None:
    configured = yaml.safe_load((FOLDER / "properties.yaml").read_text())["data"]["application_properties.json"]
    file = tmp_path / "application_properties.json"
    file.write_text(configured)
    with pytest.raises(BadInput, match="KAFKA_BOOTSTRAP_SERVERS still has its placeholder"):
        Properties.read(Pipeline.load(ROOT), {"SHARDLAKE_PROPERTIES": str(file)})
    file.write_text(configured.replace("<", "").replace(">", ""))
    found = Properties.read(Pipeline.load(ROOT), {"SHARDLAKE_PROPERTIES": str(file)})
    assert found.endpoints.lake_url == "s3://bucket/lake"


def test_no_secret_stands_in_a_manifest() -> None:
    text = "".join(path.read_text() for path in FOLDER.glob("*.yaml"))
    kinds = [one["kind"] for path in FOLDER.glob("*.yaml") for one in yaml.safe_load_all(path.read_text())]
    assert sorted(kinds) == ["ConfigMap", "FlinkDeployment"]
    assert "password" not in text.lower()
