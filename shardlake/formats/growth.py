r"""Whether the time of matching a regular expression grows faster than a line.

`re` tries each way to match, one after the other. The ways are the paths of an automaton, a state for each letter of
the expression. Where two paths may part and meet again in a loop, as in `(a+)+`, they double with each letter. Where a
loop may hand over to a later one at any of several letters, as in `\w*x\w*`, they grow with the line, and so does the
time that a letter takes (Weber and Seidl, "On the degree of ambiguity of finite automata"). All states count as ends,
because a way costs its time also where it fails. A last loop over any letters is left out: a way that reaches it
succeeds.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

# The parser of `re` itself: another one would read a pattern otherwise than `re` does.
from re import _constants as sre  # type: ignore[attr-defined]  # isort: skip
from re import _parser  # type: ignore[attr-defined]  # isort: skip

from shardlake.errors import BadInput

UNROLLED = 10
"""A part that is repeated so often at most is a state for each time; beyond, a loop."""
MOST_STATES = 4_000
OTHER_LETTERS = "éß٣\u00a0\u2028\u3000中😀"
CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d", sre.CATEGORY_NOT_DIGIT: r"\D", sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S", sre.CATEGORY_WORD: r"\w", sre.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip
ADVICE = "Say what a part may not hold, as [^]]* before a bracket, and repeat no part that is repeated within."


@dataclass(slots=True)
class Fragment:
    """A part of the expression: whether it may be empty, and the states in which it begins and ends."""

    is_empty: bool = True
    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)


class Automaton:
    """A state for each letter that an expression may match. A set of letters is an integer with a bit for each."""

    def __init__(self, pattern: str) -> None:
        """Raises BadInput where the pattern is none, or has what no automaton has: references and the like."""
        try:
            tree = _parser.parse(pattern, re.DOTALL)
        except (re.error, OverflowError, RecursionError) as error:
            msg = f"{pattern!r} is no regular expression: {error}."
            raise BadInput(msg, "Its syntax is that of Python's `re`.") from error
        letters = [chr(code) for code in range(128)] + list(OTHER_LETTERS) + [chr(code) for code in _codes(tree)]
        self._letters = list(dict.fromkeys(letters))
        self.all = (1 << len(self._letters)) - 1
        self.sets: list[int] = []
        # By the last state of a possessive loop, the letters that no way out of the loop begins with.
        self._given_up: dict[int, int] = {}
        self.next: dict[int, list[tuple[int, int]]] = defaultdict(list)
        whole = self._sequence(tree)
        self.ends = set(whole.last)

    def _state(self, letters: int) -> int:
        if len(self.sets) >= MOST_STATES:
            raise BadInput("The pattern is too large.", "Repeat parts less often, or give them no upper bound.")
        self.sets.append(letters)
        return len(self.sets) - 1

    def _sequence(self, items: Iterable[Any]) -> Fragment:
        whole = Fragment()
        for operator, value in items:
            whole = self._joined(whole, self._one(operator, value))
        return whole

    def _joined(self, left: Fragment, right: Fragment, unless: int = 0) -> Fragment:
        self._link(left.last, right.first, unless)
        return Fragment(
            left.is_empty and right.is_empty,
            left.first + (right.first if left.is_empty else []),
            right.last + (left.last if right.is_empty else []),
        )

    def _link(self, before: Sequence[int], after: Sequence[int], unless: int = 0) -> None:
        for one in before:
            for other in after:
                letters = self.sets[other] & ~unless & ~self._given_up.get(one, 0)
                if letters:
                    self.next[one].append((other, letters))

    def _one(self, operator: Any, value: Any) -> Fragment:
        if operator in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            return self._repeated(*value, is_possessive=operator is sre.POSSESSIVE_REPEAT)
        if operator is sre.SUBPATTERN:
            return self._sequence(value[-1])
        if operator is sre.ATOMIC_GROUP:
            return self._sequence(value)
        if operator is sre.BRANCH:
            branches = [self._sequence(branch) for branch in value[1]]
            return Fragment(
                any(one.is_empty for one in branches),
                [state for one in branches for state in one.first],
                [state for one in branches for state in one.last],
            )
        if operator is sre.AT:
            return Fragment()
        if operator in (sre.ASSERT, sre.ASSERT_NOT) and value[1].getwidth()[1] <= UNROLLED * UNROLLED:
            return Fragment()
        letters = self._letters_of(operator, value)
        state = self._state(letters)
        return Fragment(False, [state], [state])

    def _repeated(self, least: int, most: Any, body: Any, *, is_possessive: bool) -> Fragment:
        if most is not sre.MAXREPEAT and most > 3 and body.getwidth()[0] == 0:
            raise BadInput("The pattern repeats, up to a number of times, a part that may be empty.", ADVICE)
        if most is not sre.MAXREPEAT and most <= UNROLLED:
            whole = Fragment()
            for number in range(int(most)):
                one = self._sequence(body)
                whole = self._joined(whole, one if number < least else Fragment(True, one.first, one.last))
            return whole
        whole = Fragment()
        for _ in range(min(int(least), 2) - 1):
            whole = self._joined(whole, self._sequence(body))
        loop = self._sequence(body)
        self._link(loop.last, loop.first)
        if is_possessive and len(loop.last) == 1 and loop.first == loop.last:
            self._given_up[loop.last[0]] = self.sets[loop.last[0]]
        return self._joined(whole, Fragment(least == 0 or loop.is_empty, loop.first, loop.last))

    def _letters_of(self, operator: Any, value: Any) -> int:
        if operator is sre.ANY:
            return self.all
        if operator is sre.LITERAL:
            return self._of(lambda letter: ord(letter) == value)
        if operator is sre.NOT_LITERAL:
            return self._of(lambda letter: ord(letter) != value)
        if operator is sre.IN:
            letters, is_negated = 0, False
            for kind, one in value:
                if kind is sre.NEGATE:
                    is_negated = True
                elif kind is sre.LITERAL:
                    letters |= self._of(lambda letter, code=one: ord(letter) == code)
                elif kind is sre.RANGE:
                    letters |= self._of(lambda letter, ends=one: ends[0] <= ord(letter) <= ends[1])
                elif kind is sre.CATEGORY:
                    fits = re.compile(CATEGORIES[one]).match
                    letters |= self._of(lambda letter, fits=fits: fits(letter) is not None)
            return self.all & ~letters if is_negated else letters
        msg = f"The pattern has what no automaton has ({operator}), and so its time has no bound that can be told."
        raise BadInput(msg, "Leave out back references, conditions and long lookarounds.")

    def _of(self, fits: Any) -> int:
        return sum(1 << place for place, letter in enumerate(self._letters) if fits(letter))


def check(pattern: str) -> None:
    """Raises BadInput where the time of `re.fullmatch` with the pattern may grow faster than the line."""
    automaton = Automaton(pattern)
    loops = _loops(automaton)
    for loop in loops:
        if _is_ambiguous(automaton, loop):
            msg = "The pattern repeats a part in more than one way: its time may double with each letter of a line."
            raise BadInput(msg, ADVICE)
    reach = {state: _reached(automaton, state) for loop in loops for state in loop}
    for loop in loops:
        for other in loops:
            if other is loop or _takes_all(automaton, other):
                continue
            for start in loop:
                for end in other:
                    if end in reach[start] and _hands_over(automaton, start, loop, end, other):
                        msg = (
                            "The pattern has two repeated parts that may share the same letters: its time may grow "
                            "with the square of a line's length."
                        )
                        raise BadInput(msg, ADVICE)


def _takes_all(automaton: Automaton, loop: set[int]) -> bool:
    """Tell whether a way that has come here succeeds with whatever follows."""
    return len(loop) == 1 and all(automaton.sets[state] == automaton.all and state in automaton.ends for state in loop)


def _reached(automaton: Automaton, start: int) -> set[int]:
    found, waiting = set(), [start]
    while waiting:
        for state, _ in automaton.next[waiting.pop()]:
            if state not in found:
                found.add(state)
                waiting.append(state)
    return found


def _loops(automaton: Automaton) -> list[set[int]]:
    """The sets of states that reach each other."""
    reach = {state: _reached(automaton, state) for state in range(len(automaton.sets))}
    loops: list[set[int]] = []
    seen: set[int] = set()
    for state, reached in reach.items():
        if state in reached and state not in seen:
            loop = {other for other in reached if state in reach[other]}
            seen |= loop
            loops.append(loop)
    return loops


def _is_ambiguous(automaton: Automaton, loop: set[int]) -> bool:
    """Tell whether a text leads from a state of the loop back to the state on two ways."""
    steps = {state: [(to, letters) for to, letters in automaton.next[state] if to in loop] for state in loop}
    for ways in steps.values():
        if any(one[0] == other[0] and one[1] & other[1] for i, one in enumerate(ways) for other in ways[:i]):
            return True
    pairs: dict[tuple[int, int], set[tuple[int, int]]] = {
        (one, other): {(a, b) for a, x in steps[one] for b, y in steps[other] if x & y}
        for one in loop
        for other in loop
    }
    back: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
    for pair, after in pairs.items():
        for one in after:
            back[one].add(pair)
    same = [(state, state) for state in loop]
    apart = _closure(pairs, same) & _closure(back, same)
    return any(one != other for one, other in apart)


def _closure(steps: Any, start: list[tuple[int, int]]) -> set[tuple[int, int]]:
    found, waiting = set(start), list(start)
    while waiting:
        for one in steps[waiting.pop()]:
            if one not in found:
                found.add(one)
                waiting.append(one)
    return found


def _hands_over(automaton: Automaton, start: int, loop: set[int], end: int, other: set[int]) -> bool:
    """Tell whether one text leads from `start` to `start`, from `start` to `end` and from `end` to `end`."""
    goal = (start, end, end)
    found = {(start, start, end)}
    waiting = [(start, start, end)]
    while waiting:
        one, between, last = waiting.pop()
        for a, x in automaton.next[one]:
            if a not in loop:
                continue
            for c, z in automaton.next[last]:
                if c not in other or not x & z:
                    continue
                for b, y in automaton.next[between]:
                    after = (a, b, c)
                    if x & y & z and after not in found:
                        if after == goal:
                            return True
                        found.add(after)
                        waiting.append(after)
    return False


def _codes(tree: Any) -> set[int]:
    """The letters that a pattern names, and those beside its ranges."""
    found: set[int] = set()

    def walk(value: Any) -> None:
        if isinstance(value, tuple | list) or hasattr(value, "getwidth"):
            for one in value:
                walk(one)
        elif type(value) is int and 0 <= value < 0x110000 and not 0xD800 <= value < 0xE000:
            found.update(code for code in (value - 1, value, value + 1) if 0 <= code < 0xD800)

    walk(tree)
    return found
