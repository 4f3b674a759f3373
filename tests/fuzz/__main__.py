"""`make fuzz`: all kinds in turn for a time, with what came of each input counted, and every fault kept.

    python -m tests.fuzz --seconds 1800 --seed 7
    python -m tests.fuzz --seconds 60 --only lines,kept

The seed is printed, and the same seed makes the same inputs. Exit code 1 where there is a fault: its input is in the
folder that is named.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz import follow, headers, jobs_decoder, kept, lines, texts, values
from tests.fuzz.tries import Kind

SLICE_SECONDS = 10.0
EXAMPLES = 500

DRAWN: dict[str, tuple[Callable[..., str], tuple[st.SearchStrategy[Any], ...]]] = {
    "headers": (headers.of_records, (headers.HEADERS, headers.LETTERS)),
    "marks and leases": (headers.of_marks, (headers.MARKS, headers.KEYS)),
    "queries": (texts.of_queries, (texts.SQL,)),
    "names": (texts.of_names, (texts.NAMES, texts.NAMES, texts.NAMES, texts.NAMES)),
    "arguments": (texts.of_arguments, (texts.ARGUMENTS,)),
}
"""Kinds whose inputs hypothesis draws, and makes small where there is a fault."""
SPOILED: dict[str, Kind] = {
    "lines": lines.tries,
    "values": values.tries,
    "follow": follow.tries,
    "kept": kept.tries,
}
SHARES = {"lines": 6.0, "values": 3.0, "jobs' decoder": 2.0}
"""Of the time; 1 for the others."""


@dataclass
class Run:
    """What came of the inputs of each kind."""

    folder: Path
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)

    def count(self, kind: str, outcome: str) -> None:
        """One input more."""
        self.outcomes.setdefault(kind, Counter())[outcome] += 1

    def fault(self, kind: str, given: object, error: Exception) -> None:
        """Keep the input and the traceback of the first of its cause, and say so."""
        self.count(kind, "FAULT")
        raised = traceback.extract_tb(error.__traceback__)[-1]
        cause = f"{kind}, {type(error).__name__} at {Path(raised.filename).name}:{raised.lineno}"
        self.faults[cause] += 1
        if self.faults[cause] > 1:
            return
        path = self.folder / f"{len(self.faults)}-{kind.replace(' ', '-')}.txt"
        path.write_text(f"{given!r}\n\n{''.join(traceback.format_exception(error))}", errors="backslashreplace")
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        sys.stdout.write(f"FAULT  {cause}: {said.encode(errors='backslashreplace').decode()}  ({path})\n")
        sys.stdout.flush()

    def print(self) -> None:
        """A line for each kind: inputs, then outcomes."""
        for kind, outcomes in self.outcomes.items():
            listed = ", ".join(f"{name} {count:,}" for name, count in sorted(outcomes.items()))
            sys.stdout.write(f"{kind:<17} {outcomes.total():>10,}   {listed}\n")


def draw(run: Run, kind: str, number: int, until: float) -> None:
    """EXAMPLES inputs of a kind that hypothesis draws, or fewer where the time is over."""
    check, strategies = DRAWN[kind]
    last: tuple[object, ...] = ()

    @seed(number)
    @settings(
        max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink], report_multiple_bugs=False, print_blob=False,
    )  # fmt: skip
    @given(st.tuples(*strategies))
    def one(drawn: tuple[object, ...]) -> None:
        nonlocal last
        last = drawn
        if time.monotonic() < until:
            run.count(kind, check(*drawn))

    try:
        one()
    except Exception as error:
        run.fault(kind, last, error)


def spoil(run: Run, kind: str, tries: Any, until: float) -> None:
    """Inputs of a kind that the random numbers spoil, for a while."""
    while time.monotonic() < until:
        given_, call = next(tries)
        try:
            run.count(kind, call())
        except Exception as error:
            run.fault(kind, given_, error)


def main() -> None:
    """Take turns until the time is over; print the counts."""
    arguments = argparse.ArgumentParser(description="Spoiled input by the million.")
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments.add_argument("--only", default="", help="kinds, with commas between them")
    chosen = arguments.parse_args()
    kinds = [*SPOILED, jobs_decoder.NAME, *DRAWN]
    only = [kind.strip() for kind in chosen.only.split(",")] if chosen.only else kinds
    if unknown := sorted(set(only) - set(kinds)):
        arguments.error(f"there is no kind {unknown[0]!r}; there are {', '.join(kinds)}")
    sys.stdout.write(f"seed {chosen.seed}, {chosen.seconds:g} s\n")
    sys.stdout.flush()
    run = Run(Path(tempfile.mkdtemp(prefix="shardlake-fuzz-")))
    chance = Random(chosen.seed)
    with ExitStack() as stack:
        running = {kind: tries(Random(chance.getrandbits(64))) for kind, tries in SPOILED.items() if kind in only}
        if jobs_decoder.NAME in only:
            decoder = stack.enter_context(jobs_decoder.started(run.folder))
            running[jobs_decoder.NAME] = jobs_decoder.tries(Random(chance.getrandbits(64)), decoder)
        until = time.monotonic() + chosen.seconds
        with suppress(KeyboardInterrupt):  # what came of the inputs until then is printed all the same
            while time.monotonic() < until:
                for kind in only:
                    end = min(until, time.monotonic() + SLICE_SECONDS * SHARES.get(kind, 1.0))
                    if kind in running:
                        spoil(run, kind, running[kind], end)
                    while kind in DRAWN and time.monotonic() < end:
                        draw(run, kind, chance.getrandbits(64), end)
    run.print()
    if run.faults:
        sys.stdout.write(
            f"{run.faults.total():,} faults of {len(run.faults)} causes; inputs and tracebacks are in {run.folder}\n"
        )
    sys.exit(bool(run.faults))


if __name__ == "__main__":
    main()
