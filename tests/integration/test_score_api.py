"""POST a trace, get a verdict that is recorded; read it back over HTTP."""

import json

import httpx2 as httpx
import pytest

from dashboard.app import create_app
from dashboard.score import MAX_BODY, MAX_TRACES
from monitor.errors import RecordingError
from monitor.health import Health
from monitor.recording import recorder
from monitor.store import Store
from monitor.wire import verdict_json
from tests.support import engine, fake, policy, rulebook

PAD = "Some ordinary words that make up a sentence of usual length. " * 5


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


@pytest.fixture
def judge(store):
    return engine(record=recorder(store)).judge


def client(store, judge, health=None):
    app = create_app(
        store=store,
        judge=judge,
        policy=rulebook,
        health=health or Health({}),
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost")


async def test_a_trace_becomes_a_recorded_verdict(store, judge):
    async with client(store, judge) as http:
        body = {
            "trace_id": "mine",
            "prompt": "Hi",
            "thinking": PAD + "PLOT",
            "answer": PAD,
            "model": "m",
        }
        answer = await http.post("/v1/score", json=body)
        verdict = answer.json()
        assert answer.status_code == 200
        assert (verdict["trace_id"], verdict["decision"], verdict["should_block"]) == (
            "mine",
            "block",
            True,
        )
        assert verdict["deception_score"] == 0.95

        kept = (await http.get(f"/v1/verdicts/{verdict['verdict_id']}")).json()
    assert kept["verdict"] == verdict
    assert kept["trace"]["parts"][0] == {"channel": "thinking", "text": PAD + "PLOT"}
    assert kept["seq"] == store.newest_seq()


async def test_a_stored_trace_can_be_sent_again_as_it_is(store, judge):
    async with client(store, judge) as http:
        parts = [{"channel": "thinking", "text": "a"}, {"channel": "tool_call", "text": "f()"},
                 {"channel": "thinking", "text": "b"}, {"channel": "answer", "text": "c"}]  # fmt: skip
        first = (await http.post("/v1/score", json={"parts": parts})).json()
        kept = (await http.get(f"/v1/verdicts/{first['verdict_id']}")).json()["trace"]
        again = (await http.post("/v1/score", json=kept)).json()
    assert kept["parts"] == parts
    assert again["steps"] == first["steps"]


async def test_one_bad_trace_does_not_spoil_a_list(store, judge):
    traces = [
        {"thinking": PAD, "answer": PAD},
        {"thinkng": PAD},
        7,
        {"thinking": "BOMB", "answer": "x"},
    ]
    async with client(store, judge) as http:
        answer = await http.post("/v1/score", json={"traces": traces})
    first, second, third, fourth = answer.json()["verdicts"]
    assert answer.status_code == 200
    assert (first["decision"], fourth["decision"]) == ("allow", "block")
    assert second["error"]["code"] == third["error"]["code"] == "invalid_trace"
    assert "unknown field; a trace has trace_id, prompt, thinking" in str(
        second["error"]["details"]
    )
    assert store.summary().total == 2


async def test_a_failing_record_is_an_error_not_a_verdict(store):
    async def judge(trace):
        if "two" in trace.answer:
            raise RecordingError("disk full")
        return await engine(record=recorder(store)).judge(trace)

    traces = [{"answer": a} for a in ("one", "two", "three")]
    async with client(store, judge) as http:
        verdicts = (await http.post("/v1/score", json={"traces": traces})).json()["verdicts"]
        alone = await http.post("/v1/score", json={"answer": "two"})
    assert ["error" in v for v in verdicts] == [False, True, False]
    assert alone.status_code == 503


async def test_what_could_not_be_judged_is_a_verdict_that_says_so(store):
    from classifiers.errors import Overloaded

    judge = engine(
        classifier=fake(error=Overloaded("full")), rules=policy(), record=recorder(store)
    ).judge
    async with client(store, judge) as http:
        verdict = (await http.post("/v1/score", json={"thinking": PAD, "answer": PAD})).json()
    assert verdict["unscored"]
    assert verdict["deception_score"] is None
    assert verdict["should_block"]


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("{", "EOF while parsing"),
        ("[]", "Send a JSON object"),
        ("{}", "give thinking, answer or parts"),
        ('{"thinking": 1}', "Input should be a valid string"),
        ('{"thinking": "x", "thoughts": "y"}', "unknown field"),
        ('{"thinking": "x", "parts": []}', "not both"),
        (
            '{"parts": [{"channel": "thoughts", "text": "x"}]}',
            "'thinking', 'answer' or 'tool_call'",
        ),
        ('{"parts": [{"channel": "answer"}]}', "Field required"),
        ('{"traces": []}', "1 to 256 traces"),
        ('{"traces": {}}', "list of traces"),
        ('{"traces": [{"answer": "x"}], "model": "m"}', "alone"),
        ("[" * 100_000, "recursion limit"),
    ],
)
async def test_a_body_that_does_not_fit_is_explained(store, judge, body, hint):
    async with client(store, judge) as http:
        answer = await http.post(
            "/v1/score", content=body, headers={"content-type": "application/json"}
        )
    assert answer.status_code == 422
    assert hint in json.dumps(answer.json()["error"])
    assert store.newest_seq() == -1


async def test_too_many_traces_and_too_large_a_body_are_refused(store, judge):
    async with client(store, judge) as http:
        many = await http.post("/v1/score", json={"traces": [{"answer": "x"}] * (MAX_TRACES + 1)})
        large = await http.post(
            "/v1/score", content=b" " * (MAX_BODY + 1), headers={"content-type": "application/json"}
        )
    assert many.status_code == 422
    assert large.status_code == 413


