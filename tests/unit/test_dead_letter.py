"""Headers of dead letters: which are ours, and what becomes of those that only look like it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from shardlake import topics
from shardlake.cli.start import accounted_for
from shardlake.dead_letter import (
    ATTEMPTS,
    GROUP,
    LATEST_MS,
    LEFT_OUT,
    OFFSET,
    ORIGINAL,
    OURS,
    REDRIVEN_FROM,
    DeadLetter,
    Header,
    kept,
    original_headers,
)  # fmt: skip
from shardlake.doctor import data as doctor
from shardlake.lake.accounting import dead_letter_places
from shardlake.pipeline import Pipeline
from shardlake.redrive import originals as redriving
from shardlake.redrive.letters import Letter, read_letters
from shardlake.redrive.originals import Original, originals
from shardlake.redrive.transactions import redriven_headers
from shardlake.settings import Settings
from shardlake.shards import dead_letters as sending
from shardlake.shards.contract import Failure
from shardlake.shards.dead_letters import DeadLetters, Source
from tests.support import ROOT

pytestmark = pytest.mark.unit

PIPELINE = Pipeline.load(ROOT)
BINARY: Header = ("trace-id", b"\xff\x00\xaa")
OF_JOBS = DeadLetter("app-logs", 1, 7, 5_000, "io.shardlake.flink.NoSchemaId", "no schema id")


def of_jobs(**instead: bytes | None) -> list[tuple[str, bytes | None]]:
    """The headers that the jobs write, which have no group and count no attempts; some with another value or none.

    Names are the last parts of the headers' names, as `offset` and `consumer_group`.
    """
    found: dict[str, bytes | None] = {n: value for n, value in OF_JOBS.headers() if n not in (GROUP, ATTEMPTS)}
    for name in OURS:
        for last, value in instead.items():
            if name.endswith(f".{last.replace('_', '.')}"):
                found[name] = value
    return [(name, value) for name, value in found.items() if value is not None]


def record(
    offset: int, headers: list[Any] | None, *, topic: str = "app-logs.dlq", value: bytes | None = b"{}"
) -> Message:
    arrival = round(time.time() * 1000)
    return Message(topic=topic, partition=0, offset=offset, value=value, headers=headers, timestamp=(2, arrival))


HEADERS = st.lists(
    st.tuples(
        st.one_of(
            st.text(max_size=5),
            st.sampled_from([prefix * n + name for name in OURS for n in range(3) for prefix in (ORIGINAL,)]),
        ),
        st.one_of(st.none(), st.binary(max_size=5)),
    )
)


@given(HEADERS)
def test_whatever_headers_a_record_has_its_letter_is_ours_and_gives_them_back(headers: list[Header]) -> None:
    letter = DeadLetter("app-logs", 1, 7, 5_000, "ValueError", "why", group="traffic", attempts=4)
    written = [*kept(headers), *letter.headers()]
    assert DeadLetter.if_ours(written) == letter
    assert original_headers(written) == headers
    assert DeadLetter.if_ours([*kept(headers), *of_jobs()]) == OF_JOBS
    assert DeadLetter.if_ours(kept(headers)) is None


def test_letters_of_older_versions_stay_ours() -> None:
    imitated: list[Header] = [(OFFSET, b"\xff"), (ATTEMPTS, b"many"), BINARY]
    letter = DeadLetter("app-logs", 1, 7, 5_000, "ValueError", "why", group="traffic", attempts=4)
    assert DeadLetter.if_ours([*imitated, *letter.headers()]) == letter
    assert original_headers([BINARY, *letter.headers()]) == [BINARY]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("topic", b""), ("topic", b"a/b"), ("topic", b"\xff"), ("topic", b"a" * 250), ("topic", None),
        ("partition", b"-1"), ("partition", b"2147483648"), ("partition", b" 1"), ("partition", b"1_0"),
        ("partition", b"\xd9\xa1"),  # a digit of another script
        ("offset", b"-1"), ("offset", b"9223372036854775808"), ("offset", b"9" * 5000), ("offset", b"7.0"),
        ("offset", b""), ("offset", None),
        ("timestamp", b"-2"), ("timestamp", b"1" + b"0" * 30), ("timestamp", b"253402300800000"),
        ("attempts", b"-1"), ("attempts", b"99999999999"), ("left_out", b"-5"), ("left_out", b"99999999999"),
        ("consumer_group", b"\xff"), ("class_name", b"\xff"), ("class_name", None),
    ],
)  # fmt: skip
def test_what_none_of_ours_can_say_is_not_ours(header: str, value: bytes | None) -> None:
    assert DeadLetter.if_ours(of_jobs()) == OF_JOBS
    assert DeadLetter.if_ours(of_jobs(**{header: value})) is None


@pytest.mark.parametrize(("written", "read"), [(-1, -1), (10**18, LATEST_MS)])
def test_a_time_that_cannot_be_shown_makes_no_letter_foreign(written: int, read: int) -> None:
    found = DeadLetter.from_headers(DeadLetter("t", 0, 0, written, "ValueError", "").headers())
    assert found.timestamp_ms == read


RECORDS = [
    record(0, [BINARY, *of_jobs()]),
    record(1, [BINARY]),  # no letter
    record(2, None),
    record(3, of_jobs(timestamp=b"1" + b"0" * 30)),
    record(4, of_jobs(offset=b"999999")),  # the topic has never had it
    record(5, of_jobs(partition=b"17", offset=b"0")),
    record(6, of_jobs(offset=b"9")),
    record(7, of_jobs(topic=b"other")),
]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A broker whose topic of dead letters has RECORDS; what it was asked for."""
    asked: list[str] = []

    def read(_: str, topic: str, __: Any = None) -> Iterable[Any]:
        asked.append(f"read {topic}")
        return iter(RECORDS)

    def offsets(_: str, topic: str, since_ms: int | None = None) -> dict[int, tuple[int, int]]:
        asked.append(f"offsets {topic}")
        return {0: (0, 100), 1: (0, 10)}

    monkeypatch.setattr(topics, "read", read)
    monkeypatch.setattr(topics, "offsets", offsets)
    return asked


