"""What is shown of other people's text: on a terminal as it is, control characters visible; as JSON unchanged."""

from __future__ import annotations

import ast
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from rich.table import Table

from consumers.traffic import Traffic
from shardlake import patience
from shardlake.cli import stack
from shardlake.cli.lag import lag_table
from shardlake.cli.leases import lease_table
from shardlake.cli.main import main
from shardlake.cli.output import add_row, err, new_table, out, print_json, styled
from shardlake.cli.query import rows_table
from shardlake.errors import BadInput
from shardlake.lag.answers import Member
from shardlake.shards.leases import ShardLease, State
from tests.support import ROOT
from tests.unit.lag_case import NOW_MS, Records, answers, last_sample

pytestmark = pytest.mark.unit

CLIPBOARD = "\x1b]52;c;bWFsaWNl\x07"
"""On many terminals this writes the clipboard."""
FOREIGN = [
    "fd00:a:1::1",
    "/a[/b]",
    "[red]no colour",
    "ends\\",
    CLIPBOARD,
    "one\ntwo\r\tthree",
    "\u202etxt.exe",
    "\ud800",
]
SHOWN = [
    "fd00:a:1::1", "/a[/b]", "[red]no colour", "ends\\", "\\x1b]52;c;bWFsaWNl\\x07", "one\\ntwo\\r\\tthree",
    "\\u202etxt.exe", "\\ud800",
]  # fmt: skip


def shown(table: Table) -> str:
    with out.capture() as captured:
        out.print(table)
    return captured.get()


@pytest.mark.parametrize(("text", "seen"), list(zip(FOREIGN, SHOWN, strict=True)))
def test_a_cell_and_a_head_show_text_as_it_is_with_control_characters_visible(text: str, seen: str) -> None:
    table = new_table(text)
    add_row(table, text)
    assert [line.strip() for line in shown(table).splitlines()] == [seen, seen]


@pytest.mark.parametrize(("text", "seen"), list(zip(FOREIGN, SHOWN, strict=True)))
def test_the_tables_of_query_lag_and_leases_go_through_that_function(text: str, seen: str) -> None:
    lease = ShardLease("s-0", State.HELD, 1, 1, owner=text)
    member = {text: {("t", 0): Member(text, "c-1", "/h")}}
    sample = last_sample(answers({text: {("t", 0): 60}}, {"t": [100]}, NOW_MS, owners=member), records=Records({}))
    for table in (rows_table([text], [(text,)]), lease_table([lease]), lag_table(sample)):
        assert seen in shown(table)


def test_tables_are_filled_and_text_is_styled_in_one_place() -> None:
    """Rich's own ways to fill a table and to mark text up are used by `shardlake.cli.output` alone."""
    found = []
    for path in (ROOT / "shardlake").rglob("*.py"):
        if path == ROOT / "shardlake" / "cli" / "output.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("add_row", "from_markup"):
                found.append((path.name, node.lineno))
            if isinstance(node, ast.ImportFrom) and node.module in ("rich.markup", "rich.console"):
                found.append((path.name, node.lineno))
            if isinstance(node, ast.keyword) and node.arg == "markup":
                found.append((path.name, node.value.lineno))
    assert found == []


def test_json_is_written_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    values = [*FOREIGN, "\x7f", ":smile:"]
    print_json({"values": values})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"values": values}
    assert "fd00:a:1::1" in printed


def test_lines_and_what_is_styled_are_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    for text in FOREIGN:
        out.print(text)
        err.print(styled(text, "red", text), text)
    said = capsys.readouterr()
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(said.out + said.err)
    for seen in (one for one in SHOWN if "\\n" not in one):
        assert f"{seen}\n" in said.out
        assert f"{seen}{seen} {seen}\n" in said.err


def test_an_error_that_quotes_foreign_text_is_told_with_it_visible(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BadInput(f"No topic {CLIPBOARD} [/b].", f"There is: fd00:a:1::1, {CLIPBOARD}.")

    monkeypatch.setattr("shardlake.cli.main.app", fail)
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == (
        "error: No topic \\x1b]52;c;bWFsaWNl\\x07 [/b].\n  There is: fd00:a:1::1, \\x1b]52;c;bWFsaWNl\\x07.\n"
    )


def test_a_traceback_shows_foreign_text_visibly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError(CLIPBOARD)

    monkeypatch.setattr("shardlake.cli.main.app", fail)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(ValueError, match="52") as raised:
        main()
    sys.excepthook(raised.type, raised.value, raised.tb)
    said = capsys.readouterr().err
    assert "ValueError: \\x1b]52;c;bWFsaWNl\\x07\n" in said
    assert "\x1b" not in said


def test_a_line_of_progress_is_visible(capsys: pytest.CaptureFixture[str]) -> None:
    patience.to_stderr(f"waiting for {CLIPBOARD}\nerror: forged")
    assert capsys.readouterr().err == "waiting for \\x1b]52;c;bWFsaWNl\\x07\\nerror: forged\n"


@pytest.mark.parametrize("follow", [False, True])
def test_log_lines_do_not_steer_the_terminal(
    follow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "kafka.log").write_text(f"[/b] {CLIPBOARD}\n\tat a.b.C:1:\n")
    monkeypatch.setattr(stack, "state_folder", lambda: tmp_path)
    if follow:
        monkeypatch.setattr("shardlake.cli.stack.subprocess.Popen", _ended)
    stack.logs("kafka", follow=follow)
    said = capfd.readouterr().out
    assert "[/b] \\x1b]52;c;bWFsaWNl\\x07\n" in said
    assert "\x1b" not in said
    assert "at a.b.C:1:" in said


class _ended:
    """A `tail` that ends after what there is."""

    def __init__(self, command: list[str], **_: object) -> None:
        self.stdout = io.StringIO(Path(command[-1]).read_text())

    def __enter__(self) -> _ended:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def terminate(self) -> None:
        pass


@pytest.mark.parametrize("show", [out.print, err.print])
def test_no_text_is_an_emoji(show: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    show("fd00:a:1::1 :smile:")
    said = capsys.readouterr()
    assert said.out + said.err == "fd00:a:1::1 :smile:\n"


def test_a_service_does_not_steer_the_terminal_of_its_consumer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    traffic = Traffic()
    traffic.initialize("app-logs-0")
    record: Any = SimpleNamespace(data={"service": "a\x1b]52;c;YQ==\x07", "response_bytes": 1_500_000})
    traffic.process_records([record], Mock())
    traffic.say()
    assert capsys.readouterr().out == "app-logs-0: a\\x1b]52;c;YQ==\\x07 1 (1.5 MB)\n"
