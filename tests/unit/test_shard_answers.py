"""A handler's answer says who has failed, or is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from shardlake.errors import ShardlakeError
from shardlake.shards.answers import Reported, has_failed, reported
from shardlake.shards.handler import Consumer, Form, Handler, LaneHandler
from shardlake.shards.process import ProcessHandler
from shardlake.shards.processor import Checkpointer, Record, RecordProcessor
from tests.unit.shard_case import ShardCase
from tests.unit.shard_messages import messages

pytestmark = pytest.mark.unit


def failures(*identifiers: Any) -> dict[str, Any]:
    """AWS Lambda's answer."""
    return {"batchItemFailures": [{"itemIdentifier": one} for one in identifiers]}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        [],
        (),
        set(),
        frozenset(),
        failures(),
        {"batchItemFailures": None},
        {"batchItemFailures": (), "more": 1},
    ],
)
def test_nothing_reported_is_success(answer: Any) -> None:
    assert reported(answer, "t-0") == Reported()
    assert not has_failed(answer, "t-0")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([1, 3], Reported(frozenset({1, 3}))),
        ({3}, Reported(frozenset({3}))),
        (failures("1", "3"), Reported(frozenset({1, 3}), and_after=True)),
        (failures(1), Reported(frozenset({1}), and_after=True)),
        (failures(""), Reported(all_failed=True)),
        (failures("1", None), Reported(all_failed=True)),
    ],
)
def test_who_has_failed(answer: Any, said: Reported) -> None:
    assert reported(answer, "t-0") == said


async def process_records(_: Any) -> None:
    """Somebody forgot that nobody awaits it."""


MEANINGLESS = [
    (lambda: True, "bool"),
    (lambda: False, "bool"),
    (lambda: 5, "int"),
    (lambda: "", "str"),
    (lambda: "secret", "str"),
    (lambda: ["secret"], "list with str in it"),
    (lambda: [True], "list with bool in it"),
    (lambda: [{"itemIdentifier": "1"}], "list with dict in it"),
    (lambda: {"statusCode": 200}, "dict without 'batchItemFailures'"),
    (lambda: {"batchItemFailures": "1"}, "'batchItemFailures' that is str"),
    (lambda: {"batchItemFailures": ["1"]}, "an entry of 'batchItemFailures' without 'itemIdentifier'"),
    (lambda: {"batchItemFailures": [{"itemidentifier": "1"}]}, "without 'itemIdentifier'"),
    (lambda: failures("secret"), "'itemIdentifier' that is no sequence number"),
    (lambda: failures(True), "'itemIdentifier' that is no sequence number"),
    (lambda: process_records(None), "a coroutine"),
]


@pytest.mark.parametrize(("make", "named"), MEANINGLESS)
def test_any_other_answer_is_refused_in_one_sentence_without_its_values(make: Any, named: str) -> None:
    with pytest.raises(ShardlakeError) as refused:
        reported(make(), "t-0")
    assert named in refused.value.message
    assert refused.value.message.startswith("t-0: the handler returned ")
    assert refused.value.message.endswith("its records stay undone.")
    assert "secret" not in refused.value.message
    assert not refused.value.hint


def a_thread(consumer: Consumer, shard_id: str, checkpointed: Callable[[int], None]) -> LaneHandler:
    return Handler(consumer, shard_id, None, checkpointed)


class Case(ShardCase):
    """Lanes that are threads."""

    def __init__(self, form: Form, function: Any, **contract: Any) -> None:
        super().__init__(Consumer(form, function), a_thread, factor=1, **contract)


def test_lambda_s_answer_is_tried_again_from_the_lowest_number_on() -> None:
    """A handler may have stopped there: what comes after it may never have been looked at."""
    calls, handled = [], []

    def handle(records: Sequence[Record]) -> Any:
        calls.append([record.sequence_number for record in records])
        for record in records:
            if record.sequence_number in (1, 3) and sum(record.sequence_number in call for call in calls) < 3:
                return failures(str(record.sequence_number))
            handled.append(record.sequence_number)
        return failures()

    case = Case(Form.RECORDS, handle)
    case.shard.feed(messages([b"a"] * 5))
    assert case.settles() == 5
    assert handled == [0, 1, 2, 3, 4]
    assert calls[0] == [0, 1, 2, 3, 4]
    assert not case.buried.letters


