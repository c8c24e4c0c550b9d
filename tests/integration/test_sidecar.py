"""The sidecar releases what the policy allows, unchanged, and nothing else."""

import asyncio
import gzip
import json
import socket

import aiohttp
import openai
import pytest
from aiohttp import web
from yarl import URL

from classifiers.errors import InferenceError
from classifiers.fake import FakeClassifier
from monitor.errors import RecordingError
from monitor.types import Decision, Mode
from stream import proxy
from stream.replay import events, reply
from stream.server import listening
from tests.integration.conftest import Upstream
from tests.support import MARKERS, Recorded, engine, fake, policy

PAD = "Some ordinary words that make up a sentence of usual length. " * 6
CLEAN = {"thinking": PAD + "So the answer is yes.", "answer": "Yes. " + PAD}
PLOTTING = {"thinking": PAD + "PLOT " + PAD, "answer": "SAFE " + PAD}
ASK = {"model": "m", "messages": [{"role": "user", "content": "Well?"}]}
STREAM = {**ASK, "stream": True}


def data_lines(body: bytes) -> list[dict]:
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


@pytest.mark.parametrize("mode", list(Mode))
async def test_allowed_streams_are_byte_identical(sidecar, mode):
    setup = await sidecar(rules=policy(mode))
    chunks = list(events(CLEAN))
    setup.upstream.streams(*chunks)
    status, body, headers = await setup.post(STREAM)
    assert (status, body) == (200, b"".join(chunks))
    assert headers["x-subtext-mode"] == mode.value
    verdict = await setup.verdict()
    assert verdict.decision is Decision.ALLOW
    assert headers["x-subtext-verdict-id"] == verdict.verdict_id


@pytest.mark.parametrize("mode", list(Mode))
async def test_allowed_replies_are_byte_identical(sidecar, mode):
    setup = await sidecar(rules=policy(mode))
    body = json.dumps(reply(CLEAN), indent=3).encode()
    setup.upstream.replies(body, x_upstream="kept", x_subtext_decision="forged")
    status, got, headers = await setup.post(ASK)
    assert (status, got) == (200, body)
    assert headers["x-upstream"] == "kept"
    assert headers["x-subtext-decision"] in ("allow", "pending")


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.BUFFER])
async def test_a_blocked_stream_ends_in_the_words_of_the_protocol(sidecar, mode):
    setup = await sidecar(rules=policy(mode))
    setup.upstream.streams(*events(PLOTTING), pause=0.001)
    _, body, _ = await setup.post(STREAM)
    assert b"SAFE" not in body
    assert b"PLOT" not in body
    last = data_lines(body)[-1]
    assert last["choices"][0]["finish_reason"] == "content_filter"
    assert last["subtext"]["verdict_id"] == (await setup.verdict()).verdict_id
    assert body.endswith(b"data: [DONE]\n\n")


async def test_a_block_aborts_the_upstream(sidecar):
    setup = await sidecar()
    setup.upstream.streams(*list(events(PLOTTING))[:-2], hang=True)
    await asyncio.wait_for(setup.post(STREAM), 10)
    await asyncio.wait_for(setup.upstream.aborted.wait(), 10)


async def test_observe_gates_nothing_and_records_the_block(sidecar):
    setup = await sidecar(rules=policy(Mode.OBSERVE))
    chunks = list(events(PLOTTING))
    setup.upstream.streams(*chunks)
    _, body, headers = await setup.post(STREAM)
    assert body == b"".join(chunks)
    assert headers["x-subtext-mode"] == "observe"
    assert (await setup.verdict()).decision is Decision.BLOCK


async def test_a_block_is_recorded_before_the_client_sees_it(sidecar):
    order = []

    class Slow(Recorded):
        async def __call__(self, verdict, trace):
            await asyncio.sleep(0.1)
            await super().__call__(verdict, trace)
            order.append("recorded")

    setup = await sidecar(record=Slow())
    setup.upstream.streams(*events(PLOTTING))
    async with setup.client.post(setup.url + "/v1/chat/completions", json=STREAM) as got:
        while chunk := await got.content.readany():
            order += ["seen"] if b"content_filter" in chunk else []
    assert order == ["recorded", "seen"]


