"""The errors a user sees, each with its exit code.

    ShardlakeError            1   something was lost, refused or does not add up
    ├── BadInput              2   the command, a file or a setting is wrong: change it and run again
    └── Unavailable           3   a server, a port or the machine is not there: start it and run again

The command line prints `message` and `hint` and exits with `exit_code`; a traceback is shown only with `-v`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["BadInput", "ShardlakeError", "Unavailable", "naming"]


class ShardlakeError(Exception):
    """What happened and why (`message`), and what to do about it (`hint`)."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        """Both are sentences for a person; neither holds a record's value."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(ShardlakeError):
    """The user's input is wrong."""

    exit_code = 2


class Unavailable(ShardlakeError):
    """Something that the command needs is down, taken or too small."""

    exit_code = 3


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError from in here says which file: that of a write, as to a full disk, does not by itself."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
