"""This version goes on with data of an older one: lake, windows, dead letters, ledgers, followed logs, keys of PII."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shardlake.lake.tables import lake_tables
from shardlake.testing.stack import RunningStack, running_stack
from tests.e2e.checking import verify
from tests.e2e.lake import all_accounted_for, dead_letters, rows
from tests.support import ROOT, has_instants, json_in, wait_for
from tests.upgrades import older
from tests.upgrades.make_data import LINES, POISON, SYNTHETIC

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

MORE = 10


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that lets the oldest version leave data, `stopped` or `crashed`, and gives the folder."""
    version = older.checkout(older.OLDEST)

    def make(how: str) -> Path:
        folder = tmp_path_factory.mktemp(how)
        program = ROOT / "tests" / "upgrades" / "make_data.py"
        done = subprocess.run(
            [older.python(version), program, how, folder], cwd=version, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return folder

    return make


def files(stack: RunningStack) -> list[Any]:
    return [file for table in lake_tables(stack.settings.lake, stack.pipeline) for file in table.files()]


def of_clients(stack: RunningStack) -> dict[str, set[str]]:
    """Return the hashes of client addresses that the lake has for each path of the log's lines."""
    found: dict[str, set[str]] = {}
    for path, client in rows(stack, "SELECT path, client_address FROM app_logs WHERE service = 'older'"):
        found.setdefault(path, set()).add(client)
    return found


@pytest.mark.parametrize("how", ["stopped", "crashed"])
def test_what_the_oldest_version_left_is_taken_up(left: Callable[[str], Path], tmp_path: Path, how: str) -> None:
    folder = left(how)
    run, log, state = folder / "run", folder / "older.log", folder / "follow.json"
    with running_stack(ROOT, tmp_path / "state", data=folder / "data") as stack:
        assert files(stack)
        assert not any(map(has_instants, files(stack)))
        before = rows(stack, 'SELECT * FROM app_logs ORDER BY "partition", "offset"')
        clients = of_clients(stack)
        assert len(clients) == LINES
        if how == "stopped":
            assert verify(stack, 0, [run])["conclusion"] == "holds"
            assert dead_letters(stack) == POISON

        # The follower goes on where it was; each client has the hash that it had.
        now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        with log.open("a") as more:
            more.writelines(f'10.0.0.{n} - - [{now}] "GET /{n} HTTP/1.1" 200 {n}\n' for n in range(MORE))
        ledger = ("--ledger", str(run), "--json")
        followed = stack.shardlake("produce", "--follow", str(log), "--state", str(state), "--until-idle", "1", *ledger)
        assert json_in(followed)["acknowledged"] == MORE
        synthetic = ("--synthetic", "--rate", "100", "--duration", "3", "--seed", "3")
        assert json_in(stack.shardlake("produce", *synthetic, *ledger))["acknowledged"] == SYNTHETIC

        assert "resumed from" in stack.shardlake("jobs", "run")
        wait_for(lambda: all_accounted_for(stack), "every record as a row or a dead letter")
        stack.shardlake("jobs", "finish")
        found = verify(stack, 0, [run])
        assert (found["conclusion"], found["counts"]) == ("holds", {})
        after = rows(stack, 'SELECT * FROM app_logs ORDER BY "partition", "offset"')
        assert [row for row in after if row in before] == before
        assert of_clients(stack) == clients
        letters = json.loads(stack.shardlake("dlq", "list", "--json"))
        assert letters

        # A table that has files of the older version keeps their form, until the user changes it.
        forms = {
            table.name: set(map(has_instants, table.files()))
            for table in lake_tables(stack.settings.lake, stack.pipeline)
        }
        assert forms["app_logs"] == {False}
        assert all(len(form) <= 1 for form in forms.values()), forms
        stack.shardlake("lake", "migrate")
        assert all(map(has_instants, files(stack)))
        assert rows(stack, 'SELECT * FROM app_logs ORDER BY "partition", "offset"') == after
        found = verify(stack, 0, [run])
        assert (found["conclusion"], found["counts"]) == ("holds", {})
