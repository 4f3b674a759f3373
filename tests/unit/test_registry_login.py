"""A registry's password lets our clients in, and is printed nowhere, stored nowhere, and told to no other server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardlake import registry_login
from shardlake.avro.registry import Registry
from shardlake.errors import BadInput, Unavailable
from shardlake.flink.endpoints import Endpoints
from shardlake.flink.properties import Properties
from shardlake.flink.tables import table_definitions
from shardlake.pipeline import Pipeline
from shardlake.settings import Settings
from shardlake.stack.server import Server, ServerPlan
from tests.support import ROOT
from tests.unit.registry_server import RegistryServer, serving

pytestmark = pytest.mark.unit

LOGIN = "shard:l@ke:9"
QUOTED = "shard:l%40ke%3A9"
SECRET = "l@ke:9"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryServer]:
    """One that wants the login; no variable names it yet."""
    for name in (registry_login.VARIABLE, *registry_login.URLS):
        monkeypatch.delenv(name, raising=False)
    schema = json.dumps(Pipeline.load(ROOT).schemas["app_log"])
    with serving(RegistryServer({1: schema}, {"app-logs-value": [1]}, login=LOGIN)) as server:
        yield server
    os.environ.pop(registry_login.VARIABLE, None)


def test_a_password_in_the_url_goes_to_the_registry_and_stays_out_of_the_settings(
    registry: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", f"http://{QUOTED}@{registry.address}")
    monkeypatch.setenv("SHARDLAKE_JOBS_REGISTRY", f"http://{QUOTED}@registry:8080/apis")
    settings = Settings.read()
    assert (settings.schema_registry_url, settings.jobs_registry) == (registry.url, "http://registry:8080/apis")
    assert os.environ[registry_login.VARIABLE] == LOGIN
    assert SECRET not in str(settings.model_dump()) + repr(settings)
    assert Settings.read() == settings
    assert [one.schema_id for one in Registry(settings.schema_registry_url).versions("app-logs-value")] == [1]


def test_a_registry_that_refuses_is_not_one_that_is_down_and_the_password_is_not_said(registry: RegistryServer) -> None:
    with pytest.raises(Unavailable, match=r"does not let us in \(status 401\)") as refused:
        Registry(registry.url).subjects()
    assert refused.value.hint == "Set SCHEMA_REGISTRY_LOGIN=user:password."
    os.environ[registry_login.VARIABLE] = "shard:wrong-one"
    with pytest.raises(Unavailable, match="does not let us in") as refused:
        Registry(registry.url).subjects()
    assert "wrong-one" not in str(refused.value) + refused.value.hint


@pytest.mark.parametrize("command", [["schema", "check"], ["doctor", "--json"], ["--verbose", "schema", "diff"]])
def test_no_command_prints_the_password(registry: RegistryServer, command: list[str], tmp_path: Path) -> None:
    url = f"http://{QUOTED}@{registry.address}"
    variables = {"SCHEMA_REGISTRY_URL": url, "SHARDLAKE_STATE": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-m", "shardlake", *command],
        cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert registry.asked
    assert "not let us in" not in done.stdout + done.stderr
    for word in (SECRET, QUOTED, "l%40ke"):
        assert word not in done.stdout + done.stderr
    left = [file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(SECRET in text or QUOTED in text for text in left)


@pytest.mark.parametrize(
    "variables",
    [
        {"SCHEMA_REGISTRY_URL": "http://alone@host:1"},
        {"SCHEMA_REGISTRY_URL": "http://:pass-word@host:1"},
        {
            "SCHEMA_REGISTRY_URL": "http://one:pass-word@host:1",
            "SHARDLAKE_JOBS_REGISTRY": "http://other:pass-word@host:1",
        },
        {"SCHEMA_REGISTRY_URL": "http://one:pass-word@host:1", "SCHEMA_REGISTRY_LOGIN": "one:another"},
    ],
)
def test_a_login_that_is_unclear_is_refused_without_its_password(variables: dict[str, str]) -> None:
    with pytest.raises(BadInput, match=r"SCHEMA_REGISTRY_URL|SHARDLAKE_JOBS_REGISTRY") as refused:
        registry_login.take_out_of_urls(variables)
    assert "pass-word" not in str(refused.value) + refused.value.hint


def test_urls_without_a_password_stay_as_they_are() -> None:
    plain = {"SCHEMA_REGISTRY_URL": "http://host:8081/@/path", "SHARDLAKE_JOBS_REGISTRY": ""}
    variables = dict(plain)
    registry_login.take_out_of_urls(variables)
    assert variables == plain
    assert registry_login.login(variables) is None
    with pytest.raises(BadInput, match="is not user:password"):
        registry_login.login({registry_login.VARIABLE: "nothing"})


@pytest.mark.parametrize("name", ["LAKE_URL", "SHARDLAKE_JOBS", "AWS_ENDPOINT_URL", "FLINK_REST_URL"])
def test_other_urls_with_a_password_are_refused_without_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, f"http://user:{SECRET}@host/lake")
    with pytest.raises(BadInput, match=f"{name} names a user or a password") as refused:
        Settings.read()
    assert SECRET not in str(refused.value) + refused.value.hint


def test_the_jobs_tables_name_where_the_login_is_and_not_the_login() -> None:
    pipeline = Pipeline.load(ROOT)
    plain = list(table_definitions(pipeline, Endpoints("broker:9092", "http://registry", "file:///lake")))
    with_login = list(
        table_definitions(pipeline, Endpoints("broker:9092", "http://registry", "file:///lake", registry_login=True))
    )
    added = ", 'value.avro-confluent.basic-auth.credentials-source' = 'SHARDLAKE'"
    assert [statement.replace(added, "") for statement in with_login] == plain
    assert sum(added in statement for statement in with_login) == sum("'avro-confluent'" in one for one in plain) > 0


def test_no_server_but_a_task_manager_is_told_the_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry_login.VARIABLE, LOGIN)
    say = "import os; print(os.environ.get('SCHEMA_REGISTRY_LOGIN'))"
    for told, expected in (({}, "None"), (registry_login.of_task_managers(), LOGIN)):
        log = tmp_path / f"{expected}.log"
        server = Server(ServerPlan("kafka", [sys.executable, "-c", say], "", lambda: True, environment=told), log)
        server.wait()
        assert log.read_text().strip() == expected


@pytest.mark.parametrize("name", ["SCHEMA_REGISTRY_URL", "LAKE_URL"])
def test_a_packaged_application_is_given_no_password_in_a_property(name: str, tmp_path: Path) -> None:
    given = {"KAFKA_BOOTSTRAP_SERVERS": "b:1", "SCHEMA_REGISTRY_URL": "http://registry", "LAKE_URL": "s3://lake"}
    given[name] = f"http://user:{SECRET}@host"
    file = tmp_path / "properties.json"
    file.write_text(json.dumps([{"PropertyGroupId": "shardlake", "PropertyMap": given}]))
    with pytest.raises(BadInput, match=f"{name} holds a password") as refused:
        Properties.read(Pipeline.load(ROOT), {"SHARDLAKE_PROPERTIES": str(file)})
    assert SECRET not in str(refused.value) + refused.value.hint
