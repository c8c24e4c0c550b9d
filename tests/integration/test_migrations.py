"""The migrations and the tables in the code are the same thing."""

import re
from importlib.resources import files

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from monitor.store import Store, StoreUnavailable
from monitor.store.schema import metadata

#: The search index, which is another one on each database.
IS_INDEX = re.compile("texts($|_)")


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request, tmp_path):
    if request.param == "postgres":
        created = sqlalchemy.create_engine(request.getfixturevalue("postgres_url"))
    else:
        created = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/audit.db")
    yield created
    created.dispose()


def opened(engine):
    return Store.open(engine.url.render_as_string(hide_password=False))


def run(engine, action, revision):
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        action(config, revision)


def differences(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": _is_ours})
        return compare_metadata(context, metadata)


def _is_ours(name, kind, _):
    return kind != "table" or not IS_INDEX.match(name)


def tables(engine):
    names = set(sqlalchemy.inspect(engine).get_table_names())
    return {name for name in names if not IS_INDEX.match(name)} - {"alembic_version"}


def test_migrating_an_empty_database_gives_the_tables_of_the_code(engine):
    run(engine, command.upgrade, "head")
    assert differences(engine) == []
    assert tables(engine) == set(metadata.tables)


def test_the_comparison_sees_differences(engine):
    assert differences(engine)


def test_migrations_go_down_and_up_again(engine):
    run(engine, command.upgrade, "head")
    run(engine, command.downgrade, "base")
    assert tables(engine) == set()
    run(engine, command.upgrade, "head")
    assert differences(engine) == []


def test_migrations_have_one_head():
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    from alembic.script import ScriptDirectory

    assert len(ScriptDirectory.from_config(config).get_heads()) == 1


def test_opening_migrates_and_opening_again_changes_nothing(engine):
    for _ in range(2):
        store = opened(engine)
        store.record_policy(policy="p", version="1", created_at="2026")
        assert store.newest_seq() == 0
        store.close()
    assert differences(engine) == []


def test_code_works_on_a_newer_schema(engine):
    opened(engine).close()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql("ALTER TABLE records ADD COLUMN newer TEXT")
    store = opened(engine)
    store.record_policy(policy="p", version="1", created_at="2026")
    assert store.audit().ok
    store.close()


@pytest.mark.usefixtures("closing")
def test_a_failed_migration_leaves_nothing_behind(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE contents (x TEXT)")
    with pytest.raises(StoreUnavailable):
        opened(engine)
    assert tables(engine) == {"contents"}
