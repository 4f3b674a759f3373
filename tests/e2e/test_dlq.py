"""Dead letters are listed, shown and redriven: the jobs' once, through kills; a group's through its consumer."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from shardlake import topics
from shardlake.dead_letter import GROUP, OFFSET, REDRIVEN_FROM, TIMESTAMP, DeadLetter, redriven_from
from shardlake.errors import ShardlakeError
from shardlake.lake.accounting import account
from shardlake.lake.query import query
from shardlake.lake.tables import lake_tables
from shardlake.redrive.letters import Letter
from shardlake.redrive.marks import await_others, read_marks
from shardlake.redrive.transactions import Transactions
from shardlake.testing.stack import RunningStack
from tests.support import PATIENCE_SECONDS, Topic, copy_pipeline, event, wait_for

pytestmark = pytest.mark.e2e

EVENTS, BAD, EARLY_SECONDS = 200, 450, 12
EARLY = 201
DLQ, GROUP_DLQ = "app-logs.dlq", "app-logs.mending.dlq"
MENDING = '''
"""Fails for some events, and kills its process for one, until it is mended."""
import os
from pathlib import Path

def process_record(record):
    number = int(record.data["event_id"].split("-")[1])
    if number % 50 == 0 and not Path(os.environ["MENDED"]).exists():
        if number == 100:
            os._exit(9)
        raise RuntimeError(f"number {number}")
    with Path(os.environ["RECORDED"]).open("a") as file:
        file.write(f"{record.shard_id} {record.sequence_number} {record.partition_key} {number}\\n")
'''
Place = tuple[int, int]
ODD_HEADERS = [("trace-id", b"\xff\x00\xaa"), (OFFSET, b"999999"), (TIMESTAMP, b"1" + b"0" * 30), (GROUP, b"traffic")]
"""One that is no text, and some that look like those of a dead letter: they decide nothing."""


class Letters:
    """A stack in which some records have become dead letters, and what was sent to it."""

    def __init__(self, stack: RunningStack, recorded: Path, mended: Path) -> None:
        self.stack, self.recorded, self.mended = stack, recorded, mended
        self.servers = stack.settings.kafka_bootstrap_servers
        topic = Topic(stack)
        self.events = [event(number) for number in range(EVENTS)]
        topic.send_events(self.events)
        producer = Producer({"bootstrap.servers": self.servers, "message.max.bytes": 10 << 20})
        for number in range(BAD):
            headers = [("trace", b"%d" % number), *ODD_HEADERS]
            producer.produce("app-logs", b"bad %d" % number, b"key %d" % number, headers=headers)
        # It is too early now, and an event by the time it is redriven.
        early = event(EARLY, event_time=datetime.now(UTC) + timedelta(hours=1, seconds=EARLY_SECONDS))
        self.early_sent = time.monotonic()
        producer.produce("app-logs", topic.encode(early), b"early")
        producer.produce("app-logs", topic.encode(event(0)) + b"\0", None)
        producer.produce("app-logs", bytes(4 << 20), b"too large", partition=1)
        assert producer.flush(30) == 0
        self.sent_by = datetime.now(UTC)

    def records(self, topic: str = "app-logs") -> list[Any]:
        return sorted(topics.read(self.servers, topic), key=lambda m: (m.partition(), m.offset()))

    def redriven(self) -> dict[Place, list[Any]]:
        """The redriven records of the topic by what they were."""
        found: dict[Place, list[Any]] = {}
        for message in self.records():
            if place := redriven_from(message.headers()):
                assert place[0] == "app-logs"
                found.setdefault(place[1:], []).append(message)
        return found

    def listed(self, *arguments: str) -> Any:
        return json.loads(self.stack.shardlake("dlq", "list", *arguments, "--json"))

    def counts(self, topic: str) -> dict[str, tuple[int, int]]:
        """How many were redriven and are left, by class."""
        return {name: (n["redriven"], n["left"]) for name, n in self.listed(topic)["by_class"].items()}

    def redrive(self, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
        said = self.stack.shardlake("dlq", "redrive", *arguments, "--yes", "--json", exit_code=exit_code)
        found: dict[str, Any] = json.JSONDecoder().raw_decode(said, said.index("{"))[0]
        return found


@pytest.fixture(scope="module")
def letters(shardlake_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Letters]:
    """The jobs run, and have put everything bad into their dead letters; so has a group of consumers."""
    folder, files = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=2), tmp_path_factory.mktemp("files")
    (folder / "consumers" / "mending.py").write_text(MENDING)
    stack = shardlake_stack.emptied(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MENDED", str(files / "mended"))
        patch.setenv("RECORDED", str(files / "recorded"))
        assert "no dead letters" in stack.shardlake("dlq", "list")
        assert "0 redriven" in stack.shardlake("dlq", "redrive", DLQ, "--yes")
        stack.shardlake("jobs", "run", "archive")
        found = Letters(stack, files / "recorded", files / "mended")
        stack.shardlake("consume", "mending", "--until-caught-up", "--retries", "0", "--lanes", "process")
        wait_for(lambda: len(found.records(DLQ)) == BAD + 3, "dead letters of the jobs")
        yield found


def test_the_jobs_letters_are_listed_redriven_once_each_and_rows_of_the_lake_where_mended(letters: Letters) -> None:
    listed_by_topic_and_class_and_one_by_one(letters)
    sent_again_as_they_were_and_only_once(letters)
    sent_again_once_by_a_redrive_that_is_killed_and_run_again(letters)
    a_row_of_the_lake_where_it_is_an_event_by_now(letters)


def listed_by_topic_and_class_and_one_by_one(letters: Letters) -> None:
    overview = {one["topic"]: (one["of"], one["by_class"]) for one in letters.listed()}
    assert overview.keys() == {DLQ, GROUP_DLQ}
    of_jobs = {"NoSchemaId": BAD, "EventTimeOutOfRange": 1, "TrailingBytes": 1, "TooLarge": 1}
    assert overview[DLQ] == ("the jobs", {c: {"total": n, "redriven": 0, "left": n} for c, n in of_jobs.items()})
    totals = {name: n["total"] for name, n in overview[GROUP_DLQ][1].items()}
    assert overview[GROUP_DLQ][0] == "group mending"
    assert totals["RuntimeError"] == 3
    assert totals["ProcessDied"] == 1
    assert totals["NoSchemaId"] == BAD

    (early,) = letters.listed(DLQ, "--key", "early")["letters"]
    (source,) = [m for m in letters.records() if m.key() == b"early"]
    assert early["source"] == f"app-logs/{source.partition()}/{source.offset()}"
    assert datetime.fromisoformat(early["arrival"]).timestamp() == source.timestamp()[1] / 1000
    assert early["error_class"] == "io.shardlake.flink.EventTimeOutOfRange"
    at = f"app-logs-{source.partition()}:{source.offset()}"
    assert letters.listed(DLQ, "--source", at)["letters"] == [early]
    assert letters.listed(DLQ, "--until", "2020-01-01")["letters"] == []
    assert len(letters.listed(GROUP_DLQ, "--error-class", "RuntimeError", "--group", "mending")["letters"]) == 3
    said = letters.stack.shardlake("dlq", "list", DLQ, "--limit", "7")
    assert f"and {BAD + 3 - 7:,} more" in said


def test_one_is_shown_with_its_headers_and_bytes(letters: Letters) -> None:
    (early,) = letters.listed(DLQ, "--key", "early")["letters"]
    said = letters.stack.shardlake("dlq", "show", DLQ, f"{early['partition']}:{early['offset']}", "--bytes", "16")
    assert "may be PII" in said
    assert "__connect.errors.exception.class.name    io.shardlake.flink.EventTimeOutOfRange" in said
    assert "00000000: 0000 0000" in said
    assert f"event-{EARLY}" in said
    assert "bytes more" in said
    (bad,) = letters.listed(DLQ, "--key", "key 7", "--until", letters.sent_by.isoformat())["letters"]
    said = letters.stack.shardlake("dlq", "show", DLQ, str(bad["offset"]))
    assert "6261 6420 37" in said
    assert "trace                                    7" in said
    assert "it cannot be decoded: NoSchemaId" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "nothing.dlq"), f"There is: {DLQ}, {GROUP_DLQ}"),
        (("redrive", "app-logs", "--yes"), "There is no dead-letter topic"),
        (("show", DLQ, "99999"), "There is no dead letter at 0:99999"),
        (("show", DLQ, "first"), "is no offset"),
        (("list", DLQ, "--error-class", "NoSchemaID"), "NoSchemaId"),
        (("list", DLQ, "--source", "app-logs"), "names no source"),
        (("redrive", DLQ), "Say --yes"),
        (("redrive", GROUP_DLQ, "--yes", "--consumer", "nobody"), "There is no consumer 'nobody'"),
    ],
)
def test_what_is_wrong_is_said(letters: Letters, arguments: tuple[str, ...], said: str) -> None:
    assert said in letters.stack.shardlake("dlq", *arguments, exit_code=2)


def sent_again_as_they_were_and_only_once(letters: Letters) -> None:
    chosen = (DLQ, "--source", "app-logs-0", "--error-class", "NoSchemaId", "--limit", "10")
    before = len(letters.records())
    dry = letters.stack.shardlake("dlq", "redrive", *chosen, "--dry-run")
    assert "10 would be redriven" in dry
    assert len(letters.records()) == before
    assert letters.redrive(*chosen)["redriven"] == 10
    redriven = wait_for(lambda: len(found := letters.redriven()) >= 10 and found, "what was committed to be seen")
    sources = {(m.partition(), m.offset()): m for m in letters.records()}
    assert len(redriven) == 10
    for place, (message,) in redriven.items():
        source = sources[place]
        assert (message.key(), message.value(), message.partition()) == (source.key(), source.value(), 0)
        header = (REDRIVEN_FROM, f"app-logs/{place[0]}/{place[1]}".encode())
        # The jobs keep them as a map, which has no order.
        assert sorted(message.headers()) == sorted([*source.headers(), header])
    first = max(offset for _, offset in redriven)
    again = letters.redrive(DLQ, "--source", f"app-logs-0:0-{first}", "--error-class", "NoSchemaId")
    assert (again["redriven"], again["already_redriven"]) == (0, 10)
    assert letters.redriven().keys() == redriven.keys()
    (one,) = letters.listed(DLQ, "--source", f"app-logs-0:{first}")["letters"]
    (message,) = redriven[0, first]
    assert one["redriven_to"] == f"app-logs/0/{message.offset()}"


def sent_again_once_by_a_redrive_that_is_killed_and_run_again(letters: Letters) -> None:
    # Later ones are of records that were redriven, and are as bad as before.
    chosen = (DLQ, "--error-class", "NoSchemaId", "--until", letters.sent_by.isoformat())
    for _ in range(2):
        had = len(letters.redriven())
        running = letters.stack.start("dlq", "redrive", *chosen, "--yes")
        assert running.stdout is not None
        while "sent again" not in (line := running.stdout.readline()):
            assert line, "it has ended before it was killed"
        running.kill()
        running.communicate(timeout=PATIENCE_SECONDS)
        wait_for(lambda: len(letters.redriven()) > had, "what it had sent again")  # noqa: B023
        assert len(letters.redriven()) < BAD
    assert letters.redrive(*chosen)["redriven"] > 0
    assert letters.redrive(*chosen)["redriven"] == 0
    redriven = letters.redriven()
    bad = {(m.partition(), m.offset()) for m in letters.records() if m.value()[:4] == b"bad " and not _is_redriven(m)}
    assert redriven.keys() == bad
    assert {len(messages) for messages in redriven.values()} == {1}
    # The redriven ones are dead letters of their own, which are left: nothing goes round by itself.
    wait_for(lambda: letters.counts(DLQ)["NoSchemaId"] == (BAD, BAD), "the dead letters of the redriven ones")


def test_who_begins_last_fences_the_one_before(letters: Letters) -> None:
    source = DeadLetter("app-logs", 0, 0, 0, "Bad", "")
    letter = Letter(0, 0, source, None, 0)
    before, after = Transactions(letters.servers, "some.dlq"), Transactions(letters.servers, "some.dlq")
    before.begin()
    before.mark(letter, "nowhere")
    after.begin()
    with pytest.raises(ShardlakeError, match=r"Another redrive of some\.dlq has begun"):
        before.mark(letter, "elsewhere")
    await_others(letters.servers, lambda _: None)
    assert read_marks(letters.servers, "some.dlq")["some.dlq/app-logs/0/0"].to == "nowhere"


def test_those_of_a_group_go_through_its_consumer_and_not_to_the_topic(letters: Letters) -> None:
    ends = topics.offsets(letters.servers, "app-logs")
    letters.recorded.unlink()
    found = letters.redrive(GROUP_DLQ, "--error-class", "RuntimeError", exit_code=1)
    assert (found["redriven"], found["failed"]) == (0, 3)
    assert letters.redrive(GROUP_DLQ, "--error-class", "ProcessDied", exit_code=1)["failed"] == 1
    letters.mended.touch()
    for name, count in (("RuntimeError", 3), ("ProcessDied", 1)):
        found = letters.redrive(GROUP_DLQ, "--error-class", name)
        assert (found["redriven"], found["failed"]) == (count, 0)
    assert letters.redrive(GROUP_DLQ, "--error-class", "RuntimeError")["redriven"] == 0
    lines = [line.split(" ") for line in letters.recorded.read_text().splitlines()]
    sources = {(f"app-logs-{m.partition()}", str(m.offset())): m.key().decode() for m in letters.records() if m.key()}
    assert {int(number) for *_, number in lines} == {0, 50, 100, 150}
    assert len(lines) == 4
    for shard, sequence_number, key, number in lines:
        assert sources[shard, sequence_number] == key == letters.events[int(number)]["client_address"]
    assert topics.offsets(letters.servers, "app-logs") == ends


def test_a_value_that_was_too_large_for_the_dead_letters_is_read_from_the_source(letters: Letters) -> None:
    (one,) = letters.listed(GROUP_DLQ, "--key", "too large")["letters"]
    assert one["bytes"] == 4 << 20
    # Its consumer cannot decode it, which it can only say of a value.
    said = letters.stack.shardlake("dlq", "redrive", GROUP_DLQ, "--key", "too large", "--yes", exit_code=1)
    assert "NoSchemaId" in said or "TooLarge" in said
    assert "GoneByRetention" not in said


def a_row_of_the_lake_where_it_is_an_event_by_now(letters: Letters) -> None:
    time.sleep(max(0.0, letters.early_sent + EARLY_SECONDS + 1 - time.monotonic()))
    assert letters.redrive(DLQ, "--key", "early")["redriven"] == 1
    letters.stack.shardlake("jobs", "finish")
    tables = lake_tables(letters.stack.settings.lake, letters.stack.pipeline)
    rows = query("SELECT event_id, path, status FROM app_logs ORDER BY event_id", tables).rows
    wanted = [*letters.events, event(EARLY)]
    assert rows == sorted((e["event_id"], e["path"].split("?")[0], e["status"]) for e in wanted)
    accounts = account(letters.servers, letters.stack.pipeline.events_topic, letters.stack.settings.lake)
    assert all(one.holds for one in accounts)
    assert sum(one.control_records for one in accounts) > 0
    said = letters.stack.shardlake("verify")
    assert Counter(said.split())["none"] >= 5
    line = next(line for line in said.splitlines() if "redriven dead letters, in the topic" in line)
    assert f"{BAD + 1:,}" in line


def _is_redriven(message: Any) -> bool:
    return redriven_from(message.headers()) is not None