def test_what_is_not_ours_or_was_never_in_the_topic_accounts_for_nothing(broker: list[str]) -> None:
    assert dead_letter_places("broker", PIPELINE.events_topic) == [(1, 7), (1, 9)]
    # The other way round, a letter of a record that came in between would be left out.
    assert broker == ["read app-logs.dlq", "offsets app-logs"]


def test_jobs_start_where_real_letters_say(broker: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shardlake.lake.accounting.rows_by_partition", lambda *_: {})
    assert accounted_for(PIPELINE, Settings.read(lake_url="/nowhere")) == {"app-logs": {1: 10}}


def test_what_is_not_ours_is_listed_and_is_no_letter(broker: list[str]) -> None:
    letters = read_letters(PIPELINE, "broker", "app-logs.dlq")
    assert {one.offset: one.place for one in letters} == {
        0: "app-logs/1/7", 1: "", 2: "", 3: "", 4: "app-logs/1/999999", 5: "app-logs/17/0", 6: "app-logs/1/9", 7: "",
    }  # fmt: skip
    assert broker


def test_the_doctor_counts_the_letters_of_the_jobs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = str(round(time.time() * 1000)).encode()
    found = [*(record(n, [BINARY, *of_jobs(timestamp=now)]) for n in range(30)), *RECORDS]
    monkeypatch.setattr(topics, "read", lambda *_: iter(found))
    monkeypatch.setattr(topics, "offsets", lambda *_: {0: (0, 100)})
    (finding,) = doctor.dead_letters(PIPELINE.events_topic, Settings.read())
    assert not finding.ok
    assert finding.found == "30 of 100 records of the last 5 minutes, most of them NoSchemaId"


class Producer:
    """In place of confluent_kafka's: everything is acknowledged."""

    def __init__(self, _: Any) -> None:
        self.headers: list[Header] = []

    def produce(self, *_: Any, headers: list[Header], on_delivery: Any, **__: Any) -> None:
        self.headers = headers
        on_delivery(None, None)

    def poll(self, _: float) -> int:
        return 0


def test_a_consumer_s_letter_keeps_the_headers_of_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    headers: list[Header] = [BINARY, (GROUP, b"other"), (LEFT_OUT, b"\xff"), ("a", None), ("a", b"1"), ("a", b"2")]
    monkeypatch.setattr(sending, "Producer", Producer)
    letters = DeadLetters("broker", "app-logs.traffic.dlq", "traffic", lambda _: None)
    sent = record(7, headers, topic="app-logs")
    assert letters.send(Source("app-logs", 1), sent, Failure("ValueError", "why"), lambda: False)
    written = letters._producer.headers  # noqa: SLF001
    found = DeadLetter.from_headers(written)
    assert (found.group, found.left_out_bytes, found.offset) == ("traffic", 0, 7)
    assert original_headers(written) == headers


def test_a_redriven_record_has_its_own_headers_and_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    own: list[Header] = [(GROUP, b"mine"), BINARY, (REDRIVEN_FROM, b"app-logs/0/3")]
    letter = Letter(0, 0, OF_JOBS, None, 2)
    monkeypatch.setattr(redriving, "messages_of", lambda *_: {(0, 0): record(0, [*kept(own), *of_jobs()])})
    ((found,), gone) = originals("broker", "app-logs.dlq", [letter])
    assert (list(found.original_headers), gone) == (own, [])
    assert redriven_headers(found) == [(GROUP, b"mine"), BINARY, (REDRIVEN_FROM, b"app-logs/1/7")]


def test_a_value_that_was_left_out_comes_with_its_record_s_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    own: list[Header] = [(GROUP, b"mine"), (ORIGINAL + GROUP, b"kept before"), BINARY]
    source = DeadLetter("app-logs", 1, 7, 5_000, "ValueError", "", group="traffic", left_out_bytes=9)
    monkeypatch.setattr(redriving, "messages_of", lambda *_: {(0, 0): SimpleNamespace()})
    monkeypatch.setattr(topics, "record_at", lambda *_: record(7, own, topic="app-logs"))
    ((found,), gone) = originals("broker", "app-logs.traffic.dlq", [Letter(0, 0, source, None, 9)])
    assert isinstance(found, Original)
    assert (list(found.original_headers), gone) == (own, [])
