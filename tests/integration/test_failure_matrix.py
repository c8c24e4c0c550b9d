"""Whatever fails, the outcome is the policy's, in time, recorded, and seen when it fails open."""

import asyncio
import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from classifiers.errors import InferenceError, Overloaded
from monitor import logs
from monitor.engine import Live
from monitor.errors import RecordingError
from monitor.types import Channel, Decision, Delta, Mode
from stream.replay import events, reply
from tests.support import Recorded, engine, fake, policy, trace

PAD = "Some ordinary words that make up a sentence of usual length. " * 6
RECORD = {"thinking": PAD + "So the answer is yes.", "answer": "Yes. " + PAD}
STREAM = list(events(RECORD))
BODY = json.dumps(reply(RECORD)).encode()
#: Seconds that a complete step may wait; a cell may take twice that (scoring, then recording).
DEADLINE = 0.4
GRACE = 2.5


class Broken(Recorded):
    """A store that fails in its own way."""

    def __init__(self, error: Exception | None = None):
        super().__init__()
        self.broken = error

    async def __call__(self, verdict, trace):
        if self.broken:
            raise self.broken
        await asyncio.sleep(60)


def well(upstream, *, streaming):
    upstream.streams(*STREAM) if streaming else upstream.replies(BODY)


def never(upstream, *, streaming):
    async def handler(request):
        await asyncio.sleep(60)

    upstream.handler = handler


def failing(upstream, *, streaming):
    upstream.replies(b'{"error": {"message": "out of memory"}}', status=500)


def nonsense(upstream, *, streaming):
    broken = b"data: {oops\n\n"
    upstream.streams(*STREAM[:5], broken) if streaming else upstream.replies(b'{"choices": [oops')


def half(upstream, *, streaming):
    async def handler(request):
        kind = "text/event-stream" if streaming else "application/json"
        response = web.StreamResponse(headers={"content-type": kind})
        await response.prepare(request)
        for chunk in STREAM[:30] if streaming else [BODY[:200]]:
            await response.write(chunk)
        await asyncio.sleep(0.05)
        request.transport.abort()
        return response

    upstream.handler = handler


def closed_port() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


@dataclass
class Fault:
    """What goes wrong."""

    upstream: Callable = well
    options: Callable = dict
    #: Status of the error that the client gets under both policies; None: the policy decides.
    status: int | None = None
    #: What the verdict gives as the reason; None when nothing is recorded.
    reason: str | None = None
    #: Whether a response that passes all the same is the whole response.
    whole: bool = True
    #: Whether the client's connection ends as the upstream's did when the response passes.
    breaks_off: bool = False


def raising(error):
    return lambda: {"classifier": fake(error=error)}


FAULTS = {
    "connection-refused": Fault(
        options=lambda: {"url": closed_port()}, status=502, reason="could not be reached"
    ),
    "dns-failure": Fault(
        options=lambda: {"url": "http://nowhere.invalid", "connect_timeout": 1.0},
        status=502,
        reason="could not be reached",
    ),
    "time-out-before-headers": Fault(
        never, lambda: {"upstream_timeout": 0.2}, status=504, reason="could not be reached"
    ),
    "error-of-the-server": Fault(failing, status=500, reason=""),
    "bad-json": Fault(nonsense, reason="JSON", whole=False),
    "half-a-response": Fault(half, reason="broke off", breaks_off=True),
    "classifier-raises": Fault(options=raising(InferenceError("x")), reason="classifier failed"),
    "classifier-crashes": Fault(options=raising(MemoryError()), reason="classifier failed"),
    "classifier-hangs": Fault(options=lambda: {"classifier": fake(delay=60)}, reason="deadline"),
    "queue-full": Fault(options=raising(Overloaded("full")), reason="classifier failed: full"),
    "store-fails": Fault(options=lambda: {"record": Broken(RecordingError("disk full"))}),
    "store-crashes": Fault(options=lambda: {"record": Broken(ZeroDivisionError())}),
    "store-hangs": Fault(options=lambda: {"record": Broken()}),
}
CELLS = [
    pytest.param(
        name, unscored, streaming, id=f"{name}-{word}-{'stream' if streaming else 'whole'}"
    )
    for name in FAULTS
    for unscored, word in ((Decision.ALLOW, "open"), (Decision.BLOCK, "closed"))
    for streaming in (True, False)
]


