"""Which dead letters are meant, which are redriven already, and what a consumer makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Message

from shardlake.cli.dlq import show
from shardlake.cli.dlq_tables import by_class, hex_dump
from shardlake.dead_letter import DeadLetter
from shardlake.errors import BadInput, Unavailable
from shardlake.redrive.letters import Letter
from shardlake.redrive.marks import Mark, counting, mark_key
from shardlake.redrive.originals import AT_ONCE, AT_ONCE_BYTES, Original, in_parts
from shardlake.redrive.processing import Shard, shards
from shardlake.redrive.redrive import choose
from shardlake.redrive.selection import Selection, Source
from shardlake.shards.contract import Failure
from shardlake.shards.handler import Consumer, Form, Handler
from shardlake.shards.processor import Checkpointer, PartialFailure, Record, RecordProcessor
from shardlake.shards.start import milliseconds
from tests.support import ROOT

pytestmark = pytest.mark.unit

MARK = Mark(1, "app-logs/0/9", "id")


def letter(
    offset: int, *, partition: int = 0, key: bytes | None = b"k", mark: Mark | None = None, size: int = 1, **more: Any
) -> Letter:
    given = {"topic": "app-logs", "timestamp_ms": 1000 * offset, "error_class": "io.shardlake.flink.NotUtf8"}
    source = DeadLetter(**{**given, "partition": partition, "offset": offset, "error_message": "", **more})
    return Letter(0, offset, source, key, size, mark=mark)


NOT_OURS = Letter(0, 99, None, b"k", 1)


@pytest.mark.parametrize(
    ("selection", "offsets"),
    [
        (Selection(), [1, 2, 3, 4, 99]),
        (Selection(error_class="NotUtf8"), [1, 2, 4]),
        (Selection(error_class="io.shardlake.flink.NotUtf8"), [1, 2, 4]),
        (Selection(error_class="Utf8"), []),
        (Selection(error_class="ValueError"), [3]),
        (Selection(source=Source.read("app-logs-1")), [2]),
        (Selection(source=Source.read("app-logs-0:3")), [3]),
        (Selection(source=Source.read("app-logs-0:1-3")), [1, 3]),
        (Selection(source=Source.read("app-0")), []),
        (Selection(since_ms=2000), [2, 3, 4]),
        (Selection(since_ms=2000, until_ms=4000), [2, 3]),  # the end is not in it
        (Selection(key="\\xff"), [4]),
        (Selection(group="traffic"), [3]),
        (Selection(not_redriven=True), [1, 3, 4]),
        (Selection(error_class="NotUtf8", not_redriven=True, since_ms=2000), [4]),  # all of them hold
    ],
)
def test_filters(selection: Selection, offsets: list[int]) -> None:
    letters = [
        letter(1),
        letter(2, partition=1, mark=MARK, key=None),
        letter(3, error_class="ValueError", group="traffic"),
        letter(4, key=b"\xff"),
        NOT_OURS,
    ]
    assert [one.offset for one in letters if selection.takes(one)] == offsets


@pytest.mark.parametrize(
    "text", ["", "app-logs", "app-logs-x", "app-logs-\u0663", "app-logs-0:", "app-logs-0:4-", "app-logs-0:4-3", "-0"]
)
def test_a_source_with_a_slip_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Source.read(text)


def test_a_source_is_a_partition_or_offsets_of_it() -> None:
    assert Source.read("app-logs-10").partition == 10
    assert Source.read("a.b-2-3:7-8") == Source("a.b-2", 3, 7, 8)


@pytest.mark.parametrize(
    "selection", [Selection(error_class="NotUtf9"), Selection(group="x"), Selection(source=Source.read("app-logs-7"))]
)
def test_a_name_that_none_has_is_refused_with_those_there_are(selection: Selection) -> None:
    with pytest.raises(BadInput, match="No dead letter there has") as refused:
        selection.check([letter(1), letter(2, group="traffic"), NOT_OURS])
    assert refused.value.hint in {"There is: NotUtf8.", "There is: none (the jobs'), traffic.", "There is: app-logs-0."}
    selection.check([])  # where there are none, none has a slip


def test_times_are_utc() -> None:
    assert milliseconds("1970-01-01T00:00:01") == milliseconds("1970-01-01T01:00:01+01:00") == 1000
    with pytest.raises(BadInput, match="no time"):
        milliseconds("yesterday")


def test_a_mark_is_of_one_record_in_one_dead_letter_topic_and_group() -> None:
    source = letter(7, partition=2).source
    of_group = letter(7, partition=2, group="a/b").source
    assert source
    assert of_group
    assert mark_key("app-logs.dlq", source) == "app-logs.dlq/app-logs/2/7"
    assert mark_key("shared", of_group) == "shared/app-logs/2/7/a/b"
    assert Mark.from_json(MARK.to_json()) == MARK
    assert [Mark.from_json(text) for text in (b"", b"7", b"{}", b'{"at_ms": 1}', b"\xff")] == [None] * 5


def test_redriven_ones_and_those_not_ours_are_counted_and_left() -> None:
    letters = [letter(1), letter(2, mark=MARK), letter(3, error_class="Bad"), NOT_OURS, letter(5), letter(6)]
    chosen, outcome = choose(letters, Selection(error_class="NotUtf8"), limit=2)
    assert [one.offset for one in chosen] == [1, 5]
    assert (outcome.already, outcome.filtered_out, outcome.not_ours, outcome.redriven) == (1, 2, 1, 0)
    assert choose([NOT_OURS], Selection(), None)[0] == []
    assert by_class(letters) == {"Bad": (1, 0, 1), "NotUtf8": (4, 1, 3), "not ours": (1, 0, 0)}


def test_parts_are_bounded_in_number_and_bytes_and_lose_nothing() -> None:
    letters = [letter(n, size=AT_ONCE_BYTES if n == 5 else 1) for n in range(AT_ONCE + 20)]
    parts = list(in_parts(letters))
    assert [len(part) for part in parts] == [5, 1, AT_ONCE, 14]
    assert [one for part in parts for one in part] == letters


def test_shards_come_in_the_order_of_their_sources() -> None:
    given = [letter(9), letter(3, partition=1), letter(2), letter(1, partition=1), NOT_OURS]
    assert [(shard, [one.offset for one in of]) for shard, of in shards(given)] == [
        (("app-logs", 0), [2, 9]),
        (("app-logs", 1), [1, 3]),
    ]


def test_a_dump_is_as_xxd_makes_it() -> None:
    assert hex_dump(b"") == []
    assert hex_dump(bytes(range(60, 77)) + b"\x1b") == [
        "00000000: 3c3d 3e3f 4041 4243 4445 4647 4849 4a4b  <=>?@ABCDEFGHIJK",
        "00000010: 4c1b                                     L.",
    ]


def processed(
    consumer: Consumer, offsets: Sequence[int], decode: Callable[[bytes], dict[str, Any]] | None = None
) -> tuple[list[int], list[tuple[int, str]]]:
    """The offsets that are done, and those that failed with their class."""
    done: list[int] = []
    failed: list[tuple[int, str]] = []

    def make(checkpointed: Callable[[int], None]) -> Handler:
        handler = Handler(consumer, "app-logs-0", decode, checkpointed)
        handler.initialize()
        return handler

    def fails(one: Letter, failure: Failure) -> None:
        failed.append((one.offset, failure.error_class))

    shard = Shard(consumer.form, make, lambda one: done.append(one.offset), fails, 60)
    for offset in offsets:
        one = letter(offset, group="g")
        assert one.source
        shard.process(Original(one, one.source, b"k", b"%d" % offset, ()))
    shard.end()
    return done, failed


def test_a_record_shows_its_place_and_one_that_fails_again_stays() -> None:
    seen = []

    def process_record(record: Record) -> None:
        seen.append((record.shard_id, record.sequence_number, record.value, record.partition_key))
        if record.sequence_number == 4:
            raise LookupError

    def process_records(records: Sequence[Record]) -> list[int]:
        return [one.sequence_number for one in records if one.sequence_number == 4]

    def partly(records: Sequence[Record]) -> None:
        raise PartialFailure([one.sequence_number for one in records])

    assert processed(Consumer(Form.RECORD, process_record), [2, 4, 7]) == ([2, 7], [(4, "LookupError")])
    assert seen[2] == ("app-logs-0", 7, b"7", "k")
    assert processed(Consumer(Form.RECORDS, process_records), [2, 4, 7]) == ([2, 7], [(4, "PartialFailure")])
    assert processed(Consumer(Form.RECORDS, partly), [2]) == ([], [(2, "PartialFailure")])


class EverySecond(RecordProcessor):
    """Checkpoints after two records, and not when it ends."""

    def initialize(self, shard_id: str) -> None:
        self.count = 0

    def process_records(self, records: Sequence[Record], checkpointer: Checkpointer) -> None:
        for record in records:
            if record.sequence_number == 4:
                raise LookupError
            self.count += 1
        if self.count % 2 == 0:
            checkpointer.checkpoint()


def test_a_processor_is_done_with_what_it_has_checkpointed() -> None:
    consumer = Consumer(Form.PROCESSOR, EverySecond)
    assert processed(consumer, [1, 2, 3]) == ([1, 2], [(3, "NotCheckpointed")])
    # One that has failed is not done by a later checkpoint.
    assert processed(consumer, [1, 4, 5]) == ([1, 5], [(4, "LookupError")])


def test_a_registry_that_is_down_ends_the_command_and_fails_no_record() -> None:
    def down(value: bytes) -> dict[str, Any]:
        raise Unavailable("no registry")

    with pytest.raises(Unavailable, match="no registry"):
        processed(Consumer(Form.RECORD, lambda record: None), [1], down)


def test_marks_count_for_their_topic_and_not_for_one_made_anew() -> None:
    def marked(key: str, topic_id: str) -> Message:
        return Message(topic="shardlake.redriven", key=key.encode(), value=Mark(1, "a/0/1", topic_id).to_json())

    messages = [
        marked("a.dlq/a/0/1", "now"),
        marked("a.dlq/a/0/2", "before"),
        marked("b.dlq/a/0/3", "now"),
        Message(topic="shardlake.redriven", key=b"a.dlq/a/0/4", value=b"no mark"),
        Message(topic="shardlake.redriven", key=b"a.dlq/a/0/5", value=None),
    ]
    assert list(counting(messages, "a.dlq", lambda _: "now")) == ["a.dlq/a/0/1"]


@pytest.mark.parametrize("offset", ["", "x", "1:", "\u00b2:1", "1:\u00b2", "9" * 5000, "9999999999:1"])
def test_an_offset_to_show_that_is_none_is_refused(offset: str) -> None:
    context: Any = SimpleNamespace(obj=SimpleNamespace(pipeline=ROOT))
    with pytest.raises(BadInput, match="is no offset"):
        show(context, "app-logs.dlq", offset)
