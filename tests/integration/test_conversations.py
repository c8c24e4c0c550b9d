"""The turns of a conversation are found together, however the client names it."""

import json

import httpx2 as httpx
import pytest
from sqlalchemy.event import listen

from dashboard.app import create_app
from monitor.health import Health
from monitor.recording import recorder
from monitor.store import Query, Store
from monitor.types import Mode
from tests.integration.data_places import event
from tests.support import engine, policy, rulebook, trace

RESPONSES = "/v1/responses"


def response(name, text="Fine."):
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": "m", "type": "message", "role": "assistant", "content": content}
    return {
        "id": name,
        "object": "response",
        "model": "m",
        "status": "completed",
        "output": [message],
    }


def streamed(name):
    whole = response(name)
    started = {"type": "response.created", "response": {**whole, "output": []}}
    said = {
        "type": "response.output_text.delta",
        "output_index": 0,
        "content_index": 0,
        "delta": "Fine.",
    }
    return [event(started), event(said), event({"type": "response.completed", "response": whole})]


async def turn(setup, answer, body, **headers):
    if isinstance(answer, list):
        setup.upstream.streams(*answer)
    else:
        setup.upstream.replies(json.dumps(answer).encode())
    before = len(setup.record.verdicts)
    await setup.post(body, RESPONSES, **headers)
    await setup.until(lambda: len(setup.record.verdicts) > before)
    return setup.record.verdicts[-1][1].conversation_id


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.OBSERVE])
@pytest.mark.parametrize("reply", [response, streamed])
async def test_responses_that_continue_each_other_are_one_conversation(sidecar, reply, mode):
    setup = await sidecar(rules=policy(mode))
    first = await turn(setup, reply("resp_1"), {"input": "Hi"})
    second = await turn(setup, reply("resp_2"), {"input": "And?", "previous_response_id": "resp_1"})
    third = await turn(setup, reply("resp_3"), {"input": "So?", "previous_response_id": "resp_2"})
    other = await turn(setup, reply("resp_4"), {"input": "Hi"})
    assert first == second == third == "resp_1"
    assert other == "resp_4"


async def test_a_configured_header_names_the_conversation(sidecar):
    setup = await sidecar(conversation_header="x-conversation")
    body = {"input": "Hi", "conversation": "theirs"}
    assert await turn(setup, response("r1"), body, **{"x-conversation": "ours"}) == "ours"
    assert await turn(setup, response("r2"), body) == "theirs"
    assert await turn(setup, response("r3"), {"previous_response_id": "r1"}) == "ours"
    assert await turn(setup, response("r4"), {"previous_response_id": "r1", **body}) == "theirs"


async def test_a_header_that_is_not_configured_names_nothing(sidecar):
    setup = await sidecar()
    chat = {"choices": [{"index": 0, "message": {"content": "Fine."}}]}
    setup.upstream.replies(json.dumps(chat).encode())
    await setup.post({}, **{"x-conversation": "ours"})
    assert setup.record.verdicts[0][1].conversation_id == ""


async def test_the_page_of_a_turn_links_to_the_others():
    store = Store.open("sqlite://")
    mind = engine(record=recorder(store))
    talk = [
        await mind.judge(trace("So.", "Fine.", tenant=tenant, conversation_id=name))
        for tenant, name in (("a", "t<1>"), ("a", "t<1>"), ("b", "t<1>"), ("a", "u"), ("a", ""))
    ]
    first, second, foreign, lone, alone = (v.verdict_id for v in talk)
    app = create_app(store=store, judge=mind.judge, policy=rulebook, health=Health({}))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        page = (await http.get(f"/verdicts/{first}")).text
        assert f'href="/verdicts/{second}"' in page.partition('class="turns"')[2]
        assert foreign not in page.partition('class="turns"')[2].partition("</nav>")[0]
        for other in (lone, alone):
            assert 'class="turns"' not in (await http.get(f"/verdicts/{other}")).text
        listed = (await http.get("/?tenant=a&conversation=t%3C1%3E")).text
        found = (await http.get("/v1/verdicts?tenant=a&conversation=t%3C1%3E")).json()["verdicts"]
    assert "/?tenant=a&amp;conversation=t%3C1%3E" in page
    assert first in listed
    assert foreign not in listed
    assert "t<1>" not in listed
    assert [row["verdict_id"] for row in found] == [second, first]
    store.close()


def test_the_turns_are_found_by_an_index():
    store, asked = Store.open("sqlite://"), []
    listen(store._engine, "before_cursor_execute", lambda *about: asked.append(about[2:4]))
    store.verdicts(Query(conversation_id="x", tenant="y"))
    statement, values = asked[-1]
    with store._engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    store.close()
    assert "ix_verdicts_conversation" in str(plan)
