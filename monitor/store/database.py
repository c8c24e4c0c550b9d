"""Connections: how they are opened, made durable and brought to the current schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from monitor.store.errors import StoreUnavailable

#: How long a writer waits for another process.
BUSY_SECONDS = 30
#: Pages of the search index that are merged in one go.
_MERGE_PAGES = 500
#: Any number that no other program uses for an advisory lock in the same database.
_LOCK = 0x53756274_65787400
#: As patient as with SQLite, unless the server is told to be less so.
_POSTGRES_PATIENCE = text(
    f"SELECT set_config('lock_timeout', '{BUSY_SECONDS}s', true)"
    " WHERE current_setting('lock_timeout') = '0'"
)
#: Waits for this transaction's turn, and makes its commit durable if the server's would not be.
_POSTGRES_TURN = text(
    f"SELECT pg_advisory_xact_lock({_LOCK}),"
    " CASE current_setting('synchronous_commit') WHEN 'off'"
    " THEN set_config('synchronous_commit', 'on', true) END"
)

_ADVICE = {
    "unable to open": "create the folder, or choose another place",
    "readonly": "make the file and its folder writable",
    "not a database": "this file holds something else: choose another place",
    "malformed": "the file is damaged: restore it from a backup",
    "is locked": "another process kept the database busy: close what holds it open",
    "disk is full": "free some space",
    "connection to server": "check that the server runs, and the address, name and password",
    "connection failed": "check that the server runs, and the address, name and password",
}


def connect(url: str, *, must_exist: bool = False) -> Engine:
    """Return an engine for `url` whose commits are durable and whose schema is current."""
    try:
        parsed = make_url(url)
        if must_exist and not _exists(parsed):
            raise StoreUnavailable(f"{parsed}: there is no such file")
        engine = _engine(parsed)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise StoreUnavailable(f"cannot use this database address: {error}") from error
    try:
        with explained(engine):
            _migrate(engine)
    except StoreUnavailable:
        engine.dispose()
        raise
    return engine


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Turn a database's error into one that says which database and what to do."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        cause = str(getattr(error, "orig", None) or error)
        advice = next(
            (a for words, a in _ADVICE.items() if words in cause),
            "try again: recording twice is safe",
        )
        raise StoreUnavailable(f"{engine.url}: {cause}: {advice}") from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that no other writer, here or in another process, runs beside."""
    with explained(engine), engine.connect() as connection, _writes(connection).begin():
        if engine.dialect.name == "postgresql":
            connection.execute(_POSTGRES_PATIENCE)
            connection.execute(_POSTGRES_TURN)
        yield connection


def _writes(connection: Connection) -> Connection:
    return connection.execution_options(writes=True)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that waits for no one."""
    with explained(engine), engine.connect() as connection:
        yield connection


def scrub(engine: Engine) -> None:
    """Let SQLite overwrite what its index and its log still hold of deleted rows.

    It does so in small steps, between which others can write. PostgreSQL does likewise when it
    vacuums.
    """
    if engine.dialect.name != "sqlite":
        return
    with explained(engine):
        connection: Any = engine.raw_connection()
        try:
            _compact(connection)
            connection.execute("PRAGMA busy_timeout = 1000")  # others are not kept longer
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        finally:
            connection.close()


def _compact(connection: Any) -> None:  # noqa: ANN401 (driver's connection)
    """Merge the search index until nothing in it is about texts that are no more.

    https://www.sqlite.org/fts5.html#the_merge_command tells how, and when it is done.
    """
    pages, before = -_MERGE_PAGES, -2
    while connection.total_changes - before >= 2:
        before = connection.total_changes
        connection.execute("INSERT INTO texts (texts, rank) VALUES ('merge', ?)", (pages,))
        pages = _MERGE_PAGES


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, hide_parameters=True, pool_pre_ping=True)
    in_memory = url.database in (None, "", ":memory:")
    # A database in memory is its connection: all threads take turns on one.
    pool: dict[str, Any] = {"pool_size": 1, "max_overflow": 0} if in_memory else {}
    arguments = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    engine = create_engine(
        url, poolclass=QueuePool, connect_args=arguments, hide_parameters=True, **pool
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    if not in_memory:
        _create_private(engine, Path(str(url.database)))
    return engine


def _exists(url: URL) -> bool:
    """Tell whether opening would not create a database."""
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return not is_file or Path(str(url.database)).exists()


def _create_private(engine: Engine, path: Path) -> None:
    """Let no other user of the machine read the traces; SQLite's other files follow this one."""
    with explained(engine):
        if not path.exists() and path.parent.is_dir():
            path.touch(mode=0o600)


def _configure_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 (driver's connection)
    connection.isolation_level = None  # the driver must not begin transactions by itself
    connection.text_factory = _readable
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # erased is overwritten


def _readable(raw: bytes) -> str:
    """Read text that is not UTF-8 too: nobody wrote it, and an audit must be able to say so."""
    return raw.decode("utf-8", "replace")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(engine: Engine) -> None:
    with as_file(files("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        scripts = ScriptDirectory.from_config(config)
        with reading(engine) as connection:
            if not _is_behind(scripts, connection):
                return
        with writing(engine) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_behind(scripts: ScriptDirectory, connection: Connection) -> bool:
    """Tell whether to migrate; a newer schema than this code knows is left as it is."""
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    return current is None or (current in known and current != scripts.get_current_head())