async def test_lists_filter_and_page(store, judge):
    async with client(store, judge) as http:
        for answer, model in (("fine", "a"), ("HINT", "b"), ("BOMB", "a"), ("fine too", "b")):
            await http.post("/v1/score", json={"thinking": PAD, "answer": answer, "model": model})

        async def seen(**query):
            reply = (await http.get("/v1/verdicts", params=query)).json()
            return [row["excerpt"] for row in reply["verdicts"]]

        assert await seen() == ["fine too", "BOMB", "HINT", "fine"]
        assert await seen(decision="flag") == ["HINT"]
        assert await seen(model="a") == ["BOMB", "fine"]
        assert await seen(check="dangerous_reasoning") == ["BOMB"]
        assert await seen(check="deception", min_probability=0.55) == ["HINT"]
        assert await seen(unscored="true") == []
        first = (await http.get("/v1/verdicts", params={"limit": 3})).json()
        scores = {"deception_score", "dangerous_reasoning_score", "consistency_score"}
        assert scores < set(first["verdicts"][0])
        assert first["verdicts"][1]["dangerous_reasoning_score"] == 0.97
        assert await seen(before=first["next_before"]) == ["fine"]
        assert (await http.get("/v1/verdicts", params={"limit": 501})).status_code == 422


async def test_an_unknown_verdict_is_not_found(store, judge):
    async with client(store, judge) as http:
        assert (await http.get("/v1/verdicts/none")).status_code == 404
        page = await http.get("/verdicts/none")
        assert page.status_code == 404
        assert "No verdict" in page.text


async def test_the_live_page_answers_not_modified_until_something_is_new(store, judge):
    async with client(store, judge) as http:
        first = await http.get("/live")
        tag = {"if-none-match": first.headers["etag"]}
        assert (await http.get("/live", headers=tag)).status_code == 304
        await http.post("/v1/score", json={"answer": "new here"})
        again = await http.get("/live", headers=tag)
    assert again.status_code == 200
    assert "new here" in again.text


async def test_pages_show_the_decision_the_steps_and_the_way_to_neighbours(store, judge):
    async with client(store, judge) as http:
        ids = [
            (
                await http.post("/v1/score", json={"thinking": PAD + "PLOT " + PAD, "answer": a})
            ).json()["verdict_id"]
            for a in ("first", "second", "third")
        ]
        page = (await http.get(f"/verdicts/{ids[1]}?decision=block")).text
    assert f'id="newer" href="/verdicts/{ids[2]}?decision=block"' in page
    assert f'id="older" href="/verdicts/{ids[0]}?decision=block"' in page
    assert '<mark class="step t9 deception"' in page
    assert "flag 0.50 · block 0.90" in page


async def test_long_thinking_is_shown_in_parts_with_a_notice(store, judge):
    async with client(store, judge) as http:
        body = {"thinking": "0123456789" * 25_000 + " PLOT", "answer": "x"}
        verdict = (await http.post("/v1/score", json=body)).json()
        page = (await http.get(f"/verdicts/{verdict['verdict_id']}")).text
        last = (await http.get(f"/verdicts/{verdict['verdict_id']}?thinking=200000")).text
    assert "characters 0–100,000 of 250,005" in page
    assert "thinking=200000#e1" in page
    assert "PLOT" not in page
    assert "PLOT" in last
    assert len(page) < 400_000


class Erased:
    """A store whose texts were erased."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def verdict(self, verdict_id):
        from dataclasses import replace

        kept = self._store.verdict(verdict_id)
        document = {k: v for k, v in kept.document.items() if k not in ("evidence", "steps")}
        return replace(kept, trace=None, document=document, row=replace(kept.row, excerpt=None))


async def test_an_erased_text_leaves_the_decision(store, judge):
    async with client(Erased(store), judge) as http:
        verdict = (await http.post("/v1/score", json={"thinking": "PLOT", "answer": "x"})).json()
        page = await http.get(f"/verdicts/{verdict['verdict_id']}")
        data = (await http.get(f"/v1/verdicts/{verdict['verdict_id']}")).json()
    assert page.status_code == 200
    assert "The text was erased" in page.text
    assert "Blocked" in page.text
    assert data["trace"] is None


async def test_the_api_answers_with_the_one_public_json(store, judge):
    seen = []

    async def watched(trace):
        seen.append(await judge(trace))
        return seen[-1]

    async with client(store, watched) as http:
        answer = (await http.post("/v1/score", json={"thinking": "a", "answer": "b"})).json()
    assert answer == verdict_json(seen[0])


async def test_text_that_no_step_covers_is_marked_as_not_judged(store, judge):
    class Partly(Erased):
        def verdict(self, verdict_id):
            from dataclasses import replace

            kept = self._store.verdict(verdict_id)
            return replace(kept, document={**kept.document, "steps": kept.document["steps"][:1]})

    async with client(Partly(store), judge) as http:
        body = {"thinking": f"{PAD}The end was never read.", "answer": ""}
        verdict = (await http.post("/v1/score", json=body)).json()
        page = (await http.get(f"/verdicts/{verdict['verdict_id']}")).text
    assert len(verdict["steps"]) > 1
    assert '<span class="unread" title="Not judged">' in page
    assert "nothing to judge" in page
