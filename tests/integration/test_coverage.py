"""What could not be seen, and what an early stop saved, is told at every door."""

import asyncio
import json
from contextlib import closing

import httpx2 as httpx
import pytest
from typer.testing import CliRunner

from dashboard.app import create_app
from monitor.health import Health
from monitor.recording import recorder
from monitor.store import Query, Store
from monitor.types import Decision, EarlyStop, Gap, Mode, Usage
from stream.cli import app, check
from stream.replay import events
from tests.integration.test_metrics import samples
from tests.integration.test_sidecar import ASK, CLEAN, PAD, PLOTTING, STREAM, data_lines
from tests.support import Recorded, engine, fake, policy, rulebook
from tests.unit.data_wire import event
from tests.unit.test_gaps import CASES, REDACTED, USAGE_LAST, chat, hidden, message, thinking

HIDDEN = json.dumps(chat(hidden())).encode()
COUNTED = 'subtext_coverage_gaps_total{gap="hidden_thinking"}'


async def test_a_reply_with_hidden_thinking_is_told_and_counted(sidecar):
    setup = await sidecar()
    setup.upstream.replies(HIDDEN, x_subtext_coverage="forged")
    _, body, headers = await setup.post(ASK)
    assert body == HIDDEN
    assert headers["x-subtext-coverage"] == "hidden_thinking"
    verdict = await setup.verdict()
    assert (verdict.decision, verdict.gaps) == (Decision.ALLOW, (Gap.HIDDEN_THINKING,))
    assert verdict.usage == Usage(output_tokens=140, reasoning_tokens=128)
    assert samples(setup.engine.metrics)[COUNTED] == 1


@pytest.mark.parametrize("mode", list(Mode))
async def test_the_last_event_of_a_stream_can_tell(sidecar, mode):
    setup = await sidecar(rules=policy(mode))
    setup.upstream.streams(USAGE_LAST[:200], USAGE_LAST[200:])
    _, body, headers = await setup.post(STREAM)
    assert body == USAGE_LAST
    assert (await setup.verdict()).gaps == (Gap.HIDDEN_THINKING,)
    if mode is Mode.BUFFER:
        assert headers["x-subtext-coverage"] == "hidden_thinking"


async def test_thinking_that_is_shown_raises_no_alarm(sidecar):
    setup = await sidecar()
    setup.upstream.replies(json.dumps(chat(hidden(), reasoning="17 times 23.")).encode())
    _, _, headers = await setup.post(ASK)
    assert "x-subtext-coverage" not in headers
    assert (await setup.verdict()).gaps == ()
    assert samples(setup.engine.metrics)[COUNTED] == 0


async def test_a_client_that_leaves_raises_no_alarm(sidecar):
    sealed = b"".join(
        [
            event({"type": "message_start", "message": {**message(), "content": []}}),
            event({"type": "content_block_start", "index": 0, "content_block": thinking("")}),
        ]
    )
    setup = await sidecar(rules=policy(Mode.OBSERVE))
    setup.upstream.streams(sealed, hang=True)
    async with setup.client.post(setup.url + "/v1/messages", json=STREAM) as reply:
        await reply.content.readany()
    verdict = await setup.verdict()
    assert (verdict.gaps, verdict.early_stop) == ((), None)


async def test_a_refusal_names_what_was_not_seen(sidecar):
    setup = await sidecar()
    body = json.dumps(message(REDACTED, thinking("A PLOT."))).encode()
    setup.upstream.replies(body)
    _, got, headers = await setup.post(ASK, "/v1/messages")
    assert json.loads(got)["subtext"]["coverage_gaps"] == ["sealed_thinking"]
    assert json.loads(got)["subtext"]["early_stop"] is None
    assert headers["x-subtext-coverage"] == "sealed_thinking"


@pytest.mark.parametrize(
    ("asked", "limit"),
    [({}, None), ({"max_tokens": 4096}, 4096), ({"max_tokens": 50, "n": 2}, 100)],
)
async def test_a_stream_that_is_stopped_tells_what_that_saved_at_most(sidecar, asked, limit):
    setup = await sidecar()
    chunks = list(events(PLOTTING))
    setup.upstream.streams(*chunks[:-2], hang=True)
    _, body, _ = await setup.post({**STREAM, **asked})
    await asyncio.wait_for(setup.upstream.aborted.wait(), 30)
    stop = (await setup.verdict()).early_stop
    words = len((PAD + "PLOT").split())
    assert words <= stop.tokens_generated_at_least <= len(chunks)
    saved = None if limit is None else max(0, limit - stop.tokens_generated_at_least)
    assert stop.tokens_saved_at_most == saved
    told = data_lines(body)[-1]["subtext"]["early_stop"]
    assert EarlyStop(**told) == stop
    shown = samples(setup.engine.metrics)
    assert shown["subtext_early_stops_total"] == 1
    generated = shown["subtext_early_stop_tokens_generated_at_least_total"]
    assert generated == stop.tokens_generated_at_least
    assert shown["subtext_early_stop_tokens_saved_at_most_total"] == (saved or 0)


