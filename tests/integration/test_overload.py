"""More than the sidecar can carry is refused, counted and recorded; afterwards it carries again."""

import asyncio
import resource
from pathlib import Path

from aiohttp import web

from monitor.types import Decision, Mode
from stream import overload
from stream.replay import events
from tests.integration.test_metrics import samples
from tests.integration.test_sidecar import CLEAN, STREAM
from tests.support import policy

LIMIT = 10
MIB = 2**20
#: What is held at most, and what the process may grow by meanwhile: clients, server and Python's
#: own share included. Without a budget it would grow by more than 400 MiB.
HELD, GROWTH = 8 * MIB, 160 * MIB


def rss() -> int:
    """Bytes that this process occupies now."""
    statm = Path("/proc/self/statm").read_text(encoding="ascii")
    return int(statm.split()[1]) * resource.getpagesize()


def refusals(setup):
    """The recorded verdicts that tell of refused requests, by id."""
    told = [v for v, trace in setup.record.verdicts if "overload" in (trace.problem or "")]
    return {verdict.verdict_id: verdict for verdict in told}


def told(setup):
    """How many refused requests the records tell of."""
    return sum(int(verdict.unscored.split()[1]) for verdict in refusals(setup).values())


async def test_ten_times_the_limit_is_refused_recorded_and_got_over(sidecar, monkeypatch):
    monkeypatch.setattr(overload, "WINDOW", 0.05)
    setup = await sidecar(max_responses=LIMIT)
    chunks = list(events(CLEAN))
    setup.upstream.streams(*chunks, pause=0.002)
    replies = await asyncio.gather(*(setup.post(STREAM) for _ in range(10 * LIMIT)))
    served = [body for status, body, _ in replies if status == 200]
    refused = [headers for status, _, headers in replies if status == 503]
    assert len(served) + len(refused) == 10 * LIMIT
    assert len(served) >= LIMIT
    assert set(served) == {b"".join(chunks)}
    assert all(headers["retry-after"] for headers in refused)
    await setup.until(lambda: told(setup) == len(refused))
    records = refusals(setup)
    assert {headers["x-subtext-verdict-id"] for headers in refused} == set(records)
    assert all(v.decision is Decision.BLOCK and not v.failed_open for v in records.values())
    assert samples(setup.engine.metrics)["subtext_overloaded_total"] == len(refused)
    assert (await setup.post(STREAM))[0] == 200
    await setup.until(lambda: samples(setup.engine.metrics)["subtext_responses"] == 0)


async def test_many_refusals_share_a_record_that_is_written_even_at_shutdown(sidecar, monkeypatch):
    monkeypatch.setattr(overload, "WINDOW", 3600)
    setup = await sidecar(max_responses=0, rules=policy(unscored=Decision.ALLOW))
    replies = [await setup.post(STREAM) for _ in range(30)]
    assert {status for status, _, _ in replies} == {503}
    assert not setup.record.verdicts
    await setup.stop()
    assert told(setup) == 30
    (verdict,) = refusals(setup).values()
    assert verdict.decision is Decision.BLOCK  # refused, even where a failure would pass


async def test_what_is_held_together_has_a_cap(sidecar):
    setup = await sidecar(max_held_bytes=HELD, rules=policy(Mode.BUFFER))
    piece = b'data: {"choices":[]' + b" " * 65_000 + b"}\n\n"
    arrived, all_there = 0, asyncio.Event()

    async def much(request):
        nonlocal arrived
        arrived += 1
        if arrived == 100:
            all_there.set()
        await all_there.wait()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(64):
            await response.write(piece)
        return response

    setup.upstream.handler = much
    before, most = rss(), 0
    for asked in asyncio.as_completed([setup.post(STREAM) for _ in range(100)]):
        await asked
        most = max(most, rss())
    assert most - before < GROWTH
    reasons = [verdict.unscored for verdict, _ in setup.record.verdicts]
    assert len(reasons) == 100
    assert sum("held already" in (reason or "") for reason in reasons) > 50
    setup.upstream.streams(*events(CLEAN))
    assert (await setup.post(STREAM))[1] == b"".join(events(CLEAN))


async def test_bodies_of_requests_count_too(sidecar, monkeypatch):
    monkeypatch.setattr(overload, "WINDOW", 0.05)
    setup = await sidecar(max_held_bytes=MIB // 2)
    setup.upstream.streams(*events(CLEAN))
    status, _, headers = await setup.post({**STREAM, "x": "y" * (MIB // 2)})
    assert status == 503
    assert headers["retry-after"]
    await setup.until(lambda: told(setup) == 1)
    assert (await setup.post(STREAM))[0] == 200
