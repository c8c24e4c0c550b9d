"""An edited policy file holds once it is whole, obeyed and recorded; until then nothing changes."""

import os

import pytest

from monitor.store import StoreUnavailable
from monitor.types import Decision, Mode
from stream.reload import Follower, PolicySource
from tests.support import THRESHOLDS, engine, trace


class Records:
    """Remembers what was recorded, and which policy held then."""

    def __init__(self):
        self.seen, self.error, self.engine = [], None, None

    def record_policy(self, *, policy, version, created_at):
        if self.error:
            raise self.error
        self.seen.append((version, self.engine.policy.version))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text('mode = "hold"\n')
    return path


@pytest.fixture
def made(file):
    """A follower that has seen the file as it is, its engine and its records."""
    source = PolicySource(file=file, defaults=THRESHOLDS)
    records, mind = Records(), engine()
    records.engine, mind.policy = mind, source.read()
    return Follower(source, mind, records), mind, records


async def follow(follower):
    """Look as often as a change needs."""
    for _ in range(3):
        await follower.look()


def reloads(mind):
    lines = mind.metrics.exposition().decode().splitlines()
    kept = (line.split('"')[1::2] + line.split()[-1:] for line in lines if "reloads_total{" in line)
    return {outcome: float(count) for outcome, count in kept}


async def test_an_edit_holds_from_then_on_and_is_recorded_first(made, file):
    follower, mind, records = made
    before = mind.policy.version
    file.write_text('mode = "buffer"\n')
    await follow(follower)
    assert mind.policy.top.mode is Mode.BUFFER
    assert records.seen == [(mind.policy.version, before)]
    assert reloads(mind) == {"adopted": 1, "refused": 0, "not_recorded": 0}


async def test_a_file_that_was_replaced_is_followed(made, file, tmp_path):
    follower, mind, _ = made
    await follow(follower)
    other = tmp_path / "new.toml"
    other.write_text('mode = "observe"\n')
    os.replace(other, file)  # noqa: PTH105 -- the call that editors and ConfigMaps make
    await follow(follower)
    assert mind.policy.top.mode is Mode.OBSERVE


async def test_a_file_that_is_still_being_written_waits(made, file):
    follower, mind, _ = made
    await follow(follower)
    for text in ("", 'mode = "obs', 'mode = "observe"\n', 'mode = "observe"\n# more'):
        file.write_text(text)
        await follower.look()
        assert mind.policy.top.mode is Mode.HOLD
    assert reloads(mind)["refused"] == 0
    await follower.look()
    assert mind.policy.top.mode is Mode.OBSERVE


async def test_a_file_that_cannot_be_obeyed_changes_nothing_and_is_told_once(made, file, capsys):
    follower, mind, records = made
    before = mind.policy
    file.write_text('mode = "hodl"\n')
    await follow(follower)
    await follow(follower)
    assert mind.policy is before
    assert records.seen == []
    assert reloads(mind) == {"adopted": 0, "refused": 1, "not_recorded": 0}
    assert "observe, hold, buffer" in "".join(capsys.readouterr())
    file.write_text('mode = "buffer"\n')
    await follow(follower)
    assert mind.policy.top.mode is Mode.BUFFER


async def test_a_file_that_is_gone_changes_nothing(made, file):
    follower, mind, _ = made
    await follow(follower)
    before = mind.policy
    file.unlink()
    await follow(follower)
    assert mind.policy is before
    assert reloads(mind)["refused"] == 1


async def test_what_cannot_be_recorded_does_not_hold_and_is_tried_again(made, file):
    follower, mind, records = made
    records.error = StoreUnavailable("the disk is full")
    file.write_text('mode = "buffer"\n')
    await follow(follower)
    assert mind.policy.top.mode is Mode.HOLD
    assert reloads(mind)["not_recorded"] >= 1
    records.error = None
    await follower.look()
    assert mind.policy.top.mode is Mode.BUFFER


async def test_an_edit_that_says_the_same_is_no_new_policy(made, file):
    follower, mind, records = made
    file.write_text('# with a comment\nmode = "hold"\n')
    await follow(follower)
    await follower.look(asked=True)
    assert records.seen == []
    assert sum(reloads(mind).values()) == 0


async def test_who_asks_need_not_wait(made, file):
    follower, mind, _ = made
    file.write_text('mode = "buffer"\n')
    await follower.look(asked=True)
    assert mind.policy.top.mode is Mode.BUFFER


async def test_the_mode_of_the_command_line_holds_whatever_the_file_says(file):
    file.write_text('mode = "buffer"\n[[rules]]\nname = "a"\nwhen.tenant = "x"\nmode = "hold"\n')
    book = PolicySource(file=file, defaults=THRESHOLDS, mode=Mode.OBSERVE).read()
    assert {book.top.mode, book.rules[0].policy.mode} == {Mode.OBSERVE}


async def test_a_session_keeps_the_policy_that_it_began_with(made, file):
    follower, mind, _ = made
    old = mind.policy.version
    session = mind.open(trace())
    file.write_text('absent = "block"\n')
    await follow(follower)
    verdict = await session.finish()
    assert (verdict.versions.policy, verdict.decision) == (old, Decision.ALLOW)
    later = await mind.open(trace()).finish()
    assert (later.versions.policy, later.decision) == (mind.policy.version, Decision.BLOCK)
