"""Wrong arguments are wrong input: a sentence and exit code 2, no traceback."""

from __future__ import annotations

import sys

import pytest

from shardlake.cli.main import main

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["consume"], "Missing argument 'consumer'"),
        (["consume", "traffic", "--factor", "0"], "'--factor': Input should be greater than or equal to 1"),
        (["consume", "traffic", "--lanes", "fibre"], "'fibre' is not one of 'thread', 'process'"),
        (["produce", "--rate", "fast"], "'--rate': Input should be a valid number"),
        (["nocommand"], "No such command 'nocommand'"),
        (["lag", "--wrong"], "No such option: --wrong"),
    ],
)
def test_wrong_arguments_are_told_in_a_sentence(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["shardlake", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == 2
    assert words in said
    assert "--help" in said
