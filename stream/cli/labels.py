"""`subtext labels`: what reviewers answered, as data to train and to choose thresholds on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.audit import canonical
from monitor.labels import row
from monitor.store import Store, StoreError
from stream.cli.evidence import writing
from stream.cli.options import DEFAULT_DATABASE, Database, fail, open_store

app = typer.Typer(no_args_is_help=True, help="What reviewers answered, as labelled data.")


@app.callback()
def labels() -> None:
    """What reviewers answered, as labelled data."""


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist yet.")],
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Write confirmed and dismissed traces with their labels as JSON lines.

    One line per verdict, by its newest answer, in the columns of the training
    data. It holds the text of the traces: keep it as you keep them.

    A label is what the reviewer said of a check. Where nothing was said,
    confirming makes 1, and dismissing 0, of the checks that crossed their
    flag threshold; the others stay null.
    """
    store = open_store(database, must_exist=True)
    count = 0
    try:
        with writing(file) as out:
            for found in _rows(store):
                out.write(canonical(found) + b"\n")
                count += 1
    except StoreError as error:
        raise fail(str(error)) from error
    finally:
        store.close()
    typer.echo(f"Wrote {count} labelled traces to {file}.")


def _rows(store: Store) -> Iterator[dict[str, Any]]:
    for verdict_id in store.reviews.answered():
        stored, history = store.verdict(verdict_id), store.reviews.of(verdict_id)
        found = row(stored, history[-1].review) if stored and history else None
        if found is not None:
            yield found
