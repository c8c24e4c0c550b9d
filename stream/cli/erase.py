"""`subtext audit erase`, `erasures` and `renew`: texts go or change, the record of that stays."""

import getpass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from dashboard.inert import visible
from monitor.audit import AuditRecord
from monitor.clock import stamp, utc_now
from monitor.retention import RetentionError, age_of
from monitor.store import CorruptContent, Erased, Query, Store, StoreError
from monitor.types import Decision
from stream.cli.options import DEFAULT_DATABASE, ContentKeys, Database, fail, open_store


class Decided(StrEnum):
    """Decisions, as one types them."""

    ALLOW = "allow"
    FLAG = "flag"
    BLOCK = "block"


def erase(
    verdict_ids: Annotated[
        list[str] | None, typer.Argument(help="Verdicts whose text goes.", show_default=False)
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Only verdicts made longer ago: 30d, 12h, 2w.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Only of this conversation.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    decision: Annotated[Decided | None, typer.Option(help="Only those decided so.")] = None,
    run: Annotated[str | None, typer.Option(help="Only of this run of re-scoring.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it goes into the record.")] = "",
    by: Annotated[str, typer.Option(help="Who; default: your name on this machine.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be erased, and erase nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to go on.")] = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Erase the text of traces, and notes about them, for good.

    Name verdicts, or say which by the options; all that are given must hold.
    What re-scoring kept of the same traces goes too. Decisions, scores and
    hashes stay: `subtext audit verify` still passes, and the chain gets a
    record that says who erased what, when and why. Text that goes missing
    without such a record is reported as tampering.

        subtext audit erase --older-than 30d --tenant acme --dry-run
        subtext audit erase v-0c12… --reason 'request of the data subject'

    Copies elsewhere (backups, exports of labels, re-scored Parquet) are yours
    to erase.
    """
    wanted = Query(
        verdict_ids=tuple(verdict_ids or ()),
        until=None if older_than is None else _before(older_than),
        tenant=tenant,
        conversation_id=conversation,
        model=model,
        decision=None if decision is None else Decision[decision.name],
        run=run,
    )
    if wanted == Query():
        raise fail("Say which: verdict ids, --older-than, or another option.")
    if not dry_run and not reason.strip():
        raise fail("Say why, for the record: --reason.")
    store = open_store(database, must_exist=True)
    try:
        _refuse_unknown(store, wanted)
        found = store.retention.count(wanted)
        typer.echo(f"{_told(found)} {'would go' if dry_run else 'will go'}.")
        if not dry_run and found != Erased():
            _go(store, wanted, ask=not yes, by=by or getpass.getuser(), reason=reason.strip())
    except StoreError as error:
        raise fail(str(error)) from error
    finally:
        store.close()


def renew(
    content_keys: ContentKeys = None,
    by: Annotated[str, typer.Option(help="Who; default: your name on this machine.")] = "",
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Store all texts and notes as new ones are stored: with the newest key, and searchable.

    After adding a key to --content-keys: encrypts what is in the clear or
    under an older key of the same tenant, which can be taken out of the file
    afterwards. Encrypted texts leave the search index. After an upgrade: puts
    texts that are older than the search into it. A server may run meanwhile.
    """
    store = open_store(database, must_exist=True, keys=content_keys)
    try:
        total = store.retention.renew(by=by or getpass.getuser(), at=utc_now())
    except StoreError as error:
        raise fail(str(error)) from error
    finally:
        store.close()
    typer.echo(f"Encrypted: {total.encrypted}. Taken into the search: {total.indexed}.")
    if total.locked:
        typer.echo(f"Left as they are, for want of their keys: {total.locked}.")
        raise typer.Exit(1)


def erasures(database: Database = DEFAULT_DATABASE) -> None:
    """Show what was erased, by whom and why, newest first; and which rules held."""
    store = open_store(database, must_exist=True)
    try:
        found = list(store.retention.history())
    except StoreError as error:
        raise fail(str(error)) from error
    finally:
        store.close()
    if not found:
        typer.echo("Nothing was erased.")
        return
    table = Table("Record", "When", "What", "By", "Why")
    for record in found:
        table.add_row(*(visible(str(cell)) for cell in _line(record)))
    Console(markup=False, highlight=False).print(table)


def _go(store: Store, wanted: Query, *, ask: bool, by: str, reason: str) -> None:
    if ask and not typer.confirm("They cannot be brought back. Go on?"):
        raise typer.Exit(1)
    total = store.retention.erase(wanted, by=by, reason=reason, at=utc_now())
    typer.echo(f"Erased: {_told(total)}. The chain has it on record, by {visible(by)}.")


def _refuse_unknown(store: Store, wanted: Query) -> None:
    for verdict_id in wanted.verdict_ids:
        if not _is_known(store, verdict_id):
            raise fail(f"No verdict has the id {visible(verdict_id)}; nothing was erased.")


def _is_known(store: Store, verdict_id: str) -> bool:
    try:
        return store.verdict(verdict_id) is not None
    except CorruptContent:
        return True


def _before(age: str) -> str:
    try:
        return stamp(datetime.now(UTC) - age_of(age))
    except RetentionError as error:
        raise fail(f"--older-than: {error}.") from error


def _told(found: Erased) -> str:
    texts = "1 text" if found.texts == 1 else f"{found.texts} texts"
    notes = "1 note" if found.notes == 1 else f"{found.notes} notes"
    return f"{texts} and {notes} of reviewers"


def _line(record: AuditRecord) -> tuple[Any, ...]:
    body = record.body
    if "rules" in body:
        rules = ", ".join(map(str, body["rules"])) or "texts are kept for ever"
        return record.seq, record.created_at, f"rules: {rules}", "", ""
    if isinstance(body.get("texts"), int):
        return record.seq, record.created_at, f"encrypted {body['texts']}", body.get("by", ""), ""
    what = f"{_size(body.get('texts'))} texts, {_size(body.get('notes'))} notes"
    return record.seq, record.created_at, what, body.get("by", ""), body.get("reason", "")


def _size(runs: Any) -> int:  # noqa: ANN401 (of a record)
    return sum(last - first + 1 for first, last in runs or ())
