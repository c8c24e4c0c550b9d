"""`subtext policy`: print and check policy files."""

from pathlib import Path
from typing import Annotated

import typer

from monitor.policy import Policy
from monitor.rulebook import to_toml
from monitor.types import Trace
from stream.cli.options import PolicyFile, calibrated, read_policy

app = typer.Typer(no_args_is_help=True, help="Print or check the policy.")

Classifier = Annotated[
    Path | None,
    typer.Option(
        envvar="SUBTEXT_MODEL",
        help="Folder of the classifiers, whose calibration gives the thresholds that the file does "
        "not. Default: the one that ships.",
    ),
]
Route = Annotated[str, typer.Option(help="Path of a request: /v1/messages.")]
AskedModel = Annotated[str, typer.Option(help="Model that a request asks for.")]
Tenant = Annotated[str, typer.Option(help="Tenant whose request it is.")]


@app.command()
def show(policy: PolicyFile = None, classifier: Classifier = None) -> None:
    """Print the policy in force with every value of its top spelt out, and its rules as written.

    The output is itself a policy file: `subtext policy show > policy.toml`, then edit it.
    """
    book = read_policy(policy, calibrated(classifier))
    typer.echo(f"# Policy version {book.version}.")
    typer.echo(to_toml(book), nl=False)


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="The policy file (TOML).")],
    route: Route = "",
    model: AskedModel = "",
    tenant: Tenant = "",
    classifier: Classifier = None,
) -> None:
    """Check a policy file; exit code 64 and the reason if it cannot be obeyed.

    With --route, --model or --tenant, also say which rule decides about such a response, and how:

    subtext policy validate policy.toml --route /v1/messages --model gpt-oss-20b --tenant acme
    """
    book = read_policy(file, calibrated(classifier))
    rules = f", {len(book.rules)} rules" if book.rules else ""
    mode = book.top.mode.value
    typer.echo(f"{file} is valid: policy version {book.version}, mode {mode}{rules}.")
    if route or model or tenant:
        origin = Trace(trace_id="", parts=(), route=route, requested_model=model, tenant=tenant)
        _explain(book.resolve(origin))


def _explain(policy: Policy) -> None:
    typer.echo(
        f"decided by: {f'rule {policy.rule!r}' if policy.rule else 'the top, as no rule matches'}"
    )
    typer.echo(f"mode {policy.mode.value}, deadline {policy.deadline_seconds:g} s")
    typer.echo(
        f"could not be judged: {policy.unscored.name.lower()}; "
        f"nothing to read: {policy.absent.name.lower()}"
    )
    for check, limits in policy.thresholds.items():
        typer.echo(f"{check.value}: flags from {limits.flag:g}, blocks from {limits.block:g}")
