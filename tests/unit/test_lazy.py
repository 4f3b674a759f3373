"""The command line imports a command's module when the command runs, and none for the help page."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shardlake.cli.lazy import Entry
from shardlake.cli.main import _Commands

pytestmark = pytest.mark.unit

SLOW = {"pydantic", "confluent_kafka", "pyarrow", "duckdb", "requests", "psutil", "shardlake.pipeline", "asyncio"}


@pytest.mark.parametrize(("name", "entry"), _Commands.entries.items())
def test_every_entry_names_a_command_of_its_module(name: str, entry: Entry) -> None:
    command = entry.load(name)
    assert command.name == name
    assert command.help
    assert not {"--install-completion"} & {option for parameter in command.params for option in parameter.opts}


def test_the_help_page_imports_no_command() -> None:
    code = (
        "import sys; from shardlake.cli.main import main; sys.argv = ['shardlake', '--help']\n"
        "try: main()\n"
        "finally: print('imported', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stderr.split()[1:])
    assert "shardlake.cli.lazy" in imported
    assert not SLOW & imported
    assert all(name in done.stdout for name, entry in _Commands.entries.items() if not entry.hidden)


def test_a_typing_error_is_answered_by_the_nearest_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from shardlake.cli.main import main

    monkeypatch.setattr(sys, "argv", ["shardlake", "verfy"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "Did you mean 'verify', 'query'?" in " ".join(capsys.readouterr().err.split())