async def test_a_record_that_fails_blocks(sidecar):
    setup = await sidecar(record=Recorded(error=RecordingError("disk full")))
    setup.upstream.replies(json.dumps(reply(CLEAN)).encode())
    _, body, headers = await setup.post(ASK)
    assert json.loads(body)["choices"][0]["finish_reason"] == "content_filter"
    assert headers["x-subtext-decision"] == "block"


async def test_every_choice_is_judged_and_one_that_blocks_blocks_all(sidecar):
    setup = await sidecar()
    body = reply(CLEAN)
    second = {**body["choices"][0], "index": 1, "message": {"content": "BOMB", "role": "assistant"}}
    body["choices"].append(second)
    setup.upstream.replies(json.dumps(body).encode())
    _, got, _ = await setup.post({**ASK, "n": 2})
    assert b"BOMB" not in got
    assert sorted(v.decision for v, _ in setup.record.verdicts) == [Decision.ALLOW, Decision.BLOCK]


class Stuck(FakeClassifier):
    """Answers when it is let go."""

    def __init__(self):
        super().__init__(MARKERS, i_know_this_is_fake=True)
        self.go = asyncio.Event()

    async def encode(self, texts):
        await self.go.wait()
        return await super().encode(texts)


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.BUFFER])
async def test_no_text_leaves_before_it_is_judged(sidecar, mode):
    stuck = Stuck()
    setup = await sidecar(classifier=stuck, rules=policy(mode))
    chunks = list(events(CLEAN))
    setup.upstream.streams(*chunks)
    before = b""
    asked = setup.client.post(setup.url + "/v1/chat/completions", json=STREAM)
    async with asyncio.timeout(10):
        asking = asyncio.create_task(asked.__aenter__())
        done, _ = await asyncio.wait([asking], timeout=0.3)
        if done:
            got = await asking
            reading = asyncio.create_task(got.content.readany())
            await asyncio.wait([reading], timeout=0.3)
            before = reading.result() if reading.done() else b""
        assert b"words" not in before
        assert b"Yes" not in before
        stuck.go.set()
        got = await asking
        rest = (await reading if done and not before else b"") + await got.content.read()
    assert before + rest == b"".join(chunks)


