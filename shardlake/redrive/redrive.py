"""Dead letters go back to where they failed: the jobs' to their topic, a consumer group's through its consumer.

    jobs         each is sent again exactly once, however often this is run and killed: a record and its mark are one
                 transaction, and marks are read when no other redrive of the topic can write any more
    consumers    each is processed at least once: its mark follows the handler's success. It does not go back to the
                 topic, where every other group and the lake would have it twice

One that cannot be redriven stays a dead letter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from shardlake.pipeline import Pipeline
from shardlake.redrive import marks
from shardlake.redrive.letters import Letter, read_letters
from shardlake.redrive.originals import in_parts, originals
from shardlake.redrive.processing import Shard, Work, handler_of, shards
from shardlake.redrive.selection import Selection
from shardlake.redrive.transactions import Transactions
from shardlake.shards.contract import Failure
from shardlake.shards.handler import Consumer

GONE = Failure("GoneByRetention", "the source's record is not there any more, and the dead letter has no value")
REFUSED = Failure("RefusedByBroker", "the source's topic does not take it, with the header that is added")


@dataclass(slots=True)
class Outcome:
    """What became of the dead letters of a topic."""

    redriven: int = 0
    already: int = 0
    failed: list[tuple[Letter, Failure]] = field(default_factory=list)
    filtered_out: int = 0
    not_ours: int = 0


def choose(letters: Sequence[Letter], selection: Selection, limit: int | None) -> tuple[list[Letter], Outcome]:
    """Those to redrive, and what is known of the others."""
    ours = [letter for letter in letters if letter.source]
    meant = [letter for letter in ours if selection.takes(letter)]
    left = [letter for letter in meant if letter.is_left]
    chosen = left if limit is None else left[:limit]
    already = len(meant) - len(left)
    filtered_out = len(ours) - already - len(chosen)
    return chosen, Outcome(already=already, filtered_out=filtered_out, not_ours=len(letters) - len(ours))


def redrive(
    pipeline: Pipeline,
    bootstrap_servers: str,
    topic: str,
    selection: Selection,
    limit: int | None,
    work: Work | None,
    say: Callable[[str], None],
) -> Outcome:
    """Redrive those of a topic that are selected, up to `limit`. `work` says by which consumer, where one is needed.

    Raises ShardlakeError where another redrive of the topic has begun meanwhile, Unavailable where the broker or the
    registry is down.
    """
    marks.make_topic(bootstrap_servers)
    transactions = Transactions(bootstrap_servers, topic)
    transactions.begin()
    marks.await_others(bootstrap_servers, say)
    letters = read_letters(pipeline, bootstrap_servers, topic, marks.read_marks(bootstrap_servers, topic))
    chosen, outcome = choose(letters, selection, limit)
    of_jobs = [letter for letter in chosen if letter.source and not letter.source.group]
    _send_again(bootstrap_servers, topic, of_jobs, transactions, outcome, say)
    of_consumers = [letter for letter in chosen if letter.source and letter.source.group]
    if of_consumers and work is not None:
        _process(pipeline, bootstrap_servers, topic, of_consumers, transactions, outcome, work)
    return outcome


def _send_again(
    bootstrap_servers: str,
    topic: str,
    letters: Sequence[Letter],
    transactions: Transactions,
    outcome: Outcome,
    say: Callable[[str], None],
) -> None:
    for part in in_parts(letters):
        records, gone = originals(bootstrap_servers, topic, part)
        refused = transactions.send_again(records) if records else []
        outcome.redriven += len(records) - len(refused)
        outcome.failed += [(letter, GONE) for letter in gone] + [(letter, REFUSED) for letter in refused]
        if len(part) < len(letters):
            say(f"{outcome.redriven:,} of {len(letters):,} are sent again")


def _process(
    pipeline: Pipeline,
    bootstrap_servers: str,
    topic: str,
    letters: Sequence[Letter],
    transactions: Transactions,
    outcome: Outcome,
    work: Work,
) -> None:
    consumer = Consumer.of(pipeline.load_module("consumers", work.consumer))

    def done(letter: Letter) -> None:
        transactions.mark(letter, f"consumer {work.consumer}")
        outcome.redriven += 1

    def failed(letter: Letter, failure: Failure) -> None:
        outcome.failed.append((letter, failure))

    for place, of_shard in shards(letters):
        make = partial(handler_of, work, consumer, place)
        shard = Shard(consumer.form, make, done, failed, work.timeout_seconds)
        try:
            for part in in_parts(of_shard):
                records, gone = originals(bootstrap_servers, topic, part)
                outcome.failed += [(letter, GONE) for letter in gone]
                for record in records:
                    shard.process(record)
            shard.end()
        finally:
            shard.kill()
