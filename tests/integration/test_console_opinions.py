"""Second opinions over HTTP: blind until given, then for a lead, and what is told of agreement."""

import re

import httpx2 as httpx
import pytest

from dashboard.app import create_app
from monitor.accounts import Role
from monitor.credentials import hash_password
from monitor.health import Health
from monitor.opinions import Seconds
from monitor.recording import recorder
from monitor.store import Store
from monitor.types import Standing
from tests.support import engine, rulebook, trace

PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
PAD = "Some ordinary words that make up a sentence of usual length. "
TEAM = {"anna": Role.REVIEWER, "ben": Role.REVIEWER, "lea": Role.LEAD, "leo": Role.LEAD}


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


@pytest.fixture
async def judged(store):
    mind = engine(record=recorder(store))
    return (await mind.judge(trace(PAD + "PLOT", "answer"))).verdict_id


class Person:
    """Somebody who is logged in, and fills in the forms of the pages that they get."""

    def __init__(self, app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def see(self, path):
        page = await self.http.get(path)
        self.fields = dict(re.findall(r'name="(csrf|review_id|after)" value="(\w+)"', page.text))
        return page.text

    async def answer(self, verdict_id, outcome, **fields):
        await self.see(f"/verdicts/{verdict_id}")
        given = {**self.fields, "outcome": outcome, **fields}
        return await self.http.post(f"/verdicts/{verdict_id}/reviews", data=given)


@pytest.fixture
async def team(store):
    """People who give second opinions about all."""
    app = create_app(
        store=store,
        judge=engine().judge,
        policy=rulebook,
        health=Health({}),
        seconds=Seconds.read(["all"]),
    )
    people = {}
    for name, role in TEAM.items():
        store.accounts.add_user(name, role, HASH, at="2026")
        people[name] = Person(app)
        await people[name].http.post("/login", data={"name": name, "password": PASSWORD})
    yield people
    for person in people.values():
        await person.http.aclose()


async def test_the_first_answer_is_nowhere_to_be_read_before_the_second(team, store, judged):
    path = f"/verdicts/{judged}"
    await team["anna"].answer(judged, "dismiss", note="CANARY", **{"label-deception": "no"})
    own = await team["anna"].see(path)
    assert "CANARY" in own
    assert "Another person gives the second answer." in own
    assert 'id="answer"' not in own
    for name in ("ben", "lea"):
        pages = [await team[name].see(p) for p in (path, "/", "/queue", "/queue?waits=second")]
        for text in pages:
            assert not re.search(r"CANARY|Dismissed|Deception: is not", text)
            assert "Second opinion" in text
        assert "What they said is shown once you have answered too" in pages[0]
    log = await team["lea"].see("/audit?kind=review")
    assert "shown once a second person has answered" in log
    assert "dismiss" not in log
    exported = (await team["ben"].http.get("/export.jsonl")).json()
    assert exported["review"] == "second"


async def test_two_who_differ_are_settled_by_a_third_who_sees_both(team, store, judged):
    await team["anna"].answer(judged, "dismiss", note="a false alarm")
    await team["lea"].answer(judged, "confirm", note="no, it is true")
    for name in ("ben", "lea"):
        refused = await team[name].answer(judged, "confirm", after="2", review_id=name)
        assert (refused.status_code, "lead decides" in refused.text) == (409, True)
    page = await team["leo"].see(f"/verdicts/{judged}")
    assert "Two people disagree." in page
    assert "a false alarm" in page
    assert "no, it is true" in page
    assert (await team["leo"].answer(judged, "dismiss")).status_code == 303
    history = await team["ben"].see(f"/verdicts/{judged}")
    assert "adjudication" in history
    assert "second opinion" in history
    assert [s.standing for s in store.reviews.of(judged)] == [
        Standing.SECOND,
        Standing.DISPUTE,
        Standing.DISMISS,
    ]
    assert store.audit().ok


async def test_what_is_for_others_is_not_offered(team, judged):
    await team["anna"].answer(judged, "dismiss")
    assert "for others" in await team["anna"].see("/queue")
    assert ">Take</button>" in await team["ben"].see("/queue")


async def test_leads_see_how_far_people_agree(team, store):
    mind = engine(record=recorder(store))
    assert "Nothing was answered by two people yet" in await team["lea"].see("/reviewers")
    for number in range(12):
        verdict = await mind.judge(trace(PAD + "PLOT", f"answer {number}"))
        await team["anna"].answer(verdict.verdict_id, "confirm" if number % 2 else "dismiss")
        await team["ben"].answer(verdict.verdict_id, "confirm" if number % 3 else "dismiss")
    page = await team["lea"].see("/reviewers")
    assert "anna</bdi>, <bdi>ben" in page
    outcome = re.search(r">Answer</th><td>(\d+)</td><td>(\d+)</td>", page)
    assert outcome.groups() == ("12", "6")
    assert "to" in re.search(r"<b>(−?0\.\d\d)</b> <span class=\"muted\">(.*?)</span>", page)[2]
    assert (await team["ben"].http.get("/reviewers")).status_code == 403


async def test_while_nobody_logs_in_nobody_else_is_asked(store, judged):
    app = create_app(
        store=store,
        judge=engine().judge,
        policy=rulebook,
        health=Health({}),
        seconds=Seconds.read(["all"]),
    )
    somebody = Person(app)
    await somebody.answer(judged, "confirm")
    assert [s.standing for s in store.reviews.of(judged)] == [Standing.CONFIRM]
    await somebody.http.aclose()
