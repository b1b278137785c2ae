"""The `antiphon` command.

Command modules import what they need when they run, so that `antiphon --help` is quick.
"""

import sys

import typer

from antiphon import __version__
from antiphon.cli.agents import agents_app
from antiphon.cli.call import call
from antiphon.cli.config import config
from antiphon.cli.demo import demo
from antiphon.cli.doctor import doctor
from antiphon.cli.export import export
from antiphon.cli.keys import keys_app
from antiphon.cli.serve import serve
from antiphon.cli.services import services
from antiphon.errors import AntiphonError, ConfigurationError

EXIT_USAGE = 2
"""Exit status of everything that the operator can put right."""

app = typer.Typer(
    name="antiphon",
    help="Self-hosted voice-agent media server on Pipecat.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(call)
app.command()(demo)
app.command()(doctor)
app.command()(config)
app.command()(services)
app.command()(export)
app.add_typer(agents_app, name="agents")
app.add_typer(keys_app, name="keys")


def _version(*, value: bool) -> None:
    if value:
        typer.echo(f"antiphon {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Self-hosted voice-agent media server on Pipecat."""


def main() -> None:
    """Run the command; an error of ours is one clear message and status 2, not a traceback."""
    try:
        app()
    except AntiphonError as error:
        for line in _lines(error):
            typer.echo(line, err=True)
        sys.exit(EXIT_USAGE)


def _lines(error: AntiphonError) -> list[str]:
    if not isinstance(error, ConfigurationError):
        return [f"antiphon: {error.message}"]
    head = f"antiphon: {error.source}: " if error.source else "antiphon: "
    return [head + problem for problem in error.problems]
