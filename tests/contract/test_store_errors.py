"""A store that cannot work says so, and says what to do."""

import os
import sqlite3
import stat

import pytest
import sqlalchemy

from monitor.store import Store, StoreError, StoreUnavailable, database


def test_a_missing_folder(tmp_path):
    with pytest.raises(StoreUnavailable, match="create the folder"):
        Store.open(f"sqlite:///{tmp_path}/missing/audit.db")


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(StoreUnavailable, match="unable to open"):
        Store.open(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database(path):
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(StoreUnavailable, match="choose another place"):
        Store.open(f"sqlite:///{path}")
    assert path.read_text().startswith("Dear diary")


@pytest.mark.usefixtures("closing")
def test_a_database_of_another_program(shared_url):
    other = sqlalchemy.create_engine(shared_url)
    with other.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE records (seq INTEGER, song TEXT)")
    with pytest.raises(StoreUnavailable, match="already exists"):
        Store.open(shared_url)
    assert sqlalchemy.inspect(other).get_table_names() == ["records"]
    other.dispose()


def test_a_file_that_cannot_be_written(path):
    Store.open(f"sqlite:///{path}").close()
    # For root, who may write anywhere, too.
    store = Store.open(f"sqlite:///file:{path}?mode=ro&uri=true")
    with pytest.raises(StoreUnavailable, match="make the file and its folder writable"):
        store.record_policy(policy="p", version="1", created_at="2026")
    assert store.newest_seq() == -1
    store.close()


@pytest.mark.parametrize("url", ["", "nonsense", "oracle9://x", "nosuch+driver://x/y"])
def test_an_address_that_cannot_be_used(url):
    with pytest.raises(StoreUnavailable, match="database address"):
        Store.open(url)


def test_a_busy_database(path, sample, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    store = Store.open(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="another process"):
        store.record_verdict(*sample(1))
    assert store.newest_seq() == -1
    other.execute("ROLLBACK")
    store.record_verdict(*sample(1))
    other.close()
    store.close()


def test_a_full_disk(path, sample):
    store = Store.open(f"sqlite:///{path}")
    store.record_verdict(*sample(0))
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
    with pytest.raises(StoreUnavailable, match="free some space"):
        store.record_verdict(*sample(1, prompt=os.urandom(200_000).hex()))
    assert store.audit(expect_size=1).ok
    assert store.newest_seq() == 0
    store.close()


def test_errors_show_neither_text_nor_passwords(store, sample):
    engine = store._engine
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE contents")
    with pytest.raises(StoreError) as caught:
        store.record_verdict(*sample(1, answer="canary"))
    assert "canary" not in str(caught.value) + repr(caught.value.__cause__)
    assert store.newest_seq() == -1


def test_only_the_owner_can_read_a_new_database(path, sample):
    store = Store.open(f"sqlite:///{path}")
    store.record_verdict(*sample(1))
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    store.close()


def test_sqlite_commits_are_durable(path):
    store = Store.open(f"sqlite:///{path}")
    with store._engine.connect() as connection:
        pragmas = {
            p: connection.exec_driver_sql(f"PRAGMA {p}").scalar()
            for p in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    store.close()
