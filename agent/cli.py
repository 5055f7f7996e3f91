"""The ``courtroom`` command: a collection of the commands that the packages bring (entry points ``courtroom.commands``)."""

import sys
from importlib.metadata import entry_points

import typer


def application(wanted: str | None = None) -> typer.Typer:
    """Build the command from the installed entry points; each is a typer application (a group) or a function (one command).

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
            app.command(point.name)(loaded)
    return app


def main() -> None:
    """Entry point of the ``courtroom`` script."""
    application(sys.argv[1] if len(sys.argv) > 1 else None)()


if __name__ == "__main__":
    main()
