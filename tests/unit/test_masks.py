"""The lake's masks in Python: the cases of the jobs' own, and texts of all kinds against Python's address parser."""

from __future__ import annotations

import ipaddress
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shardlake import pii
from shardlake.lake.masks import Masks, truncate_network, truncate_query
from tests.pii_cases import ADDRESSES, NO_ADDRESSES, TARGETS

pytestmark = pytest.mark.unit

PRESENT, OLDER = "the present key, long", "the older key, as long"


def masks(mask: str, *keys: str) -> Masks:
    return Masks({"fields": [{"name": "f", "type": ["null", "string"], "pii": mask}, {"name": "g"}]}, keys)


def applied(mask: str, values: list[Any], *keys: str) -> dict[str, list[Any]]:
    found = masks(mask, *keys).apply("f", pa.array(values, pa.string()))
    return {name: column.to_pylist() for name, column in found.items()}


def test_queries_users_and_passwords_are_cut_off() -> None:
    texts = [*TARGETS, None, "/a?x", "/a?x"]
    assert applied("truncate_query", texts) == {"f": [*TARGETS.values(), None, "/a", "/a"]}


def test_addresses_become_their_networks_and_what_is_none_is_hashed() -> None:
    texts = [*ADDRESSES, *NO_ADDRESSES, None]
    hashes = [pii.hashed(PRESENT, text) for text in NO_ADDRESSES]
    assert applied("truncate_network", texts, PRESENT) == {"f": [*ADDRESSES.values(), *hashes, None]}


def test_what_older_versions_of_the_schema_masked_otherwise_has_columns_of_its_own() -> None:
    def version(name: str, mask: str | None) -> dict[str, Any]:
        return {"fields": [{"name": name, "type": "string", **({"pii": mask} if mask else {})}]}

    now = version("f", "truncate_query")
    now["fields"][0]["aliases"] = ["old_name"]
    older = [version("old_name", "hash"), version("f", None), version("f", "truncate_query"), version("other", "drop")]
    found = Masks(now, [PRESENT, OLDER], older)
    values = {name: column.to_pylist() for name, column in found.apply("f", pa.array(["/a?b"])).items()}
    assert list(values) == found.columns_of("f")
    assert values == {
        "f": ["/a"],
        "f@hash": [pii.hashed(PRESENT, "/a?b")],
        f"f@hash@{pii.key_id(OLDER)}": [pii.hashed(OLDER, "/a?b")],
        "f@none": ["/a?b"],
    }
    assert found.uncompared == []
    assert Masks(now, [], older).uncompared == ["f"]


@given(st.ip_addresses(v=4), st.ip_addresses(v=6))
def test_any_address_becomes_the_network_that_it_is_in(four: Any, six: Any) -> None:
    assert truncate_network(str(four).encode()) == str(ipaddress.ip_network((four, 24), strict=False))
    if six.ipv4_mapped is None and six.sixtofour is None:
        for text in (str(six), six.exploded.upper(), f"[{six}]:65535", f"{six}%eth0"):
            assert truncate_network(text.encode()) == str(ipaddress.ip_network((six, 48), strict=False))


@given(st.text("0123456789abF:.%[]/ x", max_size=24))
@example("1:2:3:4:5:6:7::")
def test_what_pythons_parser_does_not_take_is_no_address(text: str) -> None:
    host = text.removeprefix("[").partition("]")[0] if text.startswith("[") else text
    candidates = {host, host.partition("%")[0], host.partition(":")[0] if host.count(":") == 1 else host}
    taken = False
    for one in candidates:
        try:
            ipaddress.ip_address(one)
        except ValueError:
            continue
        taken = True
    assert taken or truncate_network(text.encode()) is None


@given(st.text("aZ9+-.:/@?#é", max_size=24))
def test_nothing_after_a_question_mark_and_no_user_of_a_url_is_kept(text: str) -> None:
    found = truncate_query(text)
    assert not set(found) & {"?", "#"}
    assert text.replace(found, "", 1) != text or not found or "@" in text
    scheme, separator, rest = found.partition("://")
    if separator and scheme and all(c in "aZ9+-." for c in scheme):
        assert "@" not in rest.partition("/")[0]


def test_a_column_for_each_key_that_is_known() -> None:
    older = f"f@{pii.key_id(OLDER)}"
    assert masks("hash", PRESENT, OLDER).columns_of("f") == ["f", older]
    assert applied("hash", ["a", None, "a", "ü"], PRESENT, OLDER) == {
        "f": [pii.hashed(PRESENT, "a"), None, pii.hashed(PRESENT, "a"), pii.hashed(PRESENT, "ü")],
        older: [pii.hashed(OLDER, "a"), None, pii.hashed(OLDER, "a"), pii.hashed(OLDER, "ü")],
    }
    assert applied("truncate_network", ["::1", "x"], PRESENT, OLDER)[older] == ["::/48", pii.hashed(OLDER, "x")]


def test_without_a_key_what_needs_one_is_null_and_said_to_be_uncompared() -> None:
    for mask in ("hash", "truncate_network"):
        assert masks(mask).uncompared == ["f"]
        assert applied(mask, ["203.0.113.7", "a"]) == {"f": [None, None]}
    assert masks("drop").uncompared == masks("truncate_query").uncompared == masks("hash", PRESENT).uncompared == []


def test_what_is_dropped_is_null_and_what_is_no_pii_is_kept() -> None:
    assert applied("drop", ["a", None]) == {"f": [None, None]}
    kept = pa.array(["a", None])
    assert masks("drop").apply("g", kept) == {"g": kept}
