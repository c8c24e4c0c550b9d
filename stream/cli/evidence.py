"""What the audit commands read, write and print."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer
from rich.console import Console
from rich.progress import track

from dashboard.inert import visible
from monitor.audit import AuditRecord, Report
from monitor.checkpoint import MAX_NOTE
from monitor.coverage import Coverage, Covered, Held
from monitor.vault import SUFFIX, Vault
from stream.cli.options import fail
from stream.rescore.errors import RescoreError

if TYPE_CHECKING:
    from stream.rescore.remote import RemoteFile

#: More lines than this about one thing help nobody.
MAX_LINES = 50


def counted(
    records: Iterable[AuditRecord], words: str, total: int | None = None
) -> Iterator[AuditRecord]:
    """Hand the records on; at a terminal, with a bar."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return iter(records)
    return iter(track(records, description=words, total=total, console=console, transient=True))


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Create a file that only this user can read; if that fails halfway, nothing is left."""
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise fail(f"{path} cannot be created: {error.strerror}.") from error
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        path.unlink(missing_ok=True)
        raise fail(f"{path} cannot be written: {error.strerror}.") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def held_at(place: str) -> list[Held]:
    """Read the checkpoints that somebody kept, or stop: an empty place proves nothing."""
    try:
        held = _objects(place) if "://" in place else list(Vault(folder=Path(place)).all())
    except ImportError as error:
        raise fail("Object stores need pip install 'subtext[rescore]'.") from error
    except (OSError, RescoreError) as error:
        raise fail(f"--checkpoints cannot be read: {error}.") from error
    if not held:
        raise fail(f"--checkpoints: there are no *.checkpoint files in {place.partition('?')[0]}.")
    return held


def _objects(address: str) -> list[Held]:
    from stream.rescore.remote import find  # noqa: PLC0415 -- needs pyarrow

    return [
        Held(source=str(file), note=_note(file))
        for file in find(address)
        if file.name.endswith(SUFFIX)
    ]


def _note(file: "RemoteFile") -> str:
    with file.open("rb") as opened:
        return opened.read(MAX_NOTE + 1).decode("utf-8", "surrogateescape")


def print_findings(report: Report, coverage: Coverage, *, outside: bool) -> bool:
    """Print what was found; tell whether everything fits."""
    found = [f"record {problem.seq}: {problem.what}" for problem in report.problems]
    found += coverage.problems()
    for line in islice(found, MAX_LINES):
        typer.secho(visible(line), fg=typer.colors.RED)
    if len(found) > MAX_LINES:
        typer.secho(f"… and {len(found) - MAX_LINES} more", fg=typer.colors.RED)
    head = visible(str(report.head))
    typer.echo(f"{report.size} records, {report.erased} with erased text, head {head}")
    if report.locked:
        typer.echo(
            f"{report.locked} texts are encrypted with keys that were not given, and not compared"
            " with their hashes: --content-keys."
        )
    for line in _covered(report, coverage, outside=outside):
        typer.echo(visible(line))
    typer.echo("The chain is whole." if report.ok else "The chain is broken.")
    typer.echo(f"{len(found)} problems found." if found else "Everything fits.")
    return not found


def _covered(report: Report, coverage: Coverage, *, outside: bool) -> Iterator[str]:
    if coverage.covered is not None:
        yield from _signed(report, coverage.covered, outside=outside)
    elif coverage.agreeing:
        yield f"{coverage.agreeing} checkpoints fit. Who signed them is unknown without --key."
    elif not report.problems:
        yield "No checkpoint vouches for it: whoever recomputes all hashes is not found."


def _signed(report: Report, covered: Covered, *, outside: bool) -> Iterator[str]:
    yield (
        f"{covered.key.name} signed records 0 to {covered.size - 1}, the last of them made at"
        f" {covered.until} ({covered.source})."
    )
    if not report.ok:
        yield "That is about the records as they were: those named above are not what was signed."
    newer = report.size - covered.size
    if newer:
        yield f"For the {newer} newer ones only the chain vouches."
    if not outside:
        yield (
            "All checkpoints came with the log: an end that was cut off together with its"
            " checkpoints is found with --checkpoints only."
        )
