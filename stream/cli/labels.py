"""`subtext labels`: what reviewers answered, as data to train and to choose thresholds on."""

import getpass
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from monitor.audit import canonical
from monitor.clock import utc_now
from monitor.labels import row
from monitor.store import Store, StoredReview, StoredVerdict, StoreError
from stream.cli.evidence import writing
from stream.cli.options import DEFAULT_DATABASE, ContentKeys, Database, fail, open_store

app = typer.Typer(no_args_is_help=True, help="What reviewers answered, as labelled data.")


@app.callback()
def labels() -> None:
    """What reviewers answered, as labelled data."""


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist yet.")],
    database: Database = DEFAULT_DATABASE,
    content_keys: ContentKeys = None,
) -> None:
    """Write confirmed and dismissed traces with their labels as JSON lines.

    One line per verdict, by its newest answer, in the columns of the training
    data. It holds the text of the traces: keep it as you keep them. What waits
    for a second opinion, or for a lead to decide between two, is left out;
    `decided` and `decided_by` say how it was settled, and by whom. That it was
    exported, with your name on this machine, is put on record.

    A label is what the reviewer said of a check. Where nothing was said,
    confirming makes 1, and dismissing 0, of the checks that crossed their
    flag threshold; the others stay null.
    """
    store = open_store(database, must_exist=True, keys=content_keys)
    count = locked = 0
    try:
        store.accounts.tell_export("labels", by=getpass.getuser(), chosen="", at=utc_now())
        with writing(file) as out:
            for stored, history in _answered(store):
                locked += stored.row.locked
                found = row(stored, history)
                if found is not None:
                    out.write(canonical(found) + b"\n")
                    count += 1
    except StoreError as error:
        raise fail(str(error)) from error
    finally:
        store.close()
    typer.echo(f"Wrote {count} labelled traces to {file}.")
    if locked:
        typer.echo(f"Left out {locked}: encrypted with keys that were not given (--content-keys).")


def _answered(store: Store) -> Iterator[tuple[StoredVerdict, Sequence[StoredReview]]]:
    for verdict_id in store.reviews.answered():
        stored, history = store.verdict(verdict_id), store.reviews.of(verdict_id)
        if stored and history:
            yield stored, history