async def test_thinking_that_the_template_opened_is_read_as_thinking(sidecar):
    setup = await sidecar(starts_in_thinking=True)
    message = {"role": "assistant", "content": "I wonder.</think>It is so."}
    body = {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
    setup.upstream.replies(json.dumps(body).encode())
    await setup.post(ASK)
    _, judged = setup.record.verdicts[0]
    assert (judged.thinking, judged.answer) == ("I wonder.", "It is so.")


FAILURES = {
    "rubbish": lambda up: up.replies(b"<html>gateway"),
    "invalid UTF-8": lambda up: up.replies(b'{"choices":[{"message":{"content":"\xff"}}]}'),
    "deep nesting": lambda up: up.replies(b"[" * 200_000),
    "empty body": lambda up: up.replies(b""),
    "compressed": lambda up: up.replies(b"\x1f\x8b", content_encoding="gzip"),
    "stream of rubbish": lambda up: up.streams(b"data: {oops\n\n"),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_what_cannot_be_read_is_recorded_and_held_back(sidecar, name):
    setup = await sidecar()
    FAILURES[name](setup.upstream)
    _, body, _ = await setup.post(ASK)
    verdict = await setup.verdict()
    assert verdict.unscored
    assert verdict.decision is (Decision.ALLOW if name == "empty body" else Decision.BLOCK)
    assert b"oops" not in body
    assert b"gateway" not in body


@pytest.mark.parametrize("name", [n for n in FAILURES if n not in ("empty body", "compressed")])
async def test_failing_open_passes_it_and_says_so(sidecar, name):
    setup = await sidecar(rules=policy(unscored=Decision.ALLOW))
    FAILURES[name](setup.upstream)
    _, body, _ = await setup.post(ASK)
    assert body
    assert (await setup.verdict()).failed_open


async def test_an_upstream_that_dies_mid_stream_is_not_judged(sidecar):
    setup = await sidecar()

    async def die(request):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in list(events(CLEAN))[:30]:
            await response.write(event)
        request.transport.abort()
        return response

    setup.upstream.handler = die
    _, body, _ = await setup.post(STREAM)
    assert data_lines(body)[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert "broke off" in ((await setup.verdict()).unscored or "")


async def test_an_upstream_that_hangs_is_cut_off(sidecar):
    setup = await sidecar(upstream_timeout=0.2)
    setup.upstream.streams(*list(events(CLEAN))[:30], hang=True)
    _, body, _ = await asyncio.wait_for(setup.post(STREAM), 20)
    assert b"content_filter" in body
    assert "broke off" in ((await setup.verdict()).unscored or "")


async def test_an_upstream_that_refuses_gets_a_clear_error_and_a_record(sidecar):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        setup = await sidecar(url=f"http://127.0.0.1:{unused.getsockname()[1]}")
    status, body, headers = await setup.post(ASK)
    assert status == 502
    assert "could not be reached" in json.loads(body)["error"]["message"]
    verdict = await setup.verdict()
    assert headers["x-subtext-verdict-id"] == verdict.verdict_id
    assert verdict.unscored


async def test_a_failing_classifier_blocks(sidecar):
    setup = await sidecar(classifier=fake(error=InferenceError("x")))
    setup.upstream.streams(*events(CLEAN))
    _, body, _ = await setup.post(STREAM)
    assert b"content_filter" in body
    assert b"answer is yes" not in body


async def test_a_failing_classifier_passes_when_the_policy_says_so(sidecar):
    rules = policy(unscored=Decision.FLAG)
    setup = await sidecar(classifier=fake(error=InferenceError("x")), rules=rules)
    chunks = list(events(CLEAN))
    setup.upstream.streams(*chunks)
    _, body, _ = await setup.post(STREAM)
    assert body == b"".join(chunks)
    verdict = await setup.verdict()
    assert verdict.failed_open
    assert verdict.decision is Decision.FLAG


async def test_a_client_that_leaves_aborts_the_upstream_and_is_recorded(sidecar):
    setup = await sidecar(rules=policy(Mode.OBSERVE))
    setup.upstream.streams(*list(events(CLEAN))[:60], hang=True)
    got = await setup.client.post(setup.url + "/v1/chat/completions", json=STREAM)
    await got.content.readany()
    got.close()
    await asyncio.wait_for(setup.upstream.aborted.wait(), 10)
    assert (await setup.verdict()).steps


async def test_a_client_that_left_before_the_headers_is_no_error_of_ours(
    sidecar, monkeypatch, caplog
):
    class Late(web.StreamResponse):
        async def prepare(self, _request):
            raise ConnectionResetError("Cannot write to closing transport")

    setup = await sidecar()
    setup.upstream.replies(json.dumps(reply(CLEAN)).encode())
    monkeypatch.setattr(proxy, "_response", lambda *_: Late())
    with pytest.raises(aiohttp.ClientError):
        await setup.post(ASK)
    assert (await setup.verdict()).decision is Decision.ALLOW
    assert "Error handling request" not in caplog.text


async def test_errors_of_the_server_pass_as_they_are(sidecar):
    setup = await sidecar()
    setup.upstream.replies(b'{"error": {"message": "no such model"}}', status=404)
    status, body, _ = await setup.post(ASK)
    assert (status, body) == (404, b'{"error": {"message": "no such model"}}')


async def test_other_routes_pass_untouched(sidecar):
    setup = await sidecar()
    setup.upstream.replies(b"[1, 2]")
    async with setup.client.get(URL(setup.url + "/v1/models?x=%2F1", encoded=True)) as got:
        assert await got.read() == b"[1, 2]"
    assert setup.upstream.requests[0][1] == "/v1/models?x=%2F1"
    assert not setup.record.verdicts


async def test_headers_of_one_connection_stay_there_and_secrets_are_not_kept(sidecar):
    setup = await sidecar()
    setup.upstream.replies(json.dumps(reply(CLEAN)).encode())
    headers = {
        "Authorization": "Bearer canary-key",
        "Connection": "x-hop",
        "X-Hop": "1",
        "X-Own": "2",
    }
    await setup.post(ASK, **headers)
    _, _, seen, body = setup.upstream.requests[0]
    assert seen["Authorization"] == "Bearer canary-key"
    assert seen["X-Own"] == "2"
    assert "X-Hop" not in seen
    assert json.loads(body) == ASK
    assert "canary-key" not in repr(setup.record.verdicts)


async def test_a_request_target_that_is_an_address_is_refused(sidecar):
    setup = await sidecar()
    host, port = setup.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET http://evil.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    assert not setup.upstream.requests


async def test_too_many_responses_are_refused_with_503(sidecar):
    setup = await sidecar(max_responses=0)
    status, _, headers = await setup.post(ASK)
    assert status == 503
    assert headers["retry-after"]


@pytest.mark.parametrize("record", [CLEAN, PLOTTING])
@pytest.mark.parametrize("streaming", [True, False])
async def test_the_real_openai_client_understands_every_outcome(sidecar, record, streaming):
    setup = await sidecar()
    if streaming:
        setup.upstream.streams(*events(record))
    else:
        setup.upstream.replies(json.dumps(reply(record)).encode())
    blocked = record is PLOTTING
    async with openai.AsyncOpenAI(base_url=setup.url + "/v1", api_key="k", max_retries=0) as client:
        asked = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Well?"}], stream=streaming
        )
        text, finish = "", None
        if streaming:
            async for chunk in await asked:
                text += chunk.choices[0].delta.content or ""
                finish = chunk.choices[0].finish_reason or finish
        else:
            choice = (await asked).choices[0]
            text, finish = choice.message.content, choice.finish_reason
    assert finish == ("content_filter" if blocked else "stop")
    assert text == (setup.engine.policy.top.refusal if blocked else CLEAN["answer"])


BAD_LINE = b"data: {oops\n\n"


async def test_after_failing_open_a_block_still_blocks_and_the_record_says_both(sidecar):
    setup = await sidecar(rules=policy(unscored=Decision.ALLOW))
    setup.upstream.streams(BAD_LINE, *events(PLOTTING), pause=0.002)
    _, body, _ = await setup.post(STREAM)
    assert body.startswith(BAD_LINE)
    assert b"content_filter" in body
    assert b"SAFE" not in body
    verdict = await setup.verdict()
    assert verdict.decision is Decision.BLOCK
    assert verdict.failed_open


async def test_shutting_down_records_what_is_still_running(sidecar, monkeypatch):
    monkeypatch.setattr(proxy, "DRAIN_SECONDS", 0.1)
    record = Recorded()
    upstream = Upstream()
    upstream.streams(*list(events(CLEAN))[:60], hang=True)
    behind = web.Application()
    behind.router.add_route("*", "/{path:.*}", upstream.handle)
    async with listening(behind, "127.0.0.1", 0) as address, aiohttp.ClientSession() as client:
        app = proxy.create_app(
            engine(rules=policy(Mode.OBSERVE), record=record), proxy.Settings(upstream=address)
        )
        async with listening(app, "127.0.0.1", 0) as front:
            got = await client.post(front + "/v1/chat/completions", json=STREAM)
            await got.content.readany()
        assert len(record.verdicts) == 1
        with pytest.raises(aiohttp.ClientPayloadError):
            await got.read()  # half a response does not look whole


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.OBSERVE])
async def test_an_unreachable_upstream_is_recorded_for_a_client_that_left_too(sidecar, mode):
    class Waiting(Recorded):
        asked, may = asyncio.Event(), asyncio.Event()

        async def __call__(self, verdict, trace):
            self.asked.set()
            await self.may.wait()
            await super().__call__(verdict, trace)

    setup = await sidecar(rules=policy(mode), record=Waiting(), url="http://127.0.0.1:9")
    asking = asyncio.create_task(setup.post(ASK))
    await setup.record.asked.wait()
    asking.cancel()
    await asyncio.wait([asking])
    await asyncio.sleep(0.1)  # the sidecar sees it
    setup.record.may.set()
    assert (await setup.verdict()).unscored.startswith("the upstream could not be reached")


