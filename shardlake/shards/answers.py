"""A handler's answer, read as who has failed: sequence numbers, or AWS Lambda's answer for a batch.

Lambda's goes back to the lowest sequence number that it names: from there on everything is tried again, for a handler
may have stopped at it. An identifier that is empty fails the whole batch.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from operator import index
from typing import Any

from shardlake.errors import ShardlakeError

FAILURES = "batchItemFailures"
IDENTIFIER = "itemIdentifier"
TAKEN = f"nothing, sequence numbers, or {{'{FAILURES}': [{{'{IDENTIFIER}': sequence number}}]}}"


@dataclass(frozen=True, slots=True)
class Reported:
    """The sequence numbers of those that failed.

    With `and_after` so did all after the lowest of them; where `all_failed`, every one.
    """

    numbers: frozenset[int] = frozenset()
    and_after: bool = False
    all_failed: bool = False


def reported(answer: Any, where: str) -> Reported:
    """The failures that a function of several records returned. `where` is the shard's name.

    Raises ShardlakeError where it says nothing that has a meaning: that is no record's failure, but the handler's for
    every record.
    """
    if answer is None:
        return Reported()
    if isinstance(answer, Mapping):
        return _of_lambda(answer, where)
    if isinstance(answer, Coroutine):
        answer.close()  # else Python complains that it never ran
        raise _meaningless("a coroutine", where)
    if isinstance(answer, str | bytes | bytearray) or not isinstance(answer, Iterable):
        raise _meaningless(f"{type(answer).__name__}", where)
    numbers = [(one, _number(one)) for one in answer]
    for one, number in numbers:
        if number is None or isinstance(one, str):
            raise _meaningless(f"{type(answer).__name__} with {type(one).__name__} in it", where)
    return Reported(frozenset(number for _, number in numbers if number is not None))


def has_failed(answer: Any, where: str) -> bool:
    """Tell whether a function of one record returned that it has failed, which Lambda's answer says.

    Anything else it may return as it likes; but a coroutine is refused, for nothing of it has run.
    """
    if isinstance(answer, Coroutine):
        answer.close()
        raise _meaningless("a coroutine", where)
    return isinstance(answer, Mapping) and FAILURES in answer and _of_lambda(answer, where) != Reported()


def check_of_processor(answer: Any, where: str) -> None:
    """Raises ShardlakeError where a processor returned failures, or never ran: nobody else would hear of it."""
    if has_failed(answer, where):
        msg = f"{where}: the processor returned failures, but says what is done by its checkpointer, or raises."
        raise ShardlakeError(msg)


def _of_lambda(answer: Mapping[Any, Any], where: str) -> Reported:
    if not answer:
        return Reported()
    if FAILURES not in answer:
        raise _meaningless(f"{type(answer).__name__} without {FAILURES!r}", where)
    entries = answer[FAILURES]
    if entries is None:
        return Reported()
    if not isinstance(entries, list | tuple):
        raise _meaningless(f"{FAILURES!r} that is {type(entries).__name__}", where)
    numbers = set()
    for entry in entries:
        if not isinstance(entry, Mapping) or IDENTIFIER not in entry:
            raise _meaningless(f"an entry of {FAILURES!r} without {IDENTIFIER!r}", where)
        identifier = entry[IDENTIFIER]
        if identifier is None or identifier == "":
            return Reported(all_failed=True)
        number = _number(identifier)
        if number is None:
            raise _meaningless(f"{IDENTIFIER!r} that is no sequence number", where)
        numbers.add(number)
    return Reported(frozenset(numbers), and_after=bool(numbers))


def _number(one: Any) -> int | None:
    if isinstance(one, bool):
        return None
    if isinstance(one, str):
        return int(one) if one.isascii() and one.isdigit() and len(one) < 20 else None
    try:
        return index(one)
    except TypeError:
        return None


def _meaningless(what: str, where: str) -> ShardlakeError:
    """The error, without a value, which may hold what is in the records; a lane's process can send this class alone."""
    return ShardlakeError(f"{where}: the handler returned {what}, and may return {TAKEN}; its records stay undone.")
