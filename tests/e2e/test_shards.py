"""Shards on a real broker: hand-overs, kills, both protocols, positions, dead letters. What was handled is taken from
the files that the handlers write, what was there from the broker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from shardlake import topics
from shardlake.dead_letter import DeadLetter
from shardlake.shards.lease import Lease
from shardlake.testing.stack import RunningStack
from tests.support import PATIENCE_SECONDS, Topic, command_line, copy_pipeline, event, wait_for

pytestmark = pytest.mark.e2e

RECORDER = '''
"""Writes down what it has handled, one line a record, in one write."""
import os, random, time

FILE = os.open(os.path.join(os.environ["RECORDED"], str(os.getpid())), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def process_record(record):
    time.sleep(random.random() * 0.002 * int(os.environ.get("SLOW", "1")))
    os.write(FILE, f"{record.shard_id} {record.sequence_number} {record.partition_key}\\n".encode())
'''
FAILING = '''
"""Cannot do with every hundredth event."""
import os
from recorder import process_record as record_it

def process_record(record):
    if int(record.data["event_id"].split("-")[1]) % 100 == 50:
        raise LookupError("no customer of that name")
    record_it(record)
'''
EXITING = '''
"""Ends its process at one event."""
import os
from recorder import process_record as record_it

def process_record(record):
    if record.data["event_id"] == "event-77":
        os._exit(9)
    record_it(record)
'''
BROKEN = '''
"""Can do with no event."""
def process_record(record):
    raise KeyError("customer")
'''
AS_LAMBDA = '''
"""Brought from AWS: stops at the first record that fails, once for each of some."""
from recorder import process_record as record_it

failed = set()

def process_records(records):
    for record in records:
        if record.sequence_number % 50 == 7 and record.sequence_number not in failed:
            failed.add(record.sequence_number)
            return {"batchItemFailures": [{"itemIdentifier": str(record.sequence_number)}]}
        record_it(record)
    return {"batchItemFailures": []}
'''


@pytest.fixture(scope="module")
def shards(shardlake_broker: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> RunningStack:
    """A stack, and consumers that write down what they do."""
    folder = copy_pipeline(tmp_path_factory.mktemp("pipeline"), partitions=4)
    texts = {"recorder": RECORDER, "failing": FAILING, "exiting": EXITING, "broken": BROKEN, "as_lambda": AS_LAMBDA}
    for name, text in texts.items():
        (folder / "consumers" / f"{name}.py").write_text(text.replace("from recorder", "from consumers.recorder"))
    broker = shardlake_broker.emptied(folder)
    Topic(broker).send_events([event(number) for number in range(2000)])
    return broker


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the recorders write."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    monkeypatch.setenv("RECORDED", str(folder))
    return folder


def handled(folder: Path) -> list[tuple[str, int]]:
    """Shards and sequence numbers, file by file."""
    return [
        (shard, int(number))
        for file in folder.iterdir()
        for shard, number, _ in (line.split(" ", 2) for line in file.read_text().splitlines())
    ]


def done(folder: Path, count: int) -> bool:
    return len(handled(folder)) > count


def there(stack: RunningStack, topic: str = "app-logs") -> set[tuple[str, int]]:
    """The same, of the topic."""
    servers = stack.settings.kafka_bootstrap_servers
    return {(f"{topic}-{one.partition()}", one.offset()) for one in topics.read(servers, topic)}


def committed(stack: RunningStack, group: str) -> int:
    return sum(topics.committed(stack.settings.kafka_bootstrap_servers, group, "app-logs").values())


def leases(stack: RunningStack, group: str) -> list[Lease | None]:
    consumer = Consumer({"bootstrap.servers": stack.settings.kafka_bootstrap_servers, "group.id": group})
    try:
        found = topics.committed_by(consumer, [TopicPartition("app-logs", number) for number in range(4)])
        return [Lease.from_metadata(one.metadata) for one in found]
    finally:
        consumer.close()


def caught_up(stack: RunningStack, group: str) -> bool:
    ends = topics.offsets(stack.settings.kafka_bootstrap_servers, "app-logs").values()
    return committed(stack, group) == sum(end for _, end in ends)


def stop(*processes: subprocess.Popen[str]) -> list[str]:
    for process in processes:
        process.terminate()
    return [process.communicate(timeout=PATIENCE_SECONDS)[0] for process in processes]


def worker_of(command: subprocess.Popen[str]) -> int:
    """The process of its only worker, once there is one."""

    def found() -> list[int]:
        children = psutil.Process(command.pid).children()
        return [one.pid for one in children if "spawn_main" in command_line(one)]

    (pid,) = wait_for(found, "the worker's process")
    return int(pid)


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_hand_overs_double_nothing(
    shards: RunningStack, recorded: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "200")  # long enough for a second worker to come before all is done
    group = f"hand-over-{protocol}"
    arguments = ("consume", "recorder", "--group", group, "--factor", "4", "--protocol", protocol)
    first = shards.start(*arguments)
    wait_for(lambda: len(handled(recorded)) > 50, "the first worker")
    second = shards.start(*arguments)
    wait_for(lambda: sum(1 for one in recorded.iterdir() if one.stat().st_size) == 2, "the second worker")
    said = stop(first)
    assert first.returncode == 0, said
    wait_for(lambda: caught_up(shards, group), "all committed")
    said += stop(second)
    assert second.returncode == 0, said
    seen = Counter(handled(recorded))
    assert seen.keys() == there(shards)
    twice = sorted(one for one, times in seen.items() if times > 1)
    assert not twice, "\n".join(said)
    assert {lease.epoch > 1 for lease in leases(shards, group) if lease} == {True}


@pytest.mark.thorough
def test_order_by_key_survives_kills_and_rebalances(
    shards: RunningStack, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "100")
    arguments = ("consume", "recorder", "--group", "kills", "--factor", "8")
    workers = [shards.start(*arguments), shards.start(*arguments)]
    for kills in range(3):
        wait_for(partial(done, recorded, 300 * (kills + 1)), "some work")
        victim = workers.pop(0)
        os.kill(worker_of(victim), signal.SIGKILL)
        assert "killed by SIGKILL" in victim.communicate(timeout=PATIENCE_SECONDS)[0]
        workers.append(shards.start(*arguments))
    wait_for(lambda: caught_up(shards, "kills"), "all committed")
    stop(*workers)
    seen = Counter(handled(recorded))
    assert seen.keys() == there(shards)
    # A lane's record was handled at the kill and not committed yet; commits are a tenth of a second apart.
    assert seen.total() - len(seen) < 1000
    for file in recorded.iterdir():
        by_key: dict[str, list[int]] = defaultdict(list)
        for line in file.read_text().splitlines():
            shard, number, key = line.split(" ", 2)
            by_key[shard + key].append(int(number))
        assert all(numbers == sorted(set(numbers)) for numbers in by_key.values())


def test_a_record_that_fails_is_a_dead_letter_with_its_bytes(shards: RunningStack, recorded: Path) -> None:
    said = shards.shardlake("consume", "failing", "--factor", "4", "--until-caught-up", "--backoff", "0.01")
    assert "LookupError at failing.py:8" in said
    assert "no customer" not in said
    servers = shards.settings.kafka_bootstrap_servers
    source = {(f"app-logs-{one.partition()}", one.offset()): one for one in topics.read(servers, "app-logs")}
    letters = list(topics.read(servers, "app-logs.failing.dlq"))
    assert len(letters) == 20
    for letter in letters:
        told = DeadLetter.from_headers(letter.headers())
        original = source.pop((f"{told.topic}-{told.partition}", told.offset))
        assert (letter.key(), letter.value()) == (original.key(), original.value())
        assert (told.error_class, told.error_message) == ("LookupError", "no customer of that name")
        assert (told.group, told.attempts, told.timestamp_ms) == ("failing", 4, original.timestamp()[1])
    assert Counter(handled(recorded)) == Counter(source.keys())
    assert caught_up(shards, "failing")


@pytest.mark.thorough
def test_a_dead_letter_topic_that_went_is_waited_for(shards: RunningStack, recorded: Path) -> None:
    servers = shards.settings.kafka_bootstrap_servers
    process = shards.start("consume", "failing", "--group", "waiting", "--retries", "0", "--dead-letters", "gone")
    wait_for(lambda: "gone" in AdminClient({"bootstrap.servers": servers}).list_topics(timeout=5).topics, "topic")
    topics.delete(servers, ["gone"])
    time.sleep(6)
    blocked = committed(shards, "waiting")
    assert blocked < len(there(shards))
    admin = AdminClient({"bootstrap.servers": servers})
    for future in admin.create_topics([NewTopic("gone", 1)]).values():
        future.result()
    wait_for(lambda: caught_up(shards, "waiting"), "all committed")
    (said,) = stop(process)
    assert process.returncode == 0, said
    letters = {DeadLetter.from_headers(one.headers()).offset for one in topics.read(servers, "gone")}
    assert letters
    assert len(Counter(handled(recorded))) == len(there(shards)) - 20


def test_a_consumer_whose_every_record_fails_says_so_soon(shards: RunningStack) -> None:
    began = time.monotonic()
    said = shards.shardlake("consume", "broken", "--until-caught-up", exit_code=1)
    assert time.monotonic() - began < 120
    assert "Every record has failed so far, all " in said
    assert ": KeyError at broken.py:4." in said
    assert "shardlake dlq redrive app-logs.broken.dlq" in said
    assert 20 <= len(there(shards, "app-logs.broken.dlq")) < 100


def test_an_answer_in_lambda_s_words_loses_nothing(shards: RunningStack, recorded: Path) -> None:
    shards.shardlake("consume", "as_lambda", "--until-caught-up", "--backoff", "0.01")
    assert set(handled(recorded)) == there(shards)
    assert not there(shards, "app-logs.as_lambda.dlq")
    assert caught_up(shards, "as_lambda")


def test_a_handler_that_ends_its_process_costs_one_record(shards: RunningStack, recorded: Path) -> None:
    arguments = ("consume", "exiting", "--until-caught-up")
    said = shards.shardlake(*arguments, "--group", "in-threads", exit_code=1)
    assert "its handler ended it with exit code 9; --lanes process contains that" in said
    for file in recorded.iterdir():
        file.unlink()
    shards.shardlake(*arguments, "--lanes", "process", "--backoff", "0.01")
    (letter,) = topics.read(shards.settings.kafka_bootstrap_servers, "app-logs.exiting.dlq")
    told = DeadLetter.from_headers(letter.headers())
    assert (told.error_class, told.attempts) == ("ProcessDied", 2)
    assert set(handled(recorded)) == there(shards) - {(f"app-logs-{told.partition}", told.offset)}


@pytest.mark.thorough
def test_what_retention_took_is_told_and_latest_stays_what_it_was(shards: RunningStack, recorded: Path) -> None:
    servers = shards.settings.kafka_bootstrap_servers
    source = shards.pipeline.topic("service-health")  # of bytes as good as any
    Topic(shards)
    admin = AdminClient({"bootstrap.servers": servers})
    assert source.partitions == 2
    shards.shardlake("consume", "traffic", "--group", "late", "--position", "LATEST", "--until-caught-up")
    assert committed(shards, "late") == len(there(shards))
    Topic(shards).send_events([event(number) for number in range(2000, 2040)])
    done = shards.shardlake("consume", "recorder", "--group", "late", "--position", "LATEST", "--until-caught-up")
    assert len(handled(recorded)) == 40, done

    shards.shardlake("consume", "recorder", "--group", "early", "--until-caught-up")
    ends = topics.offsets(servers, "app-logs")
    Topic(shards).send_events([event(number) for number in range(2040, 2140)])
    new_ends = topics.offsets(servers, "app-logs")
    # As retention does: half of what has come since goes.
    cut = {number: ends[number][1] + (new_ends[number][1] - ends[number][1]) // 2 for number in ends}
    for future in admin.delete_records([TopicPartition("app-logs", *one) for one in cut.items()]).values():
        future.result()
    for file in recorded.iterdir():
        file.unlink()
    said = shards.shardlake("consume", "recorder", "--group", "early", "--until-caught-up")
    assert sorted(handled(recorded)) == sorted(there(shards))
    for number, (_, end) in ends.items():
        lost = cut[number] - end
        assert f"app-logs-{number}: {lost} records, {end:,} to {cut[number] - 1:,}, went by retention" in said


def test_bad_input_is_refused_with_what_to_do(shards: RunningStack) -> None:
    for arguments, words, exit_code in (
        (("traffic", "--factor", "0"), "'--factor': Input should be greater than or equal to 1", 2),
        (("traffic", "--topic", "app-log"), "There is no topic 'app-log'", 2),
        (("traffik",), "There is no consumer 'traffik'", 2),
        (("traffic", "--position", "OLDEST"), "They are: TRIM_HORIZON, LATEST", 2),
        (("traffic", "--dead-letters", "app-logs"), "cannot take its own dead letters", 2),
        (("traffic", "--timeout", "-1"), "'--timeout': Input should be greater than or equal to 0", 2),
    ):
        assert words in " ".join(shards.shardlake("consume", *arguments, exit_code=exit_code).split())


@pytest.mark.thorough
def test_a_static_member_that_is_there_twice_is_told(shards: RunningStack, recorded: Path) -> None:
    arguments = ("consume", "recorder", "--group", "static", "--instance", "one")
    first = shards.start(*arguments)
    wait_for(lambda: handled(recorded), "the first")
    said = shards.shardlake(*arguments, exit_code=1)
    assert "The instance ID is still used by another member" in said
    (output,) = stop(first)
    assert first.returncode == 0, output


@pytest.mark.thorough
def test_large_and_missing_keys_and_values_are_handled(shards: RunningStack, recorded: Path) -> None:
    topic = Topic(shards)
    key = b"k" * (1 << 20) + b"\xff"
    before = there(shards)
    topic.send([topic.encode(event(1)), None], [key[:900_000], b"null"])
    topic.send([topic.encode(event(2)), None])
    shards.shardlake("consume", "recorder", "--group", "odd", "--factor", "3", "--until-caught-up")
    new = there(shards) - before
    lines = [line.split(" ", 2) for file in recorded.iterdir() for line in file.read_text().splitlines()]
    found = {len(key) if key != "None" else None for shard, number, key in lines if (shard, int(number)) in new}
    assert found == {900_000, None}
    assert caught_up(shards, "odd")
