"""The contract for failures: what becomes of records whose handler fails. Pure: no clock, no thread, no client.

A failure is met by, in this order: bisecting a batch of which it is not known who failed; trying again, with a backoff
that doubles; and when the retries are used up, or the record is too old, a dead letter. The words and the order are
those of AWS Lambda's event source mappings for Kinesis, except that Lambda's defaults try for ever.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from shardlake.errors import BadInput
from shardlake.shards.processor import Message

MAX_BACKOFF_SECONDS = 10.0
DEATHS = 2
"""A record that has ended its process so often is not tried again, whatever the retries: each costs a new process."""
MESSAGE_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a consumer promises for records that fail. Raises BadInput for numbers that make no sense."""

    retries: int = 3
    """How often a failed record is tried again."""
    backoff_seconds: float = 0.2
    """Before the first of them; before each other it is twice as long as before, at most 10 s."""
    bisect: bool = True
    """Halve a failed batch to find who failed, rather than try it again as it is."""
    max_age_seconds: float | None = None
    """A record older than this, by its arrival, is a dead letter without being tried."""
    timeout_seconds: float | None = 60.0
    """How long a handler may take: for a record, or for a call where it takes several. None is for ever."""

    def __post_init__(self) -> None:
        for name, least in (("retries", 0), ("backoff_seconds", 0), ("max_age_seconds", 0), ("timeout_seconds", 0.01)):
            value = getattr(self, name)
            if value is not None and not value >= least:  # NaN is refused, too
                raise BadInput(f"{name} is {value}; it is {least} or more.")

    def wait_seconds(self, failures: int) -> float:
        """How long to wait after so many failures of a unit."""
        return min(self.backoff_seconds * 2.0 ** min(failures - 1, 30), MAX_BACKOFF_SECONDS)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record failed. `message` may hold what the handler knows of the record: it goes to the dead-letter topic,
    where the record itself is, and nowhere else; `where` is a file and a line."""

    error_class: str
    message: str
    where: str = ""
    can_pass: bool = True
    """Whether it makes sense to try again."""
    died: bool = False
    """The lane's process ended by it."""
    attempts: int = 1

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """What a handler raised."""
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        return cls(type(error).__name__, str(error)[:MESSAGE_CHARACTERS], where)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one call with some records.

    `done`: of the leading ones, they were handled, but for those in `rejected` (never to be tried again, wherever they
    are) and in `failed` (to be tried again). `error` is what ended the call there; it is certainly of the record at
    `done` where `blames`, else of any from there on. `unavailable` says who must come back before it makes sense to go
    on: that is nobody's failure.
    """

    done: int
    rejected: tuple[tuple[int, Failure], ...] = ()
    failed: tuple[int, ...] = ()
    error: Failure | None = None
    blames: bool = False
    unavailable: str = ""
    reason: str = ""
    """What the handler says of `failed`."""


@dataclass(slots=True)
class Unit:
    """Records that are tried together."""

    messages: list[Message]
    failures: int = 0
    deaths: int = 0


@dataclass(slots=True)
class Settled:
    """What a reply has settled, and how long to wait before the next unit."""

    done: Sequence[Message] = ()
    dead: list[tuple[Message, Failure]] = field(default_factory=list)
    wait_seconds: float = 0.0
    retried: int = 0
    """How many records are to be tried again."""


class Attempts:
    """What is left to do of a task: units of records, those that failed and wait for another attempt first."""

    def __init__(self, messages: list[Message], contract: Contract) -> None:
        """All records of a task, as one unit."""
        self._contract = contract
        self._left = [Unit(messages)]

    def next(self) -> Unit | None:
        """The unit to try now; it stays the one to try until `settle`."""
        return self._left[-1] if self._left else None

    @property
    def messages(self) -> list[Message]:
        """Those of the unit to try now, none where nothing is left; may be read from another thread."""
        for unit in reversed(self._left):
            return unit.messages
        return []

    def too_old(self, now_ms: int) -> list[tuple[Message, Failure]]:
        """Take those out of the next unit that must not be tried any more."""
        age = self._contract.max_age_seconds
        if age is None or not self._left:
            return []
        unit, before = self._left[-1], now_ms - age * 1000
        old = [message for message in unit.messages if message.timestamp()[1] < before]
        if old:
            unit.messages = [message for message in unit.messages if message.timestamp()[1] >= before]
            if not unit.messages:
                self._left.pop()
        text = f"older than {age:g} s"
        return [(message, Failure("RecordTooOld", text, attempts=unit.failures)) for message in old]

    def settle(self, unit: Unit, reply: Reply) -> Settled:
        """Take the reply to the next unit."""
        self._left.pop()
        messages = unit.messages
        if reply.error is None and not (reply.rejected or reply.failed) and reply.done == len(messages):
            return Settled(messages)
        settled = Settled()
        settled.dead = [(messages[index], failure) for index, failure in reply.rejected]
        aside = {index for index, _ in reply.rejected} | set(reply.failed)
        settled.done = [messages[index] for index in range(reply.done) if index not in aside]
        rest = [messages[index] for index in range(reply.done, len(messages)) if index not in aside]
        if reply.error is None:
            if rest:  # the call was cut short
                self._left.append(Unit(rest, unit.failures, unit.deaths))
        else:
            self._after_error(unit, rest, reply.error, settled, blames=reply.blames)
        if reply.failed:
            failure = Failure("PartialFailure", reply.reason[:MESSAGE_CHARACTERS])
            self._try_again(unit, [messages[index] for index in reply.failed], failure, settled)
        return settled

    def _after_error(
        self, unit: Unit, rest: list[Message], failure: Failure, settled: Settled, *, blames: bool
    ) -> None:
        if blames and len(rest) > 1:
            # Those after it have failed at nothing.
            self._left.append(Unit(rest[1:]))
            self._try_again(Unit([]), rest[:1], failure, settled)
        elif len(rest) > 1 and self._contract.bisect and failure.can_pass:
            middle = len(rest) // 2
            self._left.append(Unit(rest[middle:], unit.failures))
            self._left.append(Unit(rest[:middle], unit.failures))
        elif rest:
            self._try_again(unit, rest, failure, settled)

    def _try_again(self, unit: Unit, messages: list[Message], failure: Failure, settled: Settled) -> None:
        failures, deaths = unit.failures + 1, unit.deaths + failure.died
        if failures > self._contract.retries or deaths >= DEATHS or not failure.can_pass:
            settled.dead += [(message, replace(failure, attempts=failures)) for message in messages]
        else:
            self._left.append(Unit(messages, failures, deaths))
            settled.wait_seconds = self._contract.wait_seconds(failures)
            settled.retried += len(messages)
