"""A pipeline of two topics of events, the second named first: each is verified, on a real lake, by two at once too."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from shardlake.testing.stack import RunningStack
from tests import shop as shops
from tests.e2e.checking import verify

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

EVENTS, POISON = 120, 3
TOPICS = {
    "payments": shops.TOPICS["payments"],
    **shops.TOPICS,
    "revenue": f"{shops.TOPICS['revenue']}\npartitions = 1",
}
ARCHIVE = """
from shardlake.flink.job import Insert


def build(tables):
    return [
        Insert(f"lake.{topic}", tables.query(
            f"SELECT {tables.masked(topic)}, topic, `partition`, `offset`, arrival_time FROM {topic}"))
        for topic in ("orders", "payments")
    ]
"""
REVENUE = f'''
from shardlake.flink.job import Insert

START = "FLOOR(paid_at TO MINUTE)"
END = "FLOOR(paid_at TO MINUTE) + INTERVAL '1' MINUTE"


def build(tables):
    revenue = tables.query(f"""
        SELECT CAST(window_start AS TIMESTAMP_LTZ(3)) AS window_start,
               CAST(window_end AS TIMESTAMP_LTZ(3)) AS window_end, `method`, COUNT(*) AS payments, SUM(cents) AS cents
        FROM TABLE(TUMBLE(({{tables.in_time("payments", "paid_at", END)}}), DESCRIPTOR(paid_at), INTERVAL '1' MINUTE))
        GROUP BY window_start, window_end, `method`""")
    late = tables.late("payments", "paid_at", START, END, fields="order_id", missed_table="revenue")
    return [Insert("lake.revenue", revenue), Insert("topics.revenue", revenue), Insert("lake.late_events", late)]


def recount(options):
    return {{"revenue": """{shops.MINUTES.format("in_time")}"""}}
'''
SYNTHETIC = """
from datetime import timedelta


class Load:
    @classmethod
    def of(cls, options):
        found = cls()
        found.kind = dict(option.split("=", 1) for option in options).get("kind", "orders")
        return found


def sends(seed, start, rate, load):
    n = 0
    while True:
        due = n / rate
        event = {"order_id": f"o{n}", "cents": 100 + n}
        at = start + timedelta(seconds=due)
        if load.kind == "orders":
            yield due, {**event, "country": "DE", "created_at": at}
        else:
            yield due, {**event, "method": ("CARD", "INVOICE")[n % 3 == 0], "paid_at": at}
        n += 1
"""
POISONS = """
def poison(encode, schema):
    return [("no Avro", b"nonsense")]
"""


def shop(folder: Path) -> Path:
    """The folder of a pipeline of orders and payments, with jobs and a generator of both."""
    shops.pipeline(folder, TOPICS)
    for file, content in (
        ("flink_jobs/archive.py", ARCHIVE), ("flink_jobs/revenue.py", REVENUE), ("producers/synthetic.py", SYNTHETIC),
        ("producers/poison.py", POISONS),
    ):  # fmt: skip
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content)
    return folder


@dataclass(frozen=True)
class Sold:
    """A stack whose jobs have finished, and the runs that wrote orders and payments."""

    stack: RunningStack
    runs: list[Path]

    def anomalies(self, lake: Path) -> list[tuple[str, str]]:
        """What is wrong with another lake."""
        found = verify(self.stack, 1, self.runs, lake)
        return [(one["name"], one["where"]) for check in found["checks"] for one in check["anomalies"]]


@pytest.fixture(scope="module")
def sold(shardlake_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Sold:
    folder = tmp_path_factory.mktemp("shop")
    stack, runs = shardlake_stack.emptied(shop(folder / "pipeline")), [folder / "payments", folder / "orders"]
    for run in runs:
        load = ("--synthetic", "--rate", "60", "--duration", str(EVENTS // 60), "--with", f"kind={run.name}")
        stack.shardlake("produce", *load, "--poison", str(POISON), "--topic", run.name, "--ledger", str(run))
    stack.shardlake("jobs", "run")
    stack.shardlake("jobs", "finish")
    return Sold(stack, runs)


def test_each_topic_is_verified_and_two_verify_at_once(sold: Sold) -> None:
    command = sold.stack.command("verify", *map(str, sold.runs), "--json")
    both = [
        subprocess.Popen(command, env=sold.stack.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told: list[dict[str, Any]] = []
    for one in both:
        output, errors = one.communicate()
        assert one.returncode == 0, output + errors
        told.append(json.loads(output))
    first, second = ({name: value for name, value in one.items() if name != "seconds"} for one in told)
    assert first == second
    assert first["conclusion"] == "holds"
    assert {one["topic"]: (one["events"], one["rows"], one["poison"]) for one in first["sources"]} == {
        "orders": (EVENTS, EVENTS, POISON),
        "payments": (EVENTS, EVENTS, POISON),
    }
    checked = {(one["source"], one["check"]): one["checked"] for one in first["checks"]}
    for name in ("orders", "payments"):
        assert checked[name, "what was sent, against the topic"] == EVENTS + POISON
        assert (sold.runs[0].parent / name / "evidence" / "evidence.json").exists()
    assert 2 <= checked["payments", "revenue, counted again"] == checked[None, "the topic revenue, against the lake"]
    (recounted,) = json.loads(sold.stack.shardlake("lake", "recount", "--json"))
    assert (recounted["table"], recounted["sources"], recounted["differences"]) == ("revenue", ["payments"], [])


def test_files_and_windows_that_were_removed_doubled_or_changed(sold: Sold, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    assert isinstance(sold.stack.settings.lake, Path)
    shutil.copytree(sold.stack.settings.lake, lake)
    orders, payments = (min((lake / table).rglob("[!._]*.parquet")) for table in ("orders", "payments"))
    gone, doubled = ({*_places(file)} for file in (orders, payments))
    orders.unlink()
    shutil.copyfile(payments, payments.with_name(f"copy-{payments.name}"))
    found = sold.anomalies(lake)
    assert {pair for pair in found if pair[0] == "lost-write"} == {("lost-write", place) for place in gone}
    assert {pair for pair in found if pair[0] == "duplicate"} == {("duplicate", place) for place in doubled}
    assert {name for name, _ in found} == {"lost-write", "duplicate"}

    shutil.rmtree(lake)
    shutil.copytree(sold.stack.settings.lake, lake)
    shutil.rmtree(lake / "revenue")
    names = [name for name, _ in sold.anomalies(lake)]
    # Each in the recount, and in the topic that has them.
    assert names.count("missing-window") == names.count("unexpected") >= 2


def _places(file: Path) -> list[str]:
    rows = pq.read_table(file, columns=["topic", "partition", "offset"]).to_pylist()
    return [f"{row['topic']}/{row['partition']}/{row['offset']}" for row in rows]
