"""Several processes share a store, and one that dies loses nothing that it acknowledged."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.store import Query, Store

WRITER = Path(__file__).with_name("conftest.py")


def writer(url, name, size):
    command = [sys.executable, str(WRITER), url, name, str(size)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def acknowledged(output):
    """Complete lines only: the last may have been cut by the death of its writer."""
    lines = [line.split() for line in output.splitlines(keepends=True) if line.endswith("\n")]
    return {verdict_id: int(seq) for seq, verdict_id in lines}


def test_processes_write_one_chain_and_may_create_it_together(shared_url):
    writers = [writer(shared_url, name, 60) for name in ("a", "b", "c")]
    seqs = [seq for w in writers for seq in acknowledged(w.communicate()[0]).values()]
    assert [w.returncode for w in writers] == [0, 0, 0]
    assert sorted(seqs) == list(range(180))
    store = Store.open(shared_url)
    assert store.audit(expect_size=180).ok
    store.close()


@pytest.mark.parametrize("lines", [0, 1, 7, 40])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(shared_url, lines):
    Store.open(shared_url).close()
    victim = writer(shared_url, "a", 100_000)
    output = "".join(victim.stdout.readline() for _ in range(lines))
    time.sleep(0.003 * lines)
    victim.kill()
    output += victim.communicate()[0]
    store = Store.open(shared_url)
    known = acknowledged(output)
    assert len(known) >= lines
    assert store.audit().ok
    assert store.newest_seq() + 1 in {len(known), len(known) + 1}
    assert all(store.verdict(verdict_id).row.seq == seq for verdict_id, seq in known.items())
    store.close()


def test_a_store_goes_on_after_a_crash(shared_url, sample):
    victim = writer(shared_url, "a", 100_000)
    victim.stdout.readline()
    victim.kill()
    victim.communicate()
    store = Store.open(shared_url)
    record = store.record_verdict(*sample(1))
    assert store.verdicts(Query(limit=1)).rows[0].seq == record.seq
    assert store.audit().ok
    store.close()
