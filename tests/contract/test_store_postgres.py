"""What only PostgreSQL needs: turns across connections, durability, limits and lost connections."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy

from monitor.store import Query, Store, StoreUnavailable
from monitor.store.database import writing


@contextmanager
def opened(url, **options):
    """A store whose server has these settings for it."""
    settings = " ".join(f"-c{name}={value}" for name, value in options.items())
    address = sqlalchemy.make_url(url).update_query_dict({"options": settings} if settings else {})
    store = Store.open(address.render_as_string(hide_password=False))
    yield store
    store.close()


def test_a_server_that_does_not_wait_for_its_disk_is_made_to(postgres_url):
    with (
        opened(postgres_url, synchronous_commit="off") as store,
        writing(store._engine) as connection,
    ):
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_server_that_waits_for_more_than_its_disk_keeps_doing_so(postgres_url):
    with (
        opened(postgres_url, synchronous_commit="remote_apply") as store,
        writing(store._engine) as connection,
    ):
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "remote_apply"


def test_the_server_of_these_tests_writes_to_disk(postgres_url):
    with opened(postgres_url) as store, store._engine.connect() as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            assert connection.exec_driver_sql(f"SHOW {setting}").scalar() == "on"


def test_a_writer_waits_for_its_turn_and_a_reader_does_not(postgres_url, sample):
    with opened(postgres_url) as store, opened(postgres_url) as other:
        store.record_verdict(*sample(0))
        with ThreadPoolExecutor(1) as pool:
            with writing(other._engine):
                waiting = pool.submit(store.record_verdict, *sample(1))
                time.sleep(0.3)
                assert not waiting.done()
                assert store.newest_seq() == 0
                assert len(store.verdicts(Query()).rows) == 1
                assert store.audit(expect_size=1).ok
            assert waiting.result().seq == 1


def test_a_turn_ends_when_its_writer_fails(postgres_url, sample):
    with opened(postgres_url) as store, opened(postgres_url) as other:
        with pytest.raises(ValueError, match="gave up"), writing(other._engine):
            raise ValueError("gave up")
        assert store.record_verdict(*sample(0)).seq == 0


@pytest.mark.parametrize("limit", ["lock_timeout", "statement_timeout"])
def test_a_wait_that_the_server_limits_records_nothing(postgres_url, sample, limit):
    with opened(postgres_url) as other, opened(postgres_url, **{limit: "100ms"}) as store:
        with (
            writing(other._engine),
            pytest.raises(StoreUnavailable, match="recording twice is safe"),
        ):
            store.record_verdict(*sample(0))
        assert store.newest_seq() == -1
        assert store.record_verdict(*sample(0)).seq == 0


def hang_up(engine, waiting_for="%"):
    """Do to other connections what a restart of the server does."""
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND wait_event LIKE %s",
            (waiting_for,),
        )


def test_a_store_goes_on_after_its_connections_were_lost(postgres_url, sample):
    with opened(postgres_url) as store, opened(postgres_url) as other:
        store.record_verdict(*sample(0))
        hang_up(other._engine)
        assert store.record_verdict(*sample(1)).seq == 1
        hang_up(other._engine)
        assert store.audit(expect_size=2).ok


def test_a_connection_lost_while_it_waits_records_nothing(postgres_url, sample):
    with opened(postgres_url) as store, opened(postgres_url) as other:
        with ThreadPoolExecutor(1) as pool, writing(other._engine):
            waiting = pool.submit(store.record_verdict, *sample(0))
            time.sleep(0.3)
            hang_up(other._engine, waiting_for="advisory")
            with pytest.raises(StoreUnavailable, match="recording twice is safe"):
                waiting.result()
        assert store.newest_seq() == -1
        assert store.record_verdict(*sample(0)).seq == 0


def test_a_server_that_is_not_there():
    with pytest.raises(StoreUnavailable, match="check that the server runs") as caught:
        Store.open("postgresql+psycopg://us:canary@127.0.0.1:1/verdicts")
    assert "canary" not in str(caught.value) + repr(caught.value.__cause__)
