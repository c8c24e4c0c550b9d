"""Texts go when their time is over, or when somebody says so, and the log tells."""

import asyncio
import base64
import re
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from monitor.retention import Rules
from monitor.store import Erased, Store, StoreUnavailable
from stream.cli import app
from stream.retention import attempt, retaining
from tests.contract.conftest import make_sample

NOW = datetime(2026, 1, 8, tzinfo=UTC)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/audit.db"


@pytest.fixture
def store(url):
    opened = Store.open(url)
    opened.record_verdicts([make_sample(n, tenant=f"t{n % 2}") for n in range(4)])
    yield opened
    opened.close()


def command(url, *arguments, code=0, given=None):
    words = ["audit", *arguments, "--database", url]
    result = CliRunner().invoke(app, words, input=given)
    assert result.exit_code == code, result.output
    return result.output


def test_what_would_go_is_counted_before_it_goes(url, store):
    told = command(url, "erase", "--tenant", "t1", "--dry-run")
    assert told == "2 texts and 0 notes of reviewers would go.\n"
    assert store.newest_seq() == 3


def test_erasing_asks_and_tells_and_is_verified(url, store):
    arguments = ("erase", "--tenant", "t1", "--reason", "contract ended", "--by", "anna")
    assert "Go on?" in command(url, *arguments, code=1, given="n\n")
    assert store.newest_seq() == 3
    assert "Erased: 2 texts" in command(url, *arguments, given="y\n")
    told = command(url, "verify")
    assert "5 records, 2 with erased text" in told
    assert "Everything fits." in told
    table = re.sub(r"\s+", " ", command(url, "erasures"))
    assert "2 texts, 0 notes" in table
    assert "contract ended" in table
    assert "anna" in table


def test_one_verdict_is_erased_by_its_id(url, store):
    command(url, "erase", "verdict-2", "--reason", "asked", "--yes")
    assert store.verdict("verdict-2").trace is None
    assert store.verdict("verdict-0").trace is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--reason", "x"], "Say which"),
        (["--tenant", "t1"], "--reason"),
        (["--older-than", "soon", "--reason", "x"], "no length of time"),
        (["nobody", "verdict-1", "--reason", "x"], "No verdict has the id nobody"),
    ],
)
def test_what_is_not_clear_erases_nothing(url, store, arguments, words):
    assert words in command(url, "erase", *arguments, "--yes", code=64)
    assert store.newest_seq() == 3


def test_a_rule_erases_what_is_due_and_says_so(store):
    assert attempt(store, Rules.read(["1w", "t1=2w"]), NOW) == Erased()
    done = attempt(store, Rules.read(["1d", "t1=2w"]), NOW)
    assert done == Erased(texts=2)
    record = next(iter(store.retention.history()))
    assert record.body["by"] == "retention rule"
    assert record.body["reason"] == "kept for 1d: made before 2026-01-07T00:00:00.000Z"
    assert store.audit().ok


async def test_rules_are_obeyed_while_the_server_runs(store, monkeypatch):
    loop, done, erase = asyncio.get_running_loop(), asyncio.Event(), store.retention.erase

    def told(*arguments, **options):
        result = erase(*arguments, **options)
        loop.call_soon_threadsafe(done.set)
        return result

    monkeypatch.setattr(store.retention, "erase", told)
    async with retaining(store, Rules.read(["1d"]), now=lambda: NOW), asyncio.timeout(60):
        await done.wait()
    kinds = [record.body["act"] for record in store.retention.history()]
    assert kinds == ["erased", "rules"]


def test_a_store_that_fails_is_tried_again(store, monkeypatch):
    def broken(*_, **__):
        raise StoreUnavailable("no disk")

    with monkeypatch.context() as patch:
        patch.setattr(store.retention, "erase", broken)
        assert attempt(store, Rules.read(["1d"]), NOW) == Erased()
    assert attempt(store, Rules.read(["1d"]), NOW) == Erased(texts=4)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "content.keys"
    path.write_text(f'[[keys]]\nid = "one"\nkey = "{base64.b64encode(bytes(32)).decode()}"\n')
    path.chmod(0o600)
    return path


def test_texts_are_encrypted_after_the_fact_and_verified_with_and_without_the_key(
    url, store, key_file
):
    told = command(url, "renew", "--content-keys", str(key_file), "--by", "anna")
    assert told == "Encrypted: 4. Taken into the search: 0.\n"
    told = command(url, "verify")
    assert "4 texts are encrypted with keys that were not given" in told
    assert "Everything fits." in told
    assert "encrypted" not in command(url, "verify", "--content-keys", str(key_file))
    assert "encrypted 4" in command(url, "erasures")
    assert "for want of their keys: 4" in command(url, "renew", code=1)


def test_the_chain_alone_is_verified_on_demand(url, store):
    assert "Everything fits." in command(url, "verify", "--chain-only")


def test_new_texts_are_not_put_in_the_clear_beside_encrypted_ones(url, store, key_file):
    command(url, "renew", "--content-keys", str(key_file))
    words = ["serve", "--demo", "--database", url]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 64
    assert "--content-keys" in result.output


def test_a_bad_file_of_keys_is_refused(url, store, key_file):
    key_file.chmod(0o644)
    assert "chmod 600" in command(url, "verify", "--content-keys", str(key_file), code=64)


@pytest.mark.parametrize("option", ["--keep-text", "--keep-allowed-text"])
def test_a_rule_that_says_nothing_is_refused(url, option):
    result = CliRunner().invoke(app, ["serve", "--demo", "--database", url, option, "soon"])
    assert result.exit_code == 64
    assert "no length of time" in result.output
