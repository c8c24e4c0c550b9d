"""`subtext audit`: prove that the record is what was written."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from monitor import audit
from monitor.audit import Report
from monitor.checkpoint import CheckpointError, VerifierKey
from monitor.coverage import Coverage, Held
from monitor.export import ExportError, lines, read
from monitor.store import Store, StoreError
from stream.cli import erase
from stream.cli.evidence import counted, held_at, print_findings, writing
from stream.cli.options import (
    DEFAULT_DATABASE,
    DEFAULT_KEY_FILE,
    ContentKeys,
    Database,
    KeyFile,
    fail,
    open_key,
    open_places,
    open_store,
)
from stream.places import PlaceError
from stream.publishing import publish_all

app = typer.Typer(no_args_is_help=True, help="Check the tamper-evident record.")
app.command("erase")(erase.erase)
app.command("erasures")(erase.erasures)
app.command("renew")(erase.renew)


@app.command()
def key(file: KeyFile = DEFAULT_KEY_FILE) -> None:
    """Print the public key that verifies checkpoints; makes the pair at first use.

    Give the printed line to whoever is to check the log, for
    `subtext audit verify --key`. Who holds the private file can sign any
    history: keep it from those whom the log is about.
    """
    typer.echo(str(open_key(file).verifier))


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist yet.")],
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Write records and checkpoints as JSON lines, to be verified elsewhere.

    Verdicts, scores, ids and hashes are in it; text of traces is not. Check
    the copy with `subtext audit verify --export FILE --key KEY`.
    """
    store = open_store(database, must_exist=True)
    try:
        notes = [stored.note for stored in store.checkpoints()]
        records = counted(store.records(), "Exporting", store.newest_seq() + 1)
        with writing(file) as out:
            out.writelines(lines(notes, records))
    except StoreError as error:
        raise fail(str(error)) from error
    finally:
        store.close()
    typer.echo(f"Wrote {file}, with {len(notes)} checkpoints.")


@app.command()
def publish(
    places: Annotated[
        list[str],
        typer.Argument(
            help="git:FOLDER, a working copy that is committed to and pushed; s3://BUCKET/PATH and "
            "other object stores; or a folder."
        ),
    ],
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Send all signed checkpoints to places that others hold.

    What is there already is left alone. `subtext serve --publish-checkpoints`
    sends each as it is made; this sends what came before, or fills gaps.
    """
    store = open_store(database, must_exist=True)
    try:
        for place in open_places(places).values():
            typer.echo(f"{publish_all(store, place)} checkpoints are in {place.name}.")
    except (StoreError, PlaceError) as error:
        raise fail(f"{error}.") from error
    finally:
        store.close()


@app.command()
def verify(
    database: Database = DEFAULT_DATABASE,
    export: Annotated[
        Path | None, typer.Option(help="Verify this export instead of a database.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="Public key that must have signed: name+hash+base64. Can be repeated."),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            help="Where checkpoints were kept: a folder or a working copy of git, or "
            "s3://BUCKET/PATH and other object stores."
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="A number of records that the log once had.")
    ] = None,
    head: Annotated[str | None, typer.Option(help="The head hash it had at that size.")] = None,
    content_keys: ContentKeys = None,
    chain_only: Annotated[
        bool,
        typer.Option(
            "--chain-only",
            help="Leave texts and what repeats the records aside: several times as fast.",
        ),
    ] = False,
) -> None:
    """Recompute the hash chain, and hold it against signed checkpoints.

    Without more: finds every record, verdict and text that was changed by
    somebody who did not compute all hashes after it anew.

    With --key, as printed by `subtext audit key`: finds such changes too, up
    to the newest checkpoint that this key signed, which is named.

    With --checkpoints, a folder that others kept: also finds that the end was
    cut off together with its checkpoints, up to the newest one in there.

    Offline, from a copy: `subtext audit export log.jsonl`, then
    `subtext audit verify --export log.jsonl --key KEY --checkpoints COPIES`.

    Exit code: 0 everything fits, 1 something does not, 64 cannot be read.
    """
    keys = [_verifier(text) for text in key or ()]
    held = held_at(checkpoints) if checkpoints else []
    if export is None:
        store = open_store(database, must_exist=True, keys=content_keys)
        audit_it = store.audit_chain if chain_only else store.audit
        report, coverage = _of_database(store, audit_it, (held, keys), (size, head))
    else:
        report, coverage = _of_export(export, held, keys, (size, head))
    fits = print_findings(report, coverage, outside=bool(held))
    raise typer.Exit(0 if fits else 1)


#: Size and head that the log once had.
_Remembered = tuple[int | None, str | None]
_Found = tuple[Report, Coverage]


def _of_database(
    store: Store,
    audit_it: Callable[..., Report],
    signed: tuple[list[Held], list[VerifierKey]],
    remembered: _Remembered,
) -> _Found:
    held, keys = signed
    size, head = remembered
    try:
        stored = [Held(source=f"checkpoint {c.size}", note=c.note) for c in store.checkpoints()]
        coverage = Coverage([*held, *stored], keys)
        total = store.newest_seq() + 1
        report = audit_it(
            expect_size=size,
            expect_head=head,
            watch=lambda records: coverage.watch(counted(records, "Verifying", total)),
        )
    except StoreError as error:
        raise fail(str(error)) from error
    finally:
        store.close()
    return report, coverage


def _of_export(
    path: Path, held: list[Held], keys: list[VerifierKey], remembered: _Remembered
) -> _Found:
    size, head = remembered
    try:
        with path.open("rb") as file:
            log = read(file)
            coverage = Coverage([*held, *log.checkpoints], keys)
            records = coverage.watch(counted(log.records, "Verifying"))
            return audit.verify(records, expect_size=size, expect_head=head), coverage
    except OSError as error:
        raise fail(f"{path} cannot be read: {error.strerror}.") from error
    except ExportError as error:
        raise fail(f"{path}: {error}.") from error


def _verifier(text: str) -> VerifierKey:
    try:
        return VerifierKey.parse(text)
    except CheckpointError as error:
        raise fail(f"--key: {error}.") from error