async def test_too_many_choices_are_not_judged_apart(sidecar):
    setup = await sidecar()
    choices = [{"index": i, "message": {"content": "BOMB"}} for i in range(5000)]
    body = {"object": "chat.completion", "choices": choices}
    setup.upstream.replies(json.dumps(body).encode())
    _, got, _ = await asyncio.wait_for(setup.post(ASK), 20)
    assert b"BOMB" not in got
    assert len(setup.record.verdicts) <= 64


async def test_slots_are_taken_before_the_upstream_answers(sidecar):
    setup = await sidecar(max_responses=1)
    setup.upstream.streams(*events(CLEAN), pause=0.002)
    replies = await asyncio.gather(*(setup.post(STREAM) for _ in range(5)))
    assert sorted(status for status, _, _ in replies) == [200, 503, 503, 503, 503]


async def test_a_slow_client_slows_the_upstream_down(sidecar):
    setup = await sidecar(rules=policy(Mode.OBSERVE))
    chunk = next(iter(events({"thinking": "x" * 200_000, "answer": ""})))
    piece = list(events({"thinking": "x" * 200_000, "answer": ""}))[1]
    sent = 0

    async def endless(request):
        nonlocal sent
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(chunk)
        for _ in range(400):
            await response.write(piece)
            sent += len(piece)
        return response

    setup.upstream.handler = endless
    got = await setup.client.post(setup.url + "/v1/chat/completions", json=STREAM)
    before = -1
    while sent != before:  # until the buffers between the three are full
        before = sent
        await asyncio.sleep(1)
    assert sent < 300 * len(piece)
    got.close()


