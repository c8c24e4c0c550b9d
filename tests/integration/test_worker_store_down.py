"""A real worker, a real broker, and a real PostgreSQL that dies and comes back."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

import pytest
from kafka import KafkaAdminClient
from kafka.errors import RetriableError

from monitor.store import Query, Store
from monitor.types import Channel, Part, Trace
from stream.kafka import messages
from stream.kafka.client import Kafka
from stream.kafka.settings import Settings
from stream.kafka.topics import Topics
from tests.conftest import SCRIPTS

SUBTEXT = [sys.executable, "-c", "from stream.cli import run; run()"]
GROUP = "store-down"


def postgres(verb, folder, *more):
    done = subprocess.run(
        [SCRIPTS / "postgres", verb, folder, *more],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.strip()


def until(condition, seconds=150.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.1)
    return found


def a_trace(name):
    parts = (
        Part(channel=Channel.THINKING, text=f"Case {name}: it is fine, I think."),
        Part(channel=Channel.ANSWER, text="It is fine."),
    )
    return Trace(trace_id=name, parts=parts)


class Broker:
    """What the worker's group has read of what was sent."""

    def __init__(self, address, topics):
        self._address, self._traces = address, topics.traces
        transport = Kafka(Settings(bootstrap=address, session_seconds=10))
        transport.create(topics.to_create(partitions=2, days=1))
        self._producer = transport.producer()

    def send(self, names):
        futures = [
            self._producer.send(
                self._traces,
                key=name.encode(),
                value=messages.encode(messages.whole(a_trace(name))),
                headers=messages.headers(tenant=""),
            )
            for name in names
        ]
        for future in futures:
            future.result(60)

    def read_past(self):
        """Messages that the group has put behind it, for good."""
        found = until(self._committed)
        return sum(p.offset for name, p in found[GROUP].items() if name.topic == self._traces)

    def _committed(self):
        with KafkaAdminClient(bootstrap_servers=self._address) as admin:
            try:
                return admin.list_group_offsets({GROUP: None})
            except RetriableError:  # the broker makes the place for the group's first position
                return None

    def close(self):
        self._producer.close()


def said_of_the_store(log):
    """What the worker's own readiness says of its store, once it has a door."""
    address = log.read_text().partition("Metrics: ")[2].split()
    if not address:
        return None
    try:
        door = address[0].replace("/metrics", "/readyz")
        with urllib.request.urlopen(door, timeout=20) as page:  # noqa: S310 -- our own
            return json.loads(page.read())["checks"]["store"]
    except urllib.error.HTTPError as error:
        return json.loads(error.read())["checks"]["store"]


@pytest.fixture
def own_folder():
    """A short path, that PostgreSQL's own user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder
        postgres("stop", folder)


@pytest.mark.timeout(500)
def test_nothing_is_committed_past_what_is_not_recorded(kafka_server, own_folder, tmp_path):
    folder = own_folder
    database = postgres("start", folder)
    prefix = f"p-{uuid.uuid4().hex[:8]}"
    Store.open(database).close()
    broker, log = Broker(kafka_server, Topics.under(prefix)), tmp_path / "worker.log"
    first, second = ([f"{part}-{n}" for n in range(30)] for part in ("before", "while-down"))
    command = [*SUBTEXT, "worker", "--database", database, "--group", GROUP, "--port", "0"]
    environment = {"SUBTEXT_KAFKA": kafka_server, "SUBTEXT_KAFKA_PREFIX": prefix}
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | environment) as worker,
    ):
        try:
            broker.send(first)
            until(lambda: broker.read_past() == len(first))

            postgres("stop", folder)
            broker.send(second)
            until(lambda: said_of_the_store(log) != "ok")
            assert broker.read_past() == len(first)

            postgres("start", folder)
            until(lambda: broker.read_past() == len(first) + len(second))
            until(lambda: said_of_the_store(log) == "ok")
            worker.terminate()
            assert worker.wait(120) == 0, log.read_text()
        finally:
            worker.kill()
            broker.close()
    store = Store.open(database)
    found = sorted(row.trace_id for row in store.verdicts(Query(limit=100)).rows)
    whole = store.audit().ok
    store.close()
    assert found == sorted([*first, *second])
    assert whole
