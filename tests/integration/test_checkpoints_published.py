"""Checkpoints reach a git repository, an object store and a folder, also after these were away."""

import asyncio
import subprocess
import threading

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from monitor.notary import Notary
from monitor.signing import SigningKey
from monitor.store import Store
from stream.checkpoints import attesting
from stream.cli import app
from stream.places import PlaceError, place_of
from stream.publishing import Pace, Publisher, publishing
from tests.objects import serving

QUICK = Pace(look=0.01, first=0.01, longest=0.01)


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/audit.db"


@pytest.fixture
def store(database):
    opened = Store.open(database)
    yield opened
    opened.close()


@pytest.fixture
def notary(store, tmp_path):
    return Notary(store, SigningKey.load_or_create(tmp_path / "key"))


def grow(store, notary, times=1):
    """Add records, each with a checkpoint."""
    for _ in range(times):
        size = store.newest_seq() + 1
        store.record_policy(policy=f"# {size}", version=str(size), created_at="2026")
        notary.attest()


def git(folder, *arguments):
    done = subprocess.run(
        ["git", "-C", folder, "-c", "user.name=t", "-c", "user.email=t@t", *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A working copy that follows a bare repository."""
    bare, copy = tmp_path / "elsewhere.git", tmp_path / "copy"
    for command in (["init", "--quiet", "--bare", bare], ["clone", "--quiet", bare, copy]):
        subprocess.run(["git", *command], check=True, capture_output=True)
    git(copy, "checkout", "-b", "main")
    git(copy, "commit", "--allow-empty", "--message", "first")
    git(copy, "push", "--set-upstream", "origin", "main")
    return bare, copy


def publisher(store, address):
    return Publisher(store=store, address=address, place=place_of(address))


def test_each_checkpoint_is_committed_and_pushed_and_nothing_else_is(store, notary, repository):
    bare, copy = repository
    (copy / "mine.txt").write_text("not yours")
    git(copy, "add", "mine.txt")
    served = publisher(store, f"git:{copy}")
    for _ in range(2):
        grow(store, notary)
        served.catch_up()
        served.catch_up()
    log = git(bare, "log", "--format=%an: %s", "main").splitlines()
    assert log == [
        "Subtext: Checkpoint of 2 records",
        "Subtext: Checkpoint of 1 records",
        "t: first",
    ]
    assert git(bare, "ls-tree", "--name-only", "main").split() == [
        "00000000000000000001.checkpoint",
        "00000000000000000002.checkpoint",
    ]
    note = git(bare, "show", "main:00000000000000000002.checkpoint")
    assert note == store.newest_checkpoint().note.strip()
    assert git(copy, "status", "--porcelain") == "A  mine.txt"


def test_what_could_not_be_pushed_is_pushed_later(store, notary, repository, tmp_path):
    bare, copy = repository
    served = publisher(store, f"git:{copy}")
    bare.rename(tmp_path / "away")
    grow(store, notary)
    for _ in range(2):
        with pytest.raises(PlaceError, match="git push"):
            served.catch_up()
    (tmp_path / "away").rename(bare)
    served.catch_up()
    assert git(bare, "log", "--format=%s", "main").splitlines()[0] == "Checkpoint of 1 records"


def test_a_working_copy_that_follows_nothing_is_committed_to(store, notary, tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path / "alone"], check=True)
    grow(store, notary)
    publisher(store, f"git:{tmp_path}/alone").catch_up()
    assert git(tmp_path / "alone", "log", "--format=%s") == "Checkpoint of 1 records"


def test_objects_are_written_once_and_verified_from_there(store, notary, database, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with serving({}) as server:
        address = f"s3://bucket/log{server.settings}"
        served = publisher(store, address)
        for _ in range(2):
            grow(store, notary)
            served.catch_up()
        wanted = {
            f"bucket/log/{c.size:020}.checkpoint": c.note.encode() for c in store.checkpoints()
        }
        assert server.objects == wanted
        del server.asked[:]
        result = CliRunner().invoke(app, ["audit", "publish", address, "--database", database])
        assert "2 checkpoints are in s3://bucket/log.\n" in result.output
        assert not [asked for asked in server.asked if asked.startswith("PUT")]
        key = str(notary._key.verifier)
        verify = ["audit", "verify", "--database", database, "--key", key]
        found = CliRunner().invoke(app, [*verify, "--checkpoints", address])
        assert (found.exit_code, "00002.checkpoint" in found.output) == (0, True), found.output
        with store.writing() as connection:
            connection.exec_driver_sql("DELETE FROM records WHERE seq = 1")
            connection.exec_driver_sql("DELETE FROM checkpoints WHERE size = 2")
        assert CliRunner().invoke(app, verify).exit_code == 0
        assert CliRunner().invoke(app, [*verify, "--checkpoints", address]).exit_code == 1


def test_other_object_stores_by_fsspec(store, notary):
    fsspec = pytest.importorskip("fsspec")
    grow(store, notary)
    publisher(store, "memory://checkpoints/log").catch_up()
    written = fsspec.filesystem("memory").cat("/checkpoints/log/00000000000000000001.checkpoint")
    assert written.decode() == store.newest_checkpoint().note


async def test_a_server_sends_its_last_checkpoint_too(store, notary, tmp_path):
    address = f"file://{tmp_path}/kept"
    async with publishing({address: place_of(address)}, store, QUICK), attesting(notary):
        store.record_policy(policy="a", version="1", created_at="2026")
        await asyncio.to_thread(notary.attest)
        store.record_policy(policy="b", version="2", created_at="2026")
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert names[-1] == "00000000000000000002.checkpoint"


async def test_the_last_attempt_waits_for_the_one_that_the_end_came_into(store, notary):
    class Slow:
        name = "slow"
        begun, go = threading.Event(), threading.Event()
        inside = most = 0

        def put(self, checkpoints):
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.begun.set()
            assert self.go.wait(10)
            self.inside -= 1

    slow = Slow()
    grow(store, notary)
    async with publishing({"file:///slow": slow}, store, QUICK):
        assert await asyncio.to_thread(slow.begun.wait, 10)
        asyncio.get_running_loop().call_later(0.2, slow.go.set)
    assert slow.most == 1


async def test_a_place_that_is_away_is_told_of_and_holds_up_no_other(store, notary, tmp_path):
    class Away:
        name = "away"
        tried = 0

        def put(self, checkpoints):
            self.tried += 1
            if self.tried < 3:
                raise PlaceError("away: nobody there")

    away, kept = Away(), f"{tmp_path}/kept"
    grow(store, notary)
    with capture_logs() as logs:
        async with publishing({"away://x": away, kept: place_of(kept)}, store, QUICK):
            async with asyncio.timeout(20):
                while away.tried < 3:  # noqa: ASYNC110 (it is tried in threads)
                    await asyncio.sleep(0.01)
    assert len(list((tmp_path / "kept").iterdir())) == 1
    told = [log for log in logs if log["event"] == "checkpoint_not_published"]
    assert {log["reason"] for log in told} == {"away: nobody there"}


def test_a_new_place_gets_the_newest_and_publish_sends_what_came_before(
    store, notary, database, tmp_path
):
    grow(store, notary, 3)
    kept = tmp_path / "kept"
    publisher(store, str(kept)).catch_up()
    assert [path.name for path in kept.iterdir()] == ["00000000000000000003.checkpoint"]
    result = CliRunner().invoke(app, ["audit", "publish", str(kept), "--database", database])
    assert (result.exit_code, len(list(kept.iterdir()))) == (0, 3)


def test_a_place_that_cannot_be_meant_is_refused(database, store, tmp_path):
    (tmp_path / "file").write_text("")
    for address, told in (
        (f"git:{tmp_path}", "git rev-parse"),
        (f"{tmp_path}/file/x", "Not a directory"),
        ("nonsense://x", "nonsense"),
    ):
        result = CliRunner().invoke(app, ["audit", "publish", address, "--database", database])
        assert (result.exit_code, told in result.output) == (64, True), result.output


def test_git_says_no_password_of_an_address(store, notary, tmp_path):
    subprocess.run(["git", "init", "--quiet", "-b", "main", tmp_path / "alone"], check=True)
    git(tmp_path / "alone", "remote", "add", "origin", "http://me:hunter2@127.0.0.1:9/x.git")
    git(tmp_path / "alone", "config", "branch.main.remote", "origin")
    git(tmp_path / "alone", "config", "branch.main.merge", "refs/heads/main")
    git(tmp_path / "alone", "config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    grow(store, notary)
    with pytest.raises(PlaceError, match="git push") as caught:
        publisher(store, f"git:{tmp_path}/alone").catch_up()
    assert "hunter2" not in str(caught.value)
