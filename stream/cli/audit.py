"""`subtext audit`: prove that the record is what was written."""

from typing import Annotated

import typer

from stream.cli.options import DEFAULT_DATABASE, Database, open_store

app = typer.Typer(no_args_is_help=True, help="Check the tamper-evident record.")


@app.callback()
def main() -> None:
    """Check the tamper-evident record."""


@app.command()
def verify(
    database: Database = DEFAULT_DATABASE,
    size: Annotated[
        int | None, typer.Option(help="A number of records that the log once had.")
    ] = None,
    head: Annotated[str | None, typer.Option(help="The head hash it had at that size.")] = None,
) -> None:
    """Recompute the hash chain, and compare every stored verdict and its text with it.

    Exit code 1 when anything was altered. A log whose newest records were cut off still looks
    whole: note size and head somewhere else, and give them here to find that too.
    """
    store = open_store(database)
    report = store.audit(expect_size=size, expect_head=head)
    store.close()
    for problem in report.problems:
        typer.secho(f"record {problem.seq}: {problem.what}", fg=typer.colors.RED)
    typer.echo(f"{report.size} records, {report.erased} with erased text, head {report.head}")
    typer.echo("The chain is whole." if report.ok else f"{len(report.problems)} problems found.")
    raise typer.Exit(0 if report.ok else 1)
