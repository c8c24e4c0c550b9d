"""What only PostgreSQL needs."""

import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from monitor.store import Store
from monitor.store.database import writing
from monitor.store.schema import metadata


def test_a_server_that_does_not_wait_for_its_disk_is_made_to(postgres_url):
    lazy = sqlalchemy.make_url(postgres_url).update_query_dict(
        {"options": "-csynchronous_commit=off"}
    )
    store = Store.open(lazy.render_as_string(hide_password=False))
    with writing(store._engine) as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    store.close()


def test_migrating_an_empty_database_gives_the_tables_of_the_code(postgres_url):
    store = Store.open(postgres_url)
    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    store.close()