async def test_what_the_server_counted_counts_when_it_is_more(sidecar):
    setup = await sidecar()
    first, *rest = list(events(PLOTTING))[:-2]
    counting = {"model": "m", "choices": [], "usage": {"completion_tokens": 5000}}
    setup.upstream.streams(first, event(counting), *rest, hang=True)
    await setup.post({**STREAM, "max_completion_tokens": 6000})
    stop = (await setup.verdict()).early_stop
    assert stop == EarlyStop(tokens_generated_at_least=5000, tokens_saved_at_most=1000)


@pytest.mark.parametrize("record", [CLEAN, PLOTTING])
async def test_a_response_that_came_whole_was_not_stopped_early(sidecar, record):
    setup = await sidecar()
    setup.upstream.replies(json.dumps(chat(reasoning=record["thinking"])).encode())
    await setup.post({**ASK, "max_tokens": 4096})
    assert (await setup.verdict()).early_stop is None
    assert samples(setup.engine.metrics)["subtext_early_stops_total"] == 0


@pytest.mark.parametrize("name", ["openai", "responses-summarised", "anthropic-redacted"])
def test_check_tells_the_same(monkeypatch, name):
    monkeypatch.setattr(check, "open_classifier", lambda _folder: fake())
    reply, gaps = CASES[name]
    said = CliRunner().invoke(app, ["check", "-"], input=json.dumps(reply))
    assert (f"Not seen ({gaps[0]})" if gaps else "Not seen") in said.output or not gaps
    assert ("Not seen" in said.output) == bool(gaps)
    told = CliRunner().invoke(app, ["check", "-", "--json"], input=json.dumps(reply))
    assert json.loads(told.output)["coverage_gaps"] == list(gaps)


async def test_the_api_judges_what_it_is_told_and_the_dashboard_shows_it():
    with closing(Store.open("sqlite://")) as store:
        judge = engine(record=recorder(store)).judge
        site = create_app(store=store, judge=judge, policy=rulebook, health=Health({}))
        transport = httpx.ASGITransport(app=site)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            told = {"answer": "391", "disclosure": {"reasoning_tokens": 1128}}
            verdict = (await http.post("/v1/score", json=told)).json()
            await http.post("/v1/score", json={"answer": "391", "thinking": "17 times 23."})
            stored = (await http.get(f"/v1/verdicts/{verdict['verdict_id']}")).json()
            listed = (await http.get("/v1/verdicts?gaps=true")).json()["verdicts"]
            page = (await http.get("/?gaps=true")).text
            trace_page = (await http.get(f"/verdicts/{verdict['verdict_id']}")).text
            wrong = await http.post(
                "/v1/score", json={**told, "disclosure": {"reasoning_tokens": -1}}
            )
        assert store.audit().ok
    assert verdict["coverage_gaps"] == ["hidden_thinking"]
    assert verdict["usage"] == {"output_tokens": None, "reasoning_tokens": 1128}
    assert stored["verdict"] == verdict
    assert stored["trace"]["disclosure"]["reasoning_tokens"] == 1128
    assert [row["coverage_gaps"] for row in listed] == [["hidden_thinking"]]
    assert page.count("Thinking hidden") == 1
    assert "Not all seen <b>1</b>" in page
    assert "It reported 1,128 tokens of thinking" in trace_page
    assert wrong.status_code == 422
    assert "disclosure.reasoning_tokens" in wrong.text


async def test_the_dashboard_tells_what_an_early_stop_saved(sidecar):
    with closing(Store.open("sqlite://")) as store:
        keep = recorder(store)

        class Kept(Recorded):
            async def __call__(self, verdict, trace):
                await keep(verdict, trace)
                await super().__call__(verdict, trace)

        setup = await sidecar(record=Kept())
        setup.upstream.streams(*list(events(PLOTTING))[:-2], hang=True)
        await setup.post({**STREAM, "max_tokens": 4096})
        stop = (await setup.verdict()).early_stop
        (row,) = store.verdicts(Query()).rows
        site = create_app(store=store, judge=None, policy=rulebook, health=Health({}))
        transport = httpx.ASGITransport(app=site)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            page = (await http.get(f"/verdicts/{row.verdict_id}")).text
    assert f"That saved at most {stop.tokens_saved_at_most:,} tokens." in page
