"""The ``courtroom`` command: a collection of the commands that the packages bring (entry points ``courtroom.commands``)."""

from importlib.metadata import entry_points

import typer


def application() -> typer.Typer:
    """Build the command from the installed entry points; each is a typer application (a group) or a function (one command)."""
    app = typer.Typer(
        name="courtroom",
        help="Record court hearings as evidence, and verify the records.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for point in sorted(entry_points(group="courtroom.commands"), key=lambda p: p.name):
        loaded = point.load()
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=point.name)
        else:
            app.command(point.name)(loaded)
    return app


def main() -> None:
    """Entry point of the ``courtroom`` script."""
    application()()


if __name__ == "__main__":
    main()
