"""The `subtext` command."""

import sys
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from monitor.logs import configure
from stream.cli import (
    audit,
    check,
    doctor,
    labels,
    policy,
    produce,
    rescore,
    serve,
    tail,
    token,
    topics,
    training,
    user,
    worker,
)
from stream.cli.options import EXIT_ERROR

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reads what a reasoning model thinks before what it says is released.",
    epilog="Start with `subtext serve --demo`, or try `subtext check FILE` on a saved response.",
)
app.command("serve")(serve.serve)
app.command("check")(check.check)
app.command("rescore")(rescore.rescore)
app.command("doctor")(doctor.doctor)
app.command("worker")(worker.worker)
app.command("produce")(produce.produce)
app.command("tail")(tail.tail)
training.add_to(app)
app.add_typer(topics.app, name="topics")
app.add_typer(audit.app, name="audit")
app.add_typer(policy.app, name="policy")
app.add_typer(labels.app, name="labels")
app.add_typer(user.app, name="user")
app.add_typer(token.app, name="token")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 -- only when asked

        typer.echo(f"subtext {version('subtext')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Prepare what all commands share."""
    configure()


def run() -> None:
    """Run `subtext`; whatever goes wrong, its exit code is not one that means a verdict."""
    try:
        code = app(standalone_mode=False)
    except TyperException as error:
        typer.secho(f"{error.format_message()} See --help.", fg=typer.colors.RED, err=True)
        code = EXIT_ERROR
    except Abort:
        code = 130
    except Exception as error:  # noqa: BLE001 -- a traceback could hold text under review
        typer.secho(f"Failed: {type(error).__name__}.", fg=typer.colors.RED, err=True)
        code = EXIT_ERROR
    sys.exit(code or 0)
