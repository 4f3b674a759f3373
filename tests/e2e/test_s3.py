"""The lake in S3: through kills of the task manager and of S3 itself nothing is lost, what is left over is found and
removed, and where S3 does not let us in it is said why."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardlake.flink.needed import Needed
from shardlake.lake.tables import lake_tables
from shardlake.lake.uploads import Leftover, leftovers
from shardlake.storage import is_remote
from shardlake.testing.stack import RunningStack, running_stack
from tests.e2e.lake import all_accounted_for, as_older_versions_wrote, rows
from tests.support import PATIENCE_SECONDS, ROOT, Topic, event, has_instants, json_in, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

EVENTS = 100
CLEAR_SECONDS = 40
"""An error must be said within it, also on a machine whose cores are taken."""


@pytest.fixture(scope="module")
def on_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack whose lake is in S3, and holds what its jobs have read to the end."""
    data = tmp_path_factory.mktemp("data")
    with running_stack(ROOT, tmp_path_factory.mktemp("state"), s3=True, data=data) as stack:
        Topic(stack).send_events([event(number) for number in range(EVENTS)])
        # Both read what is there: verify recounts the windows of every row.
        stack.shardlake("jobs", "run", "archive", "service_health")
        stack.shardlake("jobs", "finish")
        yield stack


def lake_uploads(stack: RunningStack) -> list[Leftover]:
    assert is_remote(stack.settings.lake)
    return leftovers(stack.settings.lake)


def archived(stack: RunningStack) -> int:
    return int(rows(stack, "SELECT count(*) FROM app_logs")[0][0])


def test_what_is_killed_under_load_loses_nothing_and_what_it_left_is_removed(
    on_s3: RunningStack, tmp_path: Path
) -> None:
    there = archived(on_s3)
    on_s3.shardlake("jobs", "run", "archive", "service_health")
    load = ("--synthetic", "--rate", "500", "--seed", "1", "--ledger", str(tmp_path / "run"))
    producer = on_s3.start("produce", *load, "--duration", "inf", "--json")
    wait_for(lambda: archived(on_s3) > there, "rows of a running job")
    on_s3.stack.servers["taskmanager"].kill()
    left = {one.upload_id for one in lake_uploads(on_s3)}
    on_s3.stack.restart("taskmanager")
    assert left
    before = archived(on_s3)
    wait_for(lambda: archived(on_s3) > before, "rows after the first kill")
    on_s3.stack.servers["s3"].kill()
    time.sleep(2)
    assert "S3 does not answer at" in on_s3.shardlake("query", "SELECT 1", exit_code=3)
    on_s3.stack.restart("s3")
    wait_for(on_s3.stack.servers["s3"].is_ready, "S3 after its kill")
    producer.terminate()
    output, _ = producer.communicate(timeout=PATIENCE_SECONDS)
    assert producer.returncode == 130, output
    sent = there + json_in(output)["acknowledged"]
    wait_for(lambda: archived(on_s3) == sent, "all rows after both kills")

    # A job is at work: what it needs stays, though it may be older than is asked for, and what was left goes.
    def remove() -> bool:
        on_s3.shardlake("lake", "uploads", "--older-than", "0", "--abort")
        return left.isdisjoint(one.upload_id for one in lake_uploads(on_s3))

    wait_for(remove, "checkpoints after which nobody needs what was left")
    on_s3.shardlake("jobs", "finish")
    assert all_accounted_for(on_s3)
    verdict = json_in(on_s3.shardlake("verify", str(tmp_path / "run"), "--json"))
    assert verdict["conclusion"] == "holds"
    assert lake_uploads(on_s3) == []


def test_an_upload_that_a_savepoint_names_is_kept(on_s3: RunningStack) -> None:
    """What a state names is looked for in the state's own bytes."""
    jobs = on_s3.settings.jobs
    assert is_remote(jobs)
    folder = jobs / "savepoints" / "savepoint-abcdef-0"
    (folder / "_metadata").write_bytes(b"...\x00\x03the-upload-id...")
    try:
        needed = Needed([jobs], ["the-upload-id", "another"])
        assert needed.why("the-upload-id", 1) == f"named by {folder}"
        assert needed.why("another", 1) == ""
        assert "at work" in needed.why("another", time.time_ns())
    finally:
        (folder / "_metadata").unlink()


def test_a_range_lists_and_reads_its_hours_alone(on_s3: RunningStack) -> None:
    sql = "SELECT count(*) FROM app_logs WHERE event_time >= '2030-01-01' AND event_time < '2030-01-02'"
    assert "app_logs: 0 of" in on_s3.shardlake("query", "--explain", sql)
    (read,) = json.loads(on_s3.shardlake("query", "--explain", "--json", "SELECT count(*) FROM app_logs"))["reads"]
    assert read["files"] == read["of_files"] > 0
    assert read["hours"] == read["of_hours"] > 0


def test_a_query_reads_the_tables_and_no_other_object_or_file(on_s3: RunningStack) -> None:
    assert archived(on_s3) > 0
    lake = on_s3.settings.lake
    for other in ("read_text('/proc/self/environ')", f"read_parquet('{lake}/**/*.parquet')", f"'{lake}/x.parquet'"):
        assert "lake's tables alone" in on_s3.shardlake("query", f"FROM {other}", exit_code=2)


