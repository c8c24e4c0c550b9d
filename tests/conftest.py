"""What every test may use."""

import os
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import HealthCheck, settings

from monitor.store import database
from tests.certificates import secured

settings.register_profile(
    "default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
# Other examples every time, and many: HYPOTHESIS_PROFILE=thorough make test
settings.register_profile(
    "thorough", parent=settings.get_profile("default"), derandomize=False, max_examples=10_000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

SCRIPTS = Path(__file__).parents[1] / "scripts"


@contextmanager
def running(script, *arguments):
    """What a script of ours runs: it lives as long as its standard input, so as this process.

    In a session of its own: Ctrl-C must not reach the server before the tests are done.
    """
    with subprocess.Popen(
        [SCRIPTS / script, "run", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        address = server.stdout.readline().strip()
        if not address:
            pytest.fail(server.communicate()[1].strip(), pytrace=False)
        yield address


@pytest.fixture(scope="session")
def postgres_server():
    """The address of a PostgreSQL database that these tests may empty."""
    address = os.environ.get("SUBTEXT_TEST_POSTGRES")
    if address:
        yield address
        return
    with running("postgres") as address:
        yield address


@pytest.fixture(scope="session")
def kafka_doors(tmp_path_factory):
    """A Kafka broker with three doors: plain, SASL over TLS, and TLS with client certificates."""
    with (
        secured(tmp_path_factory.mktemp("kafka")) as doors,
        running("kafka", doors.folder) as address,
    ):
        yield replace(doors, plain=address)


@pytest.fixture(scope="session")
def kafka_server(kafka_doors):
    """The address of a Kafka broker; each test makes topics of its own."""
    return kafka_doors.plain


@pytest.fixture(scope="session")
def _postgres_engine(postgres_server):
    engine = sqlalchemy.create_engine(postgres_server, pool_pre_ping=True)
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_url(postgres_server, _postgres_engine):
    """The same, emptied; whoever was still connected to it is no more."""
    with _postgres_engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    return postgres_server


@pytest.fixture
def closing(monkeypatch):
    """Close, after the test, what a store that could not be opened left open."""
    engines = []

    def create_engine(*arguments, **options):
        engines.append(sqlalchemy.create_engine(*arguments, **options))
        return engines[-1]

    monkeypatch.setattr(database, "create_engine", create_engine)
    yield
    for engine in engines:
        engine.dispose()
