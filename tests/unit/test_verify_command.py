"""`shardlake verify` of several topics: what is kept of each, what is told, and two of them at once."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Semaphore
from types import SimpleNamespace
from typing import Any

import pytest

from shardlake import topics
from shardlake.cli import verify as command
from shardlake.cli.evidence import read_sources
from shardlake.errors import ShardlakeError, Unavailable
from shardlake.lake.query import connected
from shardlake.lake.tables import lake_tables
from shardlake.lock import Lock
from shardlake.settings import Settings
from tests import shop as shops
from tests.shop import Shop
from tests.support import wait_for

pytestmark = pytest.mark.unit


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop whose broker is gone, and of which an earlier `verify` has kept what the topics held."""

    def gone(*_: object) -> Any:
        raise Unavailable("Nobody answers.")

    shop = shops.plant(tmp_path)
    monkeypatch.setattr(topics, "topic_id", gone)
    monkeypatch.setattr("shardlake.cli.evidence._collect", gone)
    # Modules of the pipeline have one name in this process, whichever pipeline they are of.
    monkeypatch.setattr(command, "countings", lambda *_: [shops.REVENUE])
    monkeypatch.setenv("LAKE_URL", str(shop.lake))
    (shop.folder / "jobs").mkdir()
    monkeypatch.setenv("SHARDLAKE_JOBS", str(shop.folder / "jobs"))
    return shop


def run(shop: Shop, *runs: Path, json: bool = True) -> None:
    context: Any = SimpleNamespace(obj=SimpleNamespace(pipeline=shop.pipeline.folder))
    command.verify(context, [*runs], [], json=json)


def kept(shop: Shop) -> tuple[Path, Path]:
    """The runs of both topics, with what was read of each."""
    runs = shops.ledger(shop, "orders"), shops.ledger(shop, "payments")
    for one, topic in zip(runs, ("orders", "payments"), strict=True):
        shop.keep(topic, one / "evidence")
    return runs


def test_each_run_keeps_what_was_read_of_its_topic(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    orders, payments = kept(shop)
    run(shop, payments, orders)
    told = json.loads(capsys.readouterr().out)
    assert told["conclusion"] == "holds"
    assert [one["topic"] for one in told["sources"]] == ["orders", "payments"]
    assert json.loads((payments / "verdict.json").read_text()) == told
    shop.change("payments", lambda rows: rows.pop(5))
    with pytest.raises(ShardlakeError) as violated:
        run(shop, payments, orders)
    assert (violated.value.message, violated.value.exit_code) == ("It does not hold: 1 lost-write.", 1)


def test_a_topic_without_a_run_is_kept_in_the_first_runs_folder(shop: Shop) -> None:
    run_of_payments = shops.ledger(shop, "payments")
    shop.keep("payments", run_of_payments / "evidence")
    (run_of_payments / "evidence" / "others").mkdir()
    shop.keep("orders", run_of_payments / "evidence" / "others" / "orders")
    sources, published = read_sources(shop.pipeline, Settings.read(), [run_of_payments], shop.folder / "temporary")
    assert [(source.topic.name, len(source.runs)) for source in sources] == [("orders", 0), ("payments", 1)]
    assert all(source.evidence and source.evidence.events == shops.EVENTS for source in sources)
    assert published is None


def test_what_was_kept_of_another_topic_is_not_taken(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """An older version kept, in the folder of any run, what the first topic held."""
    run_of_payments = shops.ledger(shop, "payments")
    shop.keep("orders", run_of_payments / "evidence")
    with pytest.raises(Unavailable) as refused:
        run(shop, run_of_payments)
    assert refused.value.message == "Nobody answers."
    kept_of_orders = run_of_payments / "evidence"
    others = shutil.ignore_patterns("others")
    shutil.copytree(kept_of_orders, kept_of_orders / "others" / "orders", ignore=others)
    with pytest.raises(Unavailable) as refused:
        run(shop, run_of_payments)
    assert refused.value.exit_code == 3
    told = json.loads(capsys.readouterr().out)
    said = [words for check in told["checks"] for words in check["unchecked"]]
    assert [words for words in said if words.startswith("payments")] == [
        "payments could not be read, and its events were held against nothing: The topic of the run in "
        f"{run_of_payments} cannot be read: Nobody answers."
    ]


def test_the_report_tells_topics_apart_where_there_are_several(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    run(shop, *kept(shop), json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["topic", "check", "checked", "anomalies"]
    rows = {tuple(line.split()[:4]) for line in lines if line.startswith((" orders", " payments"))}
    assert rows >= {("orders", "what", "was", "sent,"), ("payments", "what", "was", "sent,")}
    assert ("payments", "revenue,", "counted", "again") in rows
    assert lines[-1].startswith("holds after")
    one = shops.plant(shop.folder / "one", {n: s for n, s in shops.TOPICS.items() if not n.startswith("orders")})
    command.show(one.verdict())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["check", "checked", "anomalies"]
    assert lines[1].split() == ["the", "lake's", "files", "2", "files", "none"]


def test_a_second_verify_of_a_run_waits_for_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two that name their runs in another order wait for a third, then one for the other."""
    runs = [tmp_path / "a", tmp_path / "b"]
    for one in runs:
        one.mkdir()
    held, at_work = Lock(runs[1] / command.LOCK), Semaphore(0)
    most: list[int] = []

    def verify(order: list[Path]) -> None:
        with command.alone_with(order):
            at_work.release()
            most.append(len(most))
            wait_for(lambda: (tmp_path / "go").exists(), "leave to end")
            assert at_work.acquire(blocking=False)

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(verify, order) for order in (runs, runs[::-1])]
        wait_for(lambda: capsys.readouterr().err, "the word that it waits")
        assert most == []
        held.release()
        wait_for(lambda: most, "the first")
        assert len(most) == 1
        (tmp_path / "go").touch()
        assert [one.result(60) for one in both] == [None, None]
    assert most == [0, 1]


def test_what_memory_does_not_hold_has_a_folder_of_its_own_for_each(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    tables = lake_tables(shop.lake, shop.pipeline)
    with connected(tables) as one, connected(tables) as other:
        folders = {
            Path(connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0])
            for connection in (one, other)
        }
        assert len(folders) == 2
        assert all(folder.is_dir() and folder.is_absolute() for folder in folders)
    assert not any(folder.exists() for folder in folders)
