"""The ``courtroom`` command: a collection of the commands that the packages bring (entry points ``courtroom.commands``)."""

import sys
from importlib.metadata import entry_points
from typing import Any

import typer
from rich.markup import escape


def application(wanted: str | None = None) -> typer.Typer:
    """Build the command from the installed entry points; each is a typer application (a group) or a function (one command).

    A function may name typer's class for its command as its ``command_class``.

    Args:
        wanted: load this command alone, where it exists: the recorder need not read what only the demo uses.
    """
    app = typer.Typer(
        name="courtroom",
        help="Record court hearings as evidence, and verify the records.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)
    points = sorted(entry_points(group="courtroom.commands"), key=lambda point: point.name)
    chosen = [point for point in points if point.name == wanted] or points
    for point in chosen:
        loaded = point.load()
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=point.name)
        else:
            app.command(point.name, cls=getattr(loaded, "command_class", None))(loaded)
    return app


def command(wanted: str | None = None) -> Any:  # noqa: ANN401 - click's, which is typer's own affair
    """The command itself; its help shows ``[tables]`` of room.toml, which typer would take for markup and leave out."""
    made = typer.main.get_command(application(wanted))
    _escape(made)
    return made


def _escape(made: Any) -> None:  # noqa: ANN401 - likewise
    for part in (made, *made.params):
        if getattr(part, "help", None):
            part.help = escape(part.help)
    for each in getattr(made, "commands", {}).values():
        _escape(each)


def main() -> None:
    """Entry point of the ``courtroom`` script."""
    command(sys.argv[1] if len(sys.argv) > 1 else None)()


if __name__ == "__main__":
    main()
