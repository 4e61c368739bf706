"""Loads the module of a command when the command is used: the only place of the command line that imports lazily.

`nextbest --help` lists all commands without importing any library behind them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


@dataclass(frozen=True)
class LazyCommand:
    """A command that is not loaded yet.

    Attributes
    ----------
    target : ``module:function`` of a command, or ``module:app`` of a group of commands
    help : what its help begins with; the tests compare it with the function's docstring
    """

    target: str
    help: str

    def load(self) -> Any:
        """Import the module, and return the function, or the `typer.Typer` of a group.

        Examples
        --------
        >>> LazyCommand("config_command:reference", "Print every key").load().__name__
        'reference'
        """
        return resolve_name(f"serving.cli.{self.target}")

    def build(self, name: str) -> Any:
        """Return the command as Typer runs it, under this name.

        Examples
        --------
        >>> LazyCommand("config_command:reference", "Print every key").build("keys").name
        'keys'
        """
        loaded = self.load()
        if isinstance(loaded, typer.Typer):
            return get_group(loaded)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name)(loaded)
        return get_command(alone)


class LazyGroup(TyperGroup):
    """A group whose commands are loaded when they are used; a subclass names them in `lazy`."""

    lazy: ClassVar[Mapping[str, LazyCommand]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, command in self.lazy.items():
            self.add_command(TyperCommand(name, help=command.help, rich_markup_mode=None))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the loaded command; none where there is none of this name."""
        del ctx
        return self.lazy[cmd_name].build(cmd_name) if cmd_name in self.lazy else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands from the table, without loading any."""
        del ctx
        width = formatter.width - 6 - max(len(name) for name in self.commands)
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(width)) for name, one in self.commands.items()])
