"""The log signs what it is, and never what contradicts what it signed before."""

# ruff: noqa: S608 (tampering is the subject)

import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.audit import seal
from monitor.checkpoint import parse, verify
from monitor.coverage import Coverage, Held
from monitor.merkle import Frontier, leaf_of
from monitor.notary import Notary, RefusedToSign
from monitor.signing import SigningKey
from monitor.store import Store, StoredCheckpoint
from monitor.vault import Vault

KEY = SigningKey(private=Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = SigningKey(private=Ed25519PrivateKey.from_private_bytes(bytes(32)))


def notary(store, vault=None, key=KEY):
    return Notary(store, key, vault, now=lambda: "2026-01-01T00:01:00.000Z")


def sizes(store):
    return [checkpoint.size for checkpoint in store.checkpoints()]


def findings(store, *held, keys=(KEY.verifier,)):
    stored = [Held(source="database", note=c.note) for c in store.checkpoints()]
    coverage = Coverage([*held, *stored], keys)
    report = store.audit(watch=coverage.watch)
    return [*report.problems, *coverage.problems()], coverage.covered


@pytest.fixture
def grow(sample):
    def put(store, count, **changes):
        start = store.newest_seq() + 1
        numbers = range(start, start + count)
        store.record_verdicts([sample(number, **changes) for number in numbers])

    return put


@pytest.fixture
def vault(tmp_path):
    return Vault.open(tmp_path / "elsewhere")


@pytest.fixture
def file_store(path):
    opened = Store.open(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture
def tamper(path):
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection.execute
    connection.close()


def test_an_empty_log_is_not_signed(store):
    assert notary(store).attest() is None
    assert sizes(store) == []


def test_a_checkpoint_covers_all_records(store, grow):
    grow(store, 5)
    signer = notary(store)
    made = signer.attest()
    stored = store.newest_checkpoint()
    assert stored == StoredCheckpoint(
        size=5, created_at="2026-01-01T00:01:00.000Z", note=stored.note
    )
    note = parse(stored.note)
    assert verify(note, [KEY.verifier]) == KEY.verifier
    assert note.checkpoint == made
    assert made.root == Frontier().grown(leaf_of(link.hash) for link in store.links()).root


def test_nothing_new_is_not_signed_twice(store, grow):
    grow(store, 3)
    signer = notary(store)
    assert signer.pending() == 3
    assert signer.attest().size == 3
    assert signer.pending() == 0
    assert signer.attest() is None
    assert sizes(store) == [3]


def test_checkpoints_go_on_after_a_restart(store, grow):
    for count in (1, 2, 7):
        grow(store, count)
        assert notary(store).attest().size == store.newest_seq() + 1
        assert notary(store).attest() is None
    assert sizes(store) == [1, 3, 10]
    found, covered = findings(store)
    assert found == []
    assert (covered.size, covered.until) == (10, "2026-01-01T00:00:00.009Z")


def test_all_checkpoints_of_a_long_log_are_read(store, grow):
    grow(store, 1)
    made = [StoredCheckpoint(size=n, created_at="", note=str(n)) for n in range(1, 402)]
    for before, checkpoint in zip([None, *range(1, 401)], made, strict=True):
        assert store.record_checkpoint(checkpoint, following=before)
    assert list(store.checkpoints()) == made
    assert store.newest_checkpoint() == made[-1]


def test_only_one_process_signs_what_follows_a_checkpoint(store, grow):
    grow(store, 3)
    first, second = notary(store), notary(store)
    assert first.attest().size == 3
    late = StoredCheckpoint(size=4, created_at="", note="")
    assert not store.record_checkpoint(late, following=None)
    assert second.attest() is None
    grow(store, 3)
    assert second.attest().size == 6
    assert first.attest() is None
    grow(store, 3)
    assert first.attest().size == 9
    assert findings(store)[0] == []


def test_threads_that_write_and_sign_agree(store, sample):
    signer = notary(store)

    def write(name):
        for number in range(20):
            store.record_verdict(*sample(number, verdict_id=f"{name}-{number}"))
            signer.attest()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes(store)[-1] == 60
    assert findings(store)[0] == []


def test_copies_are_the_same_notes(store, grow, vault):
    signer = notary(store, vault)
    for count in (3, 4):
        grow(store, count)
        signer.attest()
    assert [held.note for held in vault.all()] == [c.note for c in store.checkpoints()]
    assert findings(store, *vault.all())[1].source == vault.newest().source


def test_a_copy_that_was_not_written_any_more_is_written_next_time(store, grow, vault):
    grow(store, 3)
    notary(store).attest()
    assert vault.newest() is None
    assert notary(store, vault).attest() is None
    assert vault.newest().note == store.newest_checkpoint().note


def test_a_draft_of_a_killed_process_is_no_checkpoint(store, grow, vault):
    (vault.folder / "00000000000000000099.17.draft").write_text("half")
    assert vault.newest() is None
    grow(store, 1)
    assert notary(store, vault).attest().size == 1


def test_a_new_key_goes_on_with_the_log_of_the_old_one(store, grow, vault):
    grow(store, 3)
    notary(store, vault).attest()
    grow(store, 3)
    notary(store, vault, key=OTHER).attest()
    found, covered = findings(store, keys=(KEY.verifier, OTHER.verifier))
    assert found == []
    assert covered.key == OTHER.verifier
    assert "none of the given keys" in findings(store)[0][0]


def rechain(tamper, start):
    """Change a record in a way that no column repeats, and make all hashes fit again."""
    rows = tamper(
        "SELECT seq, kind, created_at, previous, body FROM records ORDER BY seq"
    ).fetchall()
    previous = rows[start][3]
    for seq, kind, created_at, _, text in rows[start:]:
        body = json.loads(text)
        if seq == start:
            body["verdict"]["timings_ms"]["total"] = 99.0
        record = seal(seq=seq, kind=kind, created_at=created_at, body=body, previous=previous)
        tamper(
            "UPDATE records SET previous = ?, hash = ?, body = ? WHERE seq = ?",
            (previous, record.hash, json.dumps(body, sort_keys=True, separators=(",", ":")), seq),
        )
        previous = record.hash


@pytest.mark.parametrize("start", [0, 3, 9])
@pytest.mark.parametrize("running", [True, False])
def test_a_log_that_was_chained_anew_is_not_signed(file_store, grow, tamper, start, running):
    signer = notary(file_store)
    grow(file_store, 10)
    signer.attest()
    rechain(tamper, start)
    assert file_store.audit().ok, "the bare chain cannot see it"
    grow(file_store, 2)
    with pytest.raises(RefusedToSign):
        (signer if running else notary(file_store)).attest()
    assert sizes(file_store) == [10]
    found, covered = findings(file_store)
    assert found
    assert covered is None


@pytest.mark.parametrize("running", [True, False])
def test_a_log_that_was_cut_off_is_not_signed(file_store, grow, tamper, running):
    signer = notary(file_store)
    grow(file_store, 10)
    signer.attest()
    for table in ("contents", "verdicts", "records"):
        tamper(f"DELETE FROM {table} WHERE seq > 7")
    for _ in range(2):  # growing over the old size does not hide it
        with pytest.raises(RefusedToSign):
            (signer if running else notary(file_store)).attest()
        assert findings(file_store)[0]
        grow(file_store, 5, answer="Another.")


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM checkpoints",
        "DELETE FROM checkpoints WHERE size = 6",
        "UPDATE checkpoints SET size = 60 WHERE size = 6",
        "UPDATE checkpoints SET note = replace(note, 'subtext-log', 'subtext-lag')",
        "UPDATE checkpoints SET note = 'none'",
        "UPDATE checkpoints SET note = x'ff00'",
        "UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 3)",
    ],
)
def test_the_log_does_not_go_on_from_altered_checkpoints(file_store, grow, tamper, change):
    signer = notary(file_store)
    for _ in range(2):
        grow(file_store, 3)
        signer.attest()
    tamper(change)
    grow(file_store, 3)
    with pytest.raises(RefusedToSign):
        signer.attest()