async def test_a_refusal_repeats_no_words_of_what_it_withholds(sidecar):
    setup = await sidecar(rules=policy(Mode.BUFFER))
    body = reply(PLOTTING)
    body |= {"id": "CANARY one two", "model": "CANARY three four"}
    setup.upstream.replies(json.dumps(body).encode())
    _, got, _ = await setup.post(ASK)
    assert b"CANARY" not in got
    assert b"content_filter" in got


async def test_half_a_response_does_not_look_whole(sidecar):
    setup = await sidecar(rules=policy(Mode.OBSERVE), upstream_timeout=0.2)
    setup.upstream.streams(*list(events(CLEAN))[:30], hang=True)
    with pytest.raises(aiohttp.ClientError):
        await asyncio.wait_for(setup.post(STREAM), 20)


async def test_observe_passes_what_it_cannot_read(sidecar):
    setup = await sidecar(rules=policy(Mode.OBSERVE))
    body = gzip.compress(b'{"a": 1}')
    setup.upstream.replies(body, content_encoding="gzip")
    _, got, headers = await setup.post(ASK)
    assert got == body
    assert headers["content-encoding"] == "gzip"
    assert (await setup.verdict()).unscored


async def test_a_compressed_request_arrives_readable(sidecar):
    setup = await sidecar()
    setup.upstream.replies(json.dumps(reply(CLEAN)).encode())
    packed = gzip.compress(json.dumps(ASK).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    url = setup.url + "/v1/chat/completions"
    async with setup.client.post(url, data=packed, headers=headers) as got:
        assert got.status == 200
    _, _, seen, body = setup.upstream.requests[0]
    assert json.loads(body) == ASK
    assert "Content-Encoding" not in seen
