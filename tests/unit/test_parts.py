"""Which columns of sources an expression shows, by Flink's JSON alone. Real plans are in tests/pipeline."""

from __future__ import annotations

from typing import Any

import pytest

from shardlake.flink.parts import TWICE, Compared, Part, Parts, comparisons, of_aggregate, of_expression, source

pytestmark = pytest.mark.unit

STRING = "VARCHAR(2147483647)"
READ = [source("orders.email"), source("orders.country"), Parts(frozenset({Part("orders.phone", "hash")}))]
NAMES = ["email", "country", "phone"]
EMAIL, COUNTRY, HASH = ({"kind": "INPUT_REF", "inputIndex": place, "type": STRING} for place in range(3))


def text(value: str | None) -> dict[str, Any]:
    return {"kind": "LITERAL", "value": value, "type": f"{STRING} NOT NULL"}


def call(name: str, *operands: Any, kind: str = STRING) -> dict[str, Any]:
    role = {"systemName": name} if name in ("MASK", "TRUNCATE_QUERY", "TRUNCATE_NETWORK") else {
        "internalName": f"${name}$1"
    }  # fmt: skip
    return {"kind": "CALL", **role, "operands": list(operands), "type": kind}


def parts(rex: Any, *compared: Compared) -> Parts:
    return of_expression(rex, READ, NAMES, compared)


@pytest.mark.parametrize(
    ("rex", "values", "conditions", "whole"),
    [
        (EMAIL, {("orders.email", None)}, set(), True),
        (text(None), set(), set(), True),
        (text("x"), set(), set(), False),
        (call("CAST", EMAIL, kind=f"{STRING} NOT NULL"), {("orders.email", None)}, set(), True),
        (call("CAST", EMAIL, kind="VARCHAR(9)"), {("orders.email", None)}, set(), False),
        (call("UPPER", EMAIL), {("orders.email", None)}, set(), False),
        (call("MASK", EMAIL), {("orders.email", "hash")}, set(), True),
        (call("MASK", call("||", EMAIL, COUNTRY)), {("orders.email", "hash"), ("orders.country", "hash")}, set(), True),
        (call("MASK", HASH), {("orders.phone", TWICE)}, set(), True),
        (call("TRUNCATE_NETWORK", HASH), {("orders.phone", TWICE)}, set(), True),
        (call("TRUNCATE_QUERY", HASH), {("orders.phone", "hash")}, set(), True),
        (call("TRUNCATE_QUERY", EMAIL), {("orders.email", "truncate_query")}, set(), True),
        (call("TRUNCATE_QUERY", call("REVERSE", EMAIL)), {("orders.email", None)}, set(), False),
        (call("IS NULL", EMAIL, kind="BOOLEAN"), set(), set(), True),
        (call("CASE", call("=", EMAIL, text("a")), COUNTRY, HASH), {("orders.country", None), ("orders.phone", "hash")},
         {("orders.email", None)}, False),
        ({"kind": "FIELD_ACCESS", "name": "email", "expr": {"kind": "CORREL_VARIABLE"}}, {("orders.email", None)},
         set(), True),
        ({"kind": "FIELD_ACCESS", "name": "x", "expr": call("ROW", EMAIL)}, {("orders.email", None)}, set(), False),
        ({"kind": "SOMETHING_NEW", "type": STRING}, {("orders.email", None), ("orders.country", None),
         ("orders.phone", "hash")}, set(), False),
    ],
)  # fmt: skip
def test_an_expression(rex: Any, values: Any, conditions: Any, whole: bool) -> None:
    found = parts(rex)
    assert (found.values, found.conditions, found.whole) == (values, conditions, whole)


@pytest.mark.parametrize(
    ("name", "argument", "values", "whole"),
    [
        ("COUNT", 0, set(), True),
        ("MIN", 0, {("orders.email", None)}, False),
        ("MIN", 2, {("orders.phone", "hash")}, True),
        ("LISTAGG", 2, {("orders.phone", "hash")}, False),
        ("A_FUNCTION_OF_THE_JOB", 0, {("orders.email", None)}, False),
    ],
)
def test_an_aggregate(name: str, argument: int, values: Any, whole: bool) -> None:
    found = of_aggregate({"internalName": f"${name}$1", "argList": [argument], "type": STRING}, READ)
    assert (found.values, found.whole) == (values, whole)


def test_text_is_the_column_that_a_condition_compares_with_it() -> None:
    condition = call("AND", call("=", text("a@b"), EMAIL), call("LIKE", COUNTRY, text("D%")))
    compared = list(comparisons(condition, READ, NAMES))
    assert compared == [Compared('"a@b"', source("orders.email"))]
    assert parts(text("a@b"), *compared) == source("orders.email")
    assert parts(text("A@B"), *compared) == Parts(conditions=frozenset({Part("orders.email")}), whole=False)
    assert parts(call("MASK", text("a@b")), *compared) == Parts(frozenset({Part("orders.email", "hash")}))
    number = {"kind": "LITERAL", "value": 7, "type": "INT NOT NULL"}
    assert parts(number, *compared) == Parts(whole=False)


def test_an_alternative_makes_no_constant() -> None:
    assert not list(comparisons(call("OR", call("=", EMAIL, text("a")), call("=", EMAIL, text("b"))), READ, NAMES))
    assert not list(comparisons(call("=", EMAIL, COUNTRY), READ, NAMES))
    assert not list(comparisons(None, READ, NAMES))