def test_a_database_that_was_rolled_back_is_not_signed(file_store, grow, tamper, vault):
    grow(file_store, 3)
    notary(file_store, vault).attest()
    grow(file_store, 3)
    notary(file_store, vault).attest()
    for table in ("contents", "verdicts", "records"):
        tamper(f"DELETE FROM {table} WHERE seq >= 3")
    tamper("DELETE FROM checkpoints WHERE size > 3")
    assert findings(file_store)[0] == [], "the database by itself looks whole"
    for _ in range(2):
        with pytest.raises(RefusedToSign):
            notary(file_store, vault).attest()
        found = findings(file_store, *vault.all())[0]
        assert "6" in found[0]
        grow(file_store, 4, answer="Another.")


def test_a_new_database_is_not_signed_into_the_copies_of_another(store, grow, vault, tmp_path):
    other = Store.open(f"sqlite:///{tmp_path}/other.db")
    other.record_policy(policy="p", version="1", created_at="2026")
    notary(other, vault).attest()
    other.close()
    grow(store, 5)
    with pytest.raises(RefusedToSign, match="not the 1 records"):
        notary(store, vault).attest()


@pytest.mark.parametrize("value", ["none", "A" * 64, 7])
def test_a_hash_that_is_none_is_not_signed(file_store, grow, tamper, value):
    grow(file_store, 4)
    tamper("UPDATE records SET hash = ? WHERE seq = 3", (value,))
    with pytest.raises(RefusedToSign, match=r"hexadecimal|record 3"):
        notary(file_store).attest()


def test_a_missing_record_is_not_signed(file_store, grow, tamper):
    grow(file_store, 4)
    for table in ("contents", "verdicts", "records"):
        tamper(f"DELETE FROM {table} WHERE seq = 2")
    with pytest.raises(RefusedToSign, match="record 3"):
        notary(file_store).attest()


@pytest.mark.parametrize("lines", [1, 2, 9])
def test_a_process_killed_between_record_and_checkpoint_does_no_harm(path, vault, lines):
    command = [sys.executable, __file__, f"sqlite:///{path}", str(vault.folder)]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as victim:
        for _ in range(lines):
            victim.stdout.readline()
        victim.kill()
    store = Store.open(f"sqlite:///{path}")
    notary(store, vault).attest()
    assert store.newest_checkpoint().size == store.newest_seq() + 1 >= lines
    found, covered = findings(store, *vault.all())
    assert found == []
    assert covered.size == store.newest_seq() + 1
    store.close()


def main(url, folder):
    """Record and sign without end. What the process of a test does."""
    store, number = Store.open(url), 0
    signer = notary(store, Vault(folder=Path(folder)))
    while True:
        number += 1
        store.record_policy(policy=str(number), version="1", created_at="2026")
        signer.attest()
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
