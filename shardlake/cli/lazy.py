"""A group of commands whose modules are imported when a command runs, not when the command line starts.

The modules of all commands import most of the engine, which costs a third of a second of a core: too much for a help
page or a table of three lines. Click documents such a group as lazily loaded; Typer has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """A command that is a function of a module or, where `function` is None, the module's Typer app `app`."""

    module: str
    help: str
    """One line for the group's help page; the command's own page shows its docstring."""
    panel: str
    function: str | None = None
    hidden: bool = False

    def listed(self, name: str) -> TyperCommand:
        """Return a command that stands for this one on a help page and in completion; nothing is imported."""
        return TyperCommand(name, help=self.help, rich_help_panel=self.panel, hidden=self.hidden)

    def load(self, name: str) -> Any:
        """Import the module and return the command that Typer builds, called `name`."""
        module = import_module(self.module)
        if self.function is None:
            command: Any = typer.main.get_group(module.app)
        else:
            holder = typer.Typer(add_completion=False)
            holder.command()(getattr(module, self.function))
            command = typer.main.get_command(holder)
        command.name = name
        return command


class LazyGroup(TyperGroup):
    """A group whose commands are the class attribute `entries`; derive a class that sets it."""

    entries: ClassVar[Mapping[str, Entry]]

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = {name: entry.listed(name) for name, entry in self.entries.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that the arguments name, and import it. Raises UsageError where there is none."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, self.entries[name].load(name) if name else command, rest

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of their entries."""
        return list(self.commands)