def test_what_lambda_s_answer_names_for_ever_is_a_dead_letter_and_no_other_record() -> None:
    case = Case(
        Form.RECORDS, lambda records: failures(*(f"{r.sequence_number}" for r in records if r.sequence_number % 2))
    )
    case.shard.feed(messages([b"a"] * 5))
    assert case.settles() == 5
    assert {n: (one.error_class, one.attempts) for n, one in case.buried.letters.items()} == {
        1: ("PartialFailure", 4), 3: ("PartialFailure", 4),
    }  # fmt: skip


def test_an_empty_identifier_fails_the_batch() -> None:
    case = Case(Form.RECORDS, lambda _: failures(""), retries=0, bisect=False)
    case.shard.feed(messages([b"a"] * 3))
    assert case.settles() == 3
    assert case.buried.letters.keys() == {0, 1, 2}


def test_a_function_of_one_record_may_answer_as_lambda_s_do() -> None:
    case = Case(Form.RECORD, lambda record: failures(record.sequence_number) if record.sequence_number == 1 else "done")
    case.shard.feed(messages([b"a"] * 3))
    assert case.settles() == 3
    assert case.buried.letters.keys() == {1}


def test_a_generator_s_numbers_are_taken_and_what_it_raises_is_a_failure() -> None:
    def handle(records: Sequence[Record]) -> Iterator[int]:
        for record in records:
            if record.sequence_number == 2:
                raise LookupError
            if record.sequence_number == 1:
                yield 1

    case = Case(Form.RECORDS, handle, retries=0)
    case.shard.feed(messages([b"a"] * 3))
    assert case.settles() == 3
    assert {n: one.error_class for n, one in case.buried.letters.items()} == {1: "PartialFailure", 2: "LookupError"}


class Answers(RecordProcessor):
    """Returns its failures, as a function would."""

    def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> Any:
        return failures(records[0].sequence_number)


class Awaits(RecordProcessor):
    """Is never awaited."""

    def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> Any:
        return process_records(records)


@pytest.mark.parametrize(
    ("form", "call", "said"),
    [
        (Form.PROCESSOR, Answers, "the processor returned failures"),
        (Form.PROCESSOR, Awaits, "the handler returned a coroutine"),
        (Form.RECORD, process_records, "the handler returned a coroutine"),
    ],
)
def test_what_the_other_forms_return_is_refused_where_a_record_would_be_lost(form: Form, call: Any, said: str) -> None:
    case = Case(form, call)
    case.shard.feed(messages([b"a"] * 3))
    with pytest.raises(ShardlakeError, match=f"t-0: {said}"):
        case.settles()
    assert (case.shard.position, case.buried.letters) == (0, {})
    case.end()


def answers_true(_: Sequence[Record]) -> bool:
    """A handler that means well."""
    return True


def opened() -> tuple[Consumer, None]:
    return Consumer(Form.RECORDS, answers_true), None


def a_process(consumer: Consumer, shard_id: str, checkpointed: Callable[[int], None]) -> LaneHandler:
    return ProcessHandler(consumer, shard_id, checkpointed, opened)


@pytest.mark.parametrize("in_process", [False, True])
def test_a_refused_answer_ends_the_worker_at_the_first_batch_and_makes_no_dead_letters(in_process: bool) -> None:
    consumer = Consumer(Form.RECORDS, answers_true)
    case = ShardCase(consumer, a_process if in_process else a_thread, factor=1)
    case.shard.feed(messages([b"a"] * 3))
    with pytest.raises(
        ShardlakeError, match="t-0: the handler returned bool, and may return nothing, sequence numbers"
    ):
        case.settles()
    assert (case.shard.position, case.buried.letters) == (0, {})
    case.end()