def counted(setup, name):
    text = setup.engine.metrics.exposition().decode()
    return sum(float(n) for n in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


@pytest.mark.parametrize(("name", "unscored", "streaming"), CELLS)
async def test_a_fault_ends_as_the_policy_says(sidecar, name, unscored, streaming):
    fault = FAULTS[name]
    rules = policy(unscored=unscored, deadline_seconds=DEADLINE)
    setup = await sidecar(rules=rules, **fault.options())
    fault.upstream(setup.upstream, streaming=streaming)
    ask = {"model": "m", "stream": streaming, "messages": []}
    asking = asyncio.wait_for(setup.post(ask), 2 * DEADLINE + GRACE)
    if fault.breaks_off and unscored is Decision.ALLOW:
        with pytest.raises(aiohttp.ClientPayloadError):  # half is not taken for a whole
            await asking
        return await recorded(setup, fault, unscored)
    status, body, headers = await asking
    if fault.status:
        assert status in (fault.status, 504)  # a name may also be looked up for too long
        assert "message" in json.loads(body)["error"]
    elif unscored is Decision.BLOCK:
        refused(setup, body, streaming=streaming)
    else:
        assert body == (b"".join(STREAM) if streaming else BODY) if fault.whole else body
        early = headers["x-subtext-decision"] == "pending"  # they went out before the failure
        assert early or headers["x-subtext-failed-open"] == "true"
    return await recorded(setup, fault, unscored)


def refused(setup, body, *, streaming):
    assert setup.engine.policy.top.refusal.encode() in body
    assert b"content_filter" in body
    assert streaming or b"ordinary" not in body


async def recorded(setup, fault, unscored):
    async with asyncio.timeout(GRACE):
        while not counted(setup, "subtext_verdicts_total"):  # noqa: ASYNC110 -- it is a number
            await asyncio.sleep(0.01)
    open_ = unscored is not Decision.BLOCK and fault.reason != ""
    assert counted(setup, "subtext_failed_open_total") == open_, setup.record.verdicts
    if fault.reason is None:
        assert counted(setup, "subtext_not_recorded_total") == 1
        return
    verdict = await setup.verdict()
    assert fault.reason in (verdict.unscored or "")
    assert verdict.decision is (unscored if fault.reason else Decision.ALLOW)
    assert verdict.failed_open is (bool(fault.reason) and unscored is not Decision.BLOCK)


@pytest.mark.parametrize("name", ["classifier-raises", "classifier-hangs"])
async def test_a_stream_that_fails_open_before_its_first_byte_says_so_in_a_header(sidecar, name):
    rules = policy(unscored=Decision.FLAG, deadline_seconds=DEADLINE)
    setup = await sidecar(rules=rules, **FAULTS[name].options())
    setup.upstream.streams(*STREAM[1:])
    _, body, headers = await setup.post({"stream": True})
    assert body == b"".join(STREAM[1:])
    assert headers["x-subtext-failed-open"] == "true"


@pytest.mark.parametrize("unscored", [Decision.ALLOW, Decision.BLOCK])
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_client_that_is_gone_is_recorded_and_the_upstream_freed(
    sidecar, unscored, streaming
):
    setup = await sidecar(rules=policy(unscored=unscored))

    async def hang(request):
        kind = "text/event-stream" if streaming else "application/json"
        response = web.StreamResponse(headers={"content-type": kind})
        await response.prepare(request)
        await response.write(b"".join(STREAM[:40]) if streaming else BODY[:200])
        await asyncio.sleep(60)

    setup.upstream.handler = hang
    asking = asyncio.create_task(setup.post({"stream": streaming}))
    await asyncio.sleep(0.2)
    asking.cancel()
    await asyncio.wait_for(setup.upstream.aborted.wait(), GRACE)
    assert not (await setup.verdict()).failed_open


class Mute:
    """A log that cannot be written, such as a closed pipe."""

    def error(self, *_words, **_fields):
        raise OSError("broken pipe")


@pytest.mark.parametrize("name", ["classifier-crashes", "store-crashes"])
async def test_a_log_that_fails_changes_no_outcome(sidecar, monkeypatch, name):
    monkeypatch.setattr(logs, "_log", Mute())
    setup = await sidecar(**FAULTS[name].options())
    well(setup.upstream, streaming=False)
    _, body, _ = await setup.post({})
    refused(setup, body, streaming=False)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_bug_of_ours_at_the_end_releases_nothing_and_is_told(sidecar, caplog, streaming):
    def judged(_verdict):
        raise ZeroDivisionError

    setup = await sidecar(rules=policy(Mode.BUFFER, unscored=Decision.ALLOW))
    setup.engine.metrics.judged = judged
    well(setup.upstream, streaming=streaming)
    _, body, _ = await setup.post({"stream": streaming})
    refused(setup, body, streaming=False)
    assert "ordinary" not in caplog.text


def stops(session):
    session._task.cancel()


def cannot_tell(session):
    def die():
        raise ZeroDivisionError

    session._live = Live(verdict_id="v", on_progress=die)


@pytest.mark.parametrize("unscored", [Decision.ALLOW, Decision.BLOCK])
@pytest.mark.parametrize("breaks", [stops, cannot_tell], ids=lambda f: f.__name__)
async def test_judging_that_dies_is_not_taken_for_an_empty_response(breaks, unscored):
    session = engine(rules=policy(unscored=unscored)).open(trace())
    breaks(session)
    await session.feed(Delta(channel=Channel.ANSWER, text=PAD))
    verdict = await session.finish()
    assert verdict.unscored
    assert verdict.decision is unscored
    assert verdict.failed_open is (unscored is Decision.ALLOW)
