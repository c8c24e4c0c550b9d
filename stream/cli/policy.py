"""`subtext policy`: print and check policy files."""

from pathlib import Path
from typing import Annotated

import typer

from monitor.policy import to_toml
from stream.cli.options import ModelDir, PolicyFile, calibrated, read_policy

app = typer.Typer(no_args_is_help=True, help="Print or check the policy.")


@app.command()
def show(policy: PolicyFile = None, model: ModelDir = None) -> None:
    """Print the policy in force with every value spelt out.

    The output is itself a policy file: `subtext policy show > policy.toml`, then edit it.
    """
    rules = read_policy(policy, calibrated(model))
    typer.echo(f"# Policy version {rules.version}.")
    typer.echo(to_toml(rules), nl=False)


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="The policy file (TOML).")], model: ModelDir = None
) -> None:
    """Check a policy file; exit code 64 and the reason if it cannot be obeyed."""
    rules = read_policy(file, calibrated(model))
    typer.echo(f"{file} is valid: policy version {rules.version}, mode {rules.mode.value}.")
