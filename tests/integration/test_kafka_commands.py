"""The commands with a real broker, through every door that it has."""

import json
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from monitor.store import Query, Store
from stream.kafka.client import Kafka
from stream.kafka.port import Topic
from stream.kafka.settings import Settings
from tests.certificates import PASSWORD, USER

#: The command as it is installed.
SUBTEXT = [sys.executable, "-c", "from stream.cli import run; run()"]
TRACES = [
    {"trace_id": "a", "thinking": "It is fine.", "answer": "Fine."},
    {
        "trace_id": "b",
        "thinking": "",
        "answer": "Fine.",
        "tenant": "acme",
        "model": "\x1b[2J\u202e",
    },
    {"thinking": "No id.", "answer": "Fine."},
]


def subtext(*arguments, **environment):
    return subprocess.run(
        [*SUBTEXT, *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={"PATH": "/usr/bin:/bin", "SUBTEXT_KAFKA_WAIT": "30", **environment},
    )


@pytest.fixture(scope="module")
def user(kafka_doors):
    admin = KafkaAdminClient(bootstrap_servers=kafka_doors.plain)
    admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(USER, ScramMechanism.SCRAM_SHA_512, PASSWORD)]
    )
    admin.close()


def prefix():
    return f"p-{uuid.uuid4().hex[:8]}"


@pytest.mark.timeout(300)
def test_traces_go_in_and_verdicts_come_out(kafka_server, tmp_path):
    environment = {"SUBTEXT_KAFKA_PREFIX": prefix(), "SUBTEXT_KAFKA": kafka_server}
    file = tmp_path / "traces.jsonl"
    file.write_text("".join(json.dumps(t) + "\n" for t in TRACES) + "{}\n", encoding="utf-8")
    created = subtext("topics", "create", "--partitions", "2", **environment)
    assert created.returncode == 0, created.stderr
    assert created.stdout.count(": created") == 4
    database = f"sqlite:///{tmp_path / 'audit.db'}"
    with subprocess.Popen(
        [*SUBTEXT, "worker", "--database", database, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
    ) as worker:
        try:
            sent = subtext("produce", str(file), "--pieces", "5", **environment)
            assert sent.returncode == 1, sent.stderr
            assert "3 traces sent" in sent.stdout
            assert f"{file}:4: " in sent.stderr
            told = subtext("tail", "--from-start", "--limit", "3", **environment)
            worker.send_signal(signal.SIGTERM)
            _, errors = worker.communicate(timeout=120)
        finally:
            worker.kill()
    assert worker.returncode == 0, errors
    lines = told.stdout.splitlines()
    assert len(lines) == 3, told.stderr
    assert "\x1b" not in told.stdout
    assert "\u202e" not in told.stdout
    store = Store.open(database)
    rows = {row.trace_id: row for row in store.verdicts(Query(limit=10)).rows}
    store.close()
    assert set(rows) >= {"a", "b"}
    assert len(rows) == 3
    assert rows["b"].tenant == "acme"
    assert all(row.unscored is None for row in rows.values())


@pytest.fixture(params=["sasl", "mutual"])
def secure(request, kafka_doors):
    """The settings for a door with locks."""
    address = getattr(kafka_doors, request.param)
    if request.param == "mutual":
        own = {"cert_file": kafka_doors.cert, "key_file": kafka_doors.key}
        return Settings(bootstrap=address, ca_file=kafka_doors.ca, **own)
    request.getfixturevalue("user")
    own = {"sasl_mechanism": "SCRAM-SHA-512", "username": USER, "password": PASSWORD}
    return Settings(bootstrap=address, ca_file=kafka_doors.ca, **own)


def test_who_has_the_keys_creates_sends_reads_and_commits(secure):
    transport, name = Kafka(secure), prefix()
    transport.create([Topic(name=name, partitions=1, settings={})])
    producer, consumer = transport.producer(), transport.consumer([name], group=name)
    producer.send(name, key=b"k", value=b"v").result(60)
    producer.close()
    while not (messages := consumer.poll(1, at_most=10).messages):
        pass
    assert consumer.commit({messages[0].partition: 1})
    consumer.close()
    assert [m.value for m in messages] == [b"v"]


@pytest.mark.parametrize("wrong", ["password", "certificate"])
def test_who_may_not_come_in_is_told_what_to_check(wrong, kafka_doors, user):
    options = {
        "password": ["--ca", str(kafka_doors.ca), "--sasl", "SCRAM-SHA-512", "--user", USER],
        "certificate": ["--tls"],
    }[wrong]
    address = kafka_doors.mutual if wrong == "certificate" else kafka_doors.sasl
    refused = subtext(
        "topics",
        "create",
        "--bootstrap",
        address,
        *options,
        SUBTEXT_KAFKA_PASSWORD="not the password",
        SUBTEXT_KAFKA_WAIT="3",
    )
    assert refused.returncode == 64
    assert address in refused.stderr
    assert "not the password" not in refused.stderr
    assert "check" in refused.stderr or "is the broker running" in refused.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sasl_mechanism": "MAGIC", "username": "u", "password": "p"}, "SCRAM-SHA-512"),
        ({"sasl_mechanism": "PLAIN", "username": "u", "password": "p"}, "use TLS"),
        ({"sasl_mechanism": "SCRAM-SHA-512", "username": "u"}, "password"),
        ({"username": "u", "password": "p"}, "mechanism"),
        ({"cert_file": Path("x")}, "needs its key"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Settings(bootstrap="127.0.0.1:9", **given)


def test_a_password_is_not_shown():
    own = {"sasl_mechanism": "SCRAM-SHA-512", "username": USER, "password": PASSWORD}
    assert PASSWORD not in repr(Settings(bootstrap="127.0.0.1:9", **own))
