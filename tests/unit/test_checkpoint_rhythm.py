"""A checkpoint is made every minute or thousand records, and failing to make one stops nothing."""

import asyncio

import pytest
from structlog.testing import capture_logs

from monitor.notary import RefusedToSign
from monitor.store import StoreUnavailable
from stream.checkpoints import Rhythm, attesting


class FakeNotary:
    """Counts attempts; fails when told to."""

    def __init__(self, *, new=0, error=None):
        self.new, self.error, self.attempts = new, error, 0

    def pending(self):
        return self.new

    def attest(self):
        self.attempts += 1
        if self.error:
            raise self.error
        self.new = 0


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


QUICK = Rhythm(seconds=60, records=1000, look=0.001)


async def reached(notary, attempts):
    async with asyncio.timeout(5):
        while notary.attempts < attempts:  # noqa: ASYNC110 (attempts are made in threads)
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.03)
    assert notary.attempts == attempts


async def test_the_first_is_made_at_once_and_the_last_at_the_end():
    notary = FakeNotary()
    async with attesting(notary, QUICK, Clock()):
        await reached(notary, 1)
    assert notary.attempts == 2


async def test_a_minute_later_the_next_is_made():
    notary, clock = FakeNotary(), Clock()
    async with attesting(notary, QUICK, clock):
        await reached(notary, 1)
        clock.now += 59
        await reached(notary, 1)
        clock.now += 1
        await reached(notary, 2)


async def test_a_thousand_records_do_not_wait_for_the_minute():
    notary = FakeNotary()
    async with attesting(notary, QUICK, Clock()):
        await reached(notary, 1)
        notary.new = 999
        await reached(notary, 1)
        notary.new = 1000
        await reached(notary, 2)


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (RefusedToSign("changed"), "checkpoint_refused"),
        (StoreUnavailable("gone"), "checkpoint_failed"),
        (OSError("disk is full"), "checkpoint_failed"),
        (ZeroDivisionError(), "checkpoint_failed"),
    ],
)
async def test_a_failure_is_loud_and_not_tried_again_before_the_minute(error, event):
    notary, clock = FakeNotary(new=5000, error=error), Clock()
    with capture_logs() as logs:
        async with attesting(notary, QUICK, clock):
            await reached(notary, 1)
            clock.now += 60
            await reached(notary, 2)
    assert [(log["event"], log["log_level"], log["reason"]) for log in logs] == [
        (event, "error", str(error) or type(error).__name__)
    ] * 3


async def test_without_a_notary_nothing_happens():
    async with attesting(None):
        pass


async def test_the_last_is_made_even_when_the_server_fails():
    notary = FakeNotary()

    async def failing():
        async with attesting(notary, QUICK, Clock()):
            await reached(notary, 1)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await failing()
    assert notary.attempts == 2
