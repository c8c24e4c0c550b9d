"""Scoring a stored trace once more: what is shown, and that nothing is kept."""

import re
from dataclasses import replace

import httpx2 as httpx
import pytest

from classifiers.fake import FakeClassifier
from dashboard.app import create_app
from monitor.health import Health
from monitor.recording import forget, recorder
from monitor.store import Store
from stream.proxy import Settings
from stream.server import Addresses, Server
from stream.shown import settings_shown
from tests.support import engine, fake, rulebook, trace

PAD = "Some ordinary words that make up a sentence of usual length. "


class Other(FakeClassifier):
    """Finds other words than the first model."""

    def __init__(self):
        super().__init__({"calm": {"dangerous_reasoning": 0.8}}, i_know_this_is_fake=True)
        self.identity = replace(self.identity, model="other-1")


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


@pytest.fixture
async def http(store):
    others = {"other-1": engine(classifier=Other(), record=forget).judge}
    app = create_app(
        store=store, judge=engine().judge, policy=rulebook, health=Health({}), others=others
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def judged(store):
    mind = engine(record=recorder(store))
    return (await mind.judge(trace(PAD + "PLOT, stay calm", "answer"))).verdict_id


async def ask(http, verdict_id, model="other-1"):
    page = (await http.get(f"/verdicts/{verdict_id}")).text
    csrf = re.search(r'name="csrf" value="(\w+)"', page)[1]
    return await http.post(f"/verdicts/{verdict_id}/again", data={"csrf": csrf, "model": model})


async def test_the_other_model_stands_beside_what_is_recorded_and_nothing_is_kept(http, store):
    verdict_id = await judged(store)
    before = store.newest_seq()
    answer = await ask(http, verdict_id)
    assert answer.status_code == 200
    table = answer.text.partition('id="again"')[2].partition("</table>")[0]
    rows = re.findall(r'<th scope="row">(.*?)</th><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td>', table)
    shown = {name: (float(old), float(new)) for name, old, new in rows if "–" not in (old, new)}
    assert shown["Deception"][0] > 0.9 > shown["Deception"][1]
    assert shown["Danger"] == (pytest.approx(0.0, abs=0.05), 0.8)
    assert store.newest_seq() == before
    assert store.summary().total == 1


async def test_a_model_that_is_not_there_is_refused(http, store):
    assert (await ask(http, await judged(store), model="nobody")).status_code == 422


async def test_a_form_of_another_site_is_refused(http, store):
    verdict_id = await judged(store)
    answer = await http.post(f"/verdicts/{verdict_id}/again", data={"model": "other-1"})
    assert answer.status_code == 403


async def test_a_verdict_that_is_not_there_has_no_page(http, store):
    await judged(store)
    csrf = re.search(
        r'name="csrf" value="(\w+)"', (await http.get(f"/verdicts/{await judged(store)}")).text
    )
    data = {"csrf": csrf[1], "model": "other-1"}
    assert (await http.post("/verdicts/nobody/again", data=data)).status_code == 404


def test_settings_name_the_models_to_score_again_with(store):
    server = Server(
        classifier=fake(),
        store=store,
        policy=rulebook(),
        settings=Settings(upstream="http://vllm:8000"),
        addresses=Addresses(host="h", port=1, dashboard_host="h", dashboard_port=2),
        others=(engine(classifier=Other(), record=forget),),
    )
    name = "Other models, to score again with"
    assert settings_shown(server, "here")["Judging"][name] == "other-1"
    assert "--other-model" in settings_shown(replace(server, others=()), "here")["Judging"][name]