def test_doctor_and_status_say_where_the_lake_is_and_no_secret(on_s3: RunningStack) -> None:
    secret = on_s3.settings.s3_secret_key.get_secret_value()
    said = on_s3.shardlake("doctor") + on_s3.shardlake("status") + repr(on_s3.settings)
    assert "S3 of the lake" in said
    assert secret not in said
    assert stat.S_IMODE((on_s3.stack.state / "stack.json").stat().st_mode) == 0o600
    logs = [path for path in on_s3.stack.state.rglob("*") if path.is_file() and path.name != "stack.json"]
    assert len(logs) > 4
    for path in [*logs, on_s3.stack.data / "flink" / "conf" / "config.yaml"]:
        assert secret not in path.read_text(errors="replace"), path


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "another"}, 2, "does not let these keys into the bucket shardlake"),
        ({"LAKE_URL": "s3://nowhere/lake"}, 2, "There is no bucket nowhere at"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, 3, "S3 does not answer at http://127.0.0.1:1"),
        ({"LAKE_URL": "gs://somewhere/lake"}, 2, "of no kind that is known: gs://"),
        ({"LAKE_URL": "s3:///lake"}, 2, "names no bucket"),
    ],
)
def test_where_s3_lets_nobody_in_it_is_said_why(
    on_s3: RunningStack, changed: dict[str, str], code: int, said: str
) -> None:
    settings = on_s3.settings
    environment = {
        **on_s3.environment,
        "LAKE_URL": settings.lake_url,
        **settings.s3.environment(),
        **changed,
    }
    for command in (["query", "SELECT 1"], ["verify"], ["jobs", "run"], ["lake", "uploads"]):
        began = time.monotonic()
        done = on_s3.run(*command, environment=environment)
        words = " ".join((done.stdout + done.stderr).split())
        assert (done.returncode, said in words) == (code, True), words
        assert time.monotonic() - began < CLEAR_SECONDS
        assert "Traceback" not in words


def test_a_stack_uses_its_own_s3_whatever_keys_the_environment_has(on_s3: RunningStack) -> None:
    environment = {**on_s3.environment, "AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "for another S3"}
    done = on_s3.run("query", "SELECT count(*) FROM app_logs", environment=environment)
    assert done.returncode == 0, done.stderr


def test_a_lake_of_an_older_version_is_migrated(on_s3: RunningStack) -> None:
    tables = lake_tables(on_s3.settings.lake, on_s3.pipeline)
    files = {file for table in tables for file in table.files()}
    before = rows(on_s3, 'SELECT * FROM app_logs ORDER BY "partition", "offset"')
    for file in files:
        as_older_versions_wrote(file)
    said = on_s3.shardlake("lake", "migrate")
    assert "the old ones are in s3://shardlake/lake/.migrated-" in said
    assert {file for table in tables for file in table.files()} == files
    assert all(map(has_instants, files))
    assert rows(on_s3, 'SELECT * FROM app_logs ORDER BY "partition", "offset"') == before


def test_a_rewind_puts_the_tables_aside(on_s3: RunningStack) -> None:
    before = rows(on_s3, "SELECT event_id FROM app_logs ORDER BY 1")
    said = on_s3.shardlake("jobs", "rewind", "--yes")
    assert "s3://shardlake/lake/.rewound-" in said
    assert rows(on_s3, "SELECT count(*) FROM app_logs") == [(0,)]
    Topic(on_s3).send_events([event(0)])
    assert "from the start of the topic" in on_s3.shardlake("jobs", "run", "archive")
    on_s3.shardlake("jobs", "finish")
    again = rows(on_s3, "SELECT event_id FROM app_logs ORDER BY 1")
    assert Counter(again) - Counter(before) == Counter([(event(0)["event_id"],)])
    assert len(again) == len(before) + 1
    assert all_accounted_for(on_s3)


@pytest.mark.slow
def test_a_kept_lake_comes_back_and_its_home_stays(tmp_path: Path) -> None:
    """Other ports, other keys, the same objects."""
    data, before = tmp_path / "data", EVENTS
    with running_stack(ROOT, tmp_path / "one", s3=True, data=data) as first:
        Topic(first).send_events([event(number) for number in range(EVENTS)])
        first.shardlake("jobs", "run", "archive")
        first.shardlake("jobs", "finish")
    with running_stack(ROOT, tmp_path / "two", s3=True, data=data) as stack:
        assert stack.settings.s3 != first.settings.s3
        assert rows(stack, "SELECT count(*) FROM app_logs") == [(before,)]
        Topic(stack).send_events([event(number) for number in range(10)])
        assert "anew, after the last record" in stack.shardlake("jobs", "run", "archive")
        stack.shardlake("jobs", "finish")
        assert rows(stack, "SELECT count(*) FROM app_logs") == [(before + 10,)]
        assert all_accounted_for(stack)
    said = subprocess.run(
        first.command("up", "--data", str(data)),
        capture_output=True, text=True, check=False, env={**os.environ, "SHARDLAKE_STATE": str(tmp_path / "three")},
    )  # fmt: skip
    assert said.returncode == 2
    assert "keeps its lake in S3" in " ".join(said.stderr.split())
