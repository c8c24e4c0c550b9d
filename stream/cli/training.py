"""`subtext train`, `evaluate`, `calibrate`: handed on to the training package, in its own process.

Serving must not import torch; the environment that trains has it.
"""

import subprocess
import sys
from importlib.util import find_spec
from typing import Final

import typer

from stream.cli.options import EXIT_ERROR

_WHAT: Final = {
    "train": "Train, export and calibrate classifiers from labelled traces.",
    "evaluate": "Measure a model on sources that it never saw: tables, JSON, plots.",
    "calibrate": "Set a model's thresholds for a rate of false positives, on data not trained on.",
}


def add_to(app: typer.Typer) -> None:
    """Add the three commands; what follows them, `--help` too, is the training package's."""
    for name, help_ in _WHAT.items():
        app.command(
            name,
            help=f"{help_} Needs `pip install 'subtext\\[cpu,train]'`.",  # not markup
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_hand_on)


def _hand_on(context: typer.Context) -> None:
    if find_spec("torch") is None:
        typer.secho(
            "torch is not installed here. Make an environment for training:"
            " pip install 'subtext[cpu,train]' (several GB).",
            fg=typer.colors.RED,
            err=True,
        )
        raise typer.Exit(EXIT_ERROR)
    command = [sys.executable, "-m", "classifiers.training", str(context.info_name), *context.args]
    raise typer.Exit(subprocess.run(command, check=False).returncode)  # noqa: S603 -- our own
