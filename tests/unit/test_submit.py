"""The client's log in one sentence, where the application could not be submitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardlake.flink.submit import REFUSED, _refusal

pytestmark = pytest.mark.unit

UPDATES = (
    "Table sink 'lake.first_orders' doesn't support consuming update changes which is produced by node GroupAggregate"
)
PYTHONS = "pyflink.util.exceptions.TableException: org.apache.flink.table.api.TableException: "
TRACE = """
\tat org.apache.flink.api.python.shaded.py4j.GatewayConnection.run(GatewayConnection.java:238)
\tat java.base/java.lang.Thread.run(Unknown Source)
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (
            f"Traceback\n  File\n{PYTHONS}{UPDATES}{TRACE}",
            UPDATES,
        ),
        (
            f": java.lang.RuntimeException: outer{TRACE}Caused by: java.io.IOException: inner{TRACE}\t... 9 more\n",
            "java.io.IOException: inner",
        ),
        (f"an error without a class{TRACE}", "an error without a class"),
        ("", "no output"),
    ],
)
def test_the_cause_is_flink_s_sentence_not_a_place_in_its_code(log: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(log)
    assert _refusal(tmp_path / "log").message == f"The jobs could not be started: {said}"


def test_what_is_refused_has_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f'{UPDATES}{TRACE}{REFUSED}["No.", "Do."]\n')
    assert (_refusal(tmp_path / "log").message, _refusal(tmp_path / "log").hint) == ("No.", "Do.")
