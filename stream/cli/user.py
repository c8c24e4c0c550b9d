"""`subtext user`: who may log in to the dashboard."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from monitor.accounts import Role, is_name
from monitor.clock import utc_now
from monitor.credentials import MAX_PASSWORD, MIN_PASSWORD, hash_password
from monitor.store import Accounts, StoreError
from stream.cli.options import DEFAULT_DATABASE, Database, fail, open_store

app = typer.Typer(no_args_is_help=True, help="Who may log in to the dashboard.")

Name = Annotated[str, typer.Argument(help="Lower case letters, digits and . _ - @")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of input.")
]


@app.command()
def add(
    name: Name,
    role: Annotated[
        Role,
        typer.Option(
            help="viewer reads; reviewer answers too; lead settles what was escalated; admin also "
            "sees who has access."
        ),
    ] = Role.REVIEWER,
    password_stdin: PasswordStdin = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Add a user.

    From the first user on, everybody has to log in to the dashboard, and
    programs need a token for the API: `subtext token add`.
    """
    if not is_name(name):
        raise fail(
            "A name has up to 64 lower case letters, digits, and . _ - @ after the first, and is "
            "not `local`."
        )
    hashed = hash_password(_password(password_stdin))
    with accounts_of(database, must_exist=False) as accounts:
        first = not accounts.anyone()
        accounts.add_user(name, role, hashed, at=utc_now())
    typer.echo(f"Added {name} as {role.value}.")
    if first:
        typer.echo("From now on the dashboard asks everybody to log in, and the API for a token.")


@app.command("list")
def list_users(database: Database = DEFAULT_DATABASE) -> None:
    """Show the users and their roles."""
    with accounts_of(database) as accounts:
        found = accounts.users()
    if not found:
        typer.echo("No users: on a loopback address the dashboard is open to everybody.")
        return
    table = Table("Name", "Role", "Since", "")
    for user in found:
        table.add_row(
            user.name, user.role.value, user.created_at[:10], "disabled" if user.disabled else ""
        )
    Console().print(table)


@app.command()
def password(
    name: Name, password_stdin: PasswordStdin = False, database: Database = DEFAULT_DATABASE
) -> None:
    """Change a user's password; ends the user's sessions."""
    hashed = hash_password(_password(password_stdin))
    with accounts_of(database) as accounts:
        accounts.set_password(name, hashed, at=utc_now())
    typer.echo(f"Changed the password of {name}.")


@app.command()
def disable(name: Name, database: Database = DEFAULT_DATABASE) -> None:
    """Let a user in no more; ends the user's sessions. Reviews stay signed with the name."""
    with accounts_of(database) as accounts:
        accounts.disable(name, at=utc_now())
    typer.echo(f"{name} cannot log in any more.")


@app.command()
def enable(name: Name, database: Database = DEFAULT_DATABASE) -> None:
    """Let a disabled user in again, with the same password."""
    with accounts_of(database) as accounts:
        accounts.enable(name, at=utc_now())
    typer.echo(f"{name} can log in again.")


@contextmanager
def accounts_of(database: str, *, must_exist: bool = True) -> Iterator[Accounts]:
    """Open the accounts of a database; what they refuse ends the command with the reason."""
    store = open_store(database, must_exist=must_exist)
    try:
        yield store.accounts
    except StoreError as error:
        raise fail(f"{error}.") from error
    finally:
        store.close()


def _password(from_input: bool) -> str:
    if from_input:
        given = sys.stdin.readline().rstrip("\r\n")
    else:
        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    if not MIN_PASSWORD <= len(given) <= MAX_PASSWORD:
        raise fail(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    return str(given)
