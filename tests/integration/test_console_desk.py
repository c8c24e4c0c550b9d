"""The desk over HTTP: claims, answers, what is refused, and where one lands afterwards."""

import re
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest

from dashboard.app import create_app
from monitor.accounts import Role
from monitor.credentials import hash_password
from monitor.health import Health
from monitor.recording import recorder
from monitor.store import Store
from monitor.types import Check, Outcome
from tests.support import engine, rulebook, trace

PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
PAD = "Some ordinary words that make up a sentence of usual length. "


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


@pytest.fixture
async def judged(store):
    """Two blocked, one flagged, one allowed."""
    mind = engine(record=recorder(store))
    words = ["PLOT", "HINT", "", "BOMB"]
    return [(await mind.judge(trace(PAD + word, f"answer {word}"))).verdict_id for word in words]


@pytest.fixture
def app(store):
    return create_app(store=store, judge=engine().judge, policy=rulebook, health=Health({}))


class Person:
    """A client that fills in the forms of the pages that it gets."""

    def __init__(self, app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def login(self, name):
        await self.http.post("/login", data={"name": name, "password": PASSWORD})
        return self

    async def see(self, path):
        page = await self.http.get(path)
        self.fields = dict(re.findall(r'name="(csrf|review_id|after)" value="(\w+)"', page.text))
        return page.text

    async def post(self, path, **fields):
        for name in ("label_", "take_"):
            fields = {k.replace(name, f"{name[:-1]}-", 1): v for k, v in fields.items()}
        return await self.http.post(path, data={**self.fields, **fields})

    async def answer(self, verdict_id, outcome="confirm", query="", **fields):
        await self.see(f"/verdicts/{verdict_id}{query}")
        return await self.post(f"/verdicts/{verdict_id}/reviews{query}", outcome=outcome, **fields)


@pytest.fixture
async def anybody(app):
    person = Person(app)
    yield person
    await person.http.aclose()


@pytest.fixture
async def people(app, store):
    """A person of every role."""
    for role in Role:
        store.accounts.add_user(role.value, role, HASH, at="2026")
    found = {role.value: await Person(app).login(role.value) for role in Role}
    yield found
    for person in found.values():
        await person.http.aclose()


def where(response):
    assert response.status_code == 303, response.text
    found = urlsplit(response.headers["location"])
    return found.path, parse_qs(found.query)


async def test_without_users_an_answer_is_signed_local(anybody, store, judged):
    labels = {"label_deception": "no", "label_mismatch": "yes", "label_dangerous_reasoning": ""}
    sent = await anybody.answer(judged[0], "dismiss", note="A false\r\nalarm. ", **labels)
    assert where(sent) == (f"/verdicts/{judged[0]}", {})
    (found,) = store.reviews.of(judged[0])
    assert (found.review.reviewer, found.review.outcome) == ("local", Outcome.DISMISS)
    assert found.review.note == "A false\nalarm."
    assert found.review.labels == {Check.DECEPTION: False, Check.MISMATCH: True}
    page = await anybody.see(f"/verdicts/{judged[0]}")
    assert "Dismissed" in page
    assert "Mismatch: is there" in page
    assert "Dismissed" in await anybody.see("/")


async def test_a_form_sent_twice_is_one_answer(anybody, store, judged):
    await anybody.answer(judged[0])
    again = await anybody.post(f"/verdicts/{judged[0]}/reviews", outcome="confirm")
    assert again.status_code == 303
    assert len(store.reviews.of(judged[0])) == 1


async def test_the_queue_leads_from_one_to_the_next_until_it_is_empty(anybody, judged):
    page = await anybody.see("/queue")
    assert "3 waiting" in page
    begun = await anybody.post("/queue/next")
    order = []
    while (found := where(begun))[0] != "/queue":
        path, query = found
        assert query == {"queue": ["true"]}
        order.append(path.rsplit("/", 1)[1])
        begun = await anybody.answer(order[-1], query="?queue=true")
    assert order == [judged[0], judged[3], judged[1]]
    assert "Nothing waits" in await anybody.see("/queue")


async def test_the_filters_of_the_queue_hold_for_what_comes_next(anybody, judged):
    await anybody.see("/queue?decision=flag")
    path, query = where(await anybody.post("/queue/next?decision=flag"))
    assert path == f"/verdicts/{judged[1]}"
    assert query == {"decision": ["flag"], "queue": ["true"]}
    done = await anybody.answer(judged[1], query="?decision=flag&queue=true")
    assert where(done) == ("/queue", {"decision": ["flag"]})


async def test_a_claim_shows_and_keeps_others_off_until_it_is_released(people, judged):
    reviewer, lead, admin = people["reviewer"], people["lead"], people["admin"]
    path = f"/verdicts/{judged[0]}"
    await reviewer.see(path)
    assert where(await reviewer.post(f"{path}/claim"))[0] == path
    assert "You are at it" in await reviewer.see(path)
    page = await lead.see(path)
    assert "<b>reviewer</b> is at it" in page
    assert "Take over" in page
    assert 'id="answer"' not in page
    assert '<span class="claim">reviewer</span>' in await lead.see("/queue")
    refused = await lead.post(f"{path}/claim")
    assert (refused.status_code, "somebody else is at it" in refused.text) == (409, True)
    assert where(await lead.post(f"{path}/claim", take_over="yes"))[0] == path
    await reviewer.see(path)
    late = await reviewer.post(f"{path}/claim", take_over="yes")
    assert late.status_code == 409
    assert where(await lead.post(f"{path}/release")) == ("/", {})
    assert "Nobody is at it" in await admin.see(path)


async def test_an_answer_that_came_too_late_is_not_lost(people, store, judged):
    reviewer, lead = people["reviewer"], people["lead"]
    path = f"/verdicts/{judged[0]}"
    await reviewer.see(path)
    await lead.answer(judged[0])
    late = await reviewer.post(
        f"{path}/reviews", outcome="dismiss", note="My <b>reasons", label_deception="no"
    )
    assert late.status_code == 409
    assert "Not recorded: somebody else has answered meanwhile" in late.text
    assert "My &lt;b&gt;reasons</textarea>" in late.text
    assert re.search(r'name="label-deception" value="no" checked', late.text)
    assert [r.review.reviewer for r in store.reviews.of(judged[0])] == ["lead"]


async def test_what_is_escalated_is_settled_by_a_lead(people, store, judged):
    reviewer, lead = people["reviewer"], people["lead"]
    await reviewer.answer(judged[2], "escalate")
    page = await reviewer.see(f"/verdicts/{judged[2]}")
    assert "This was escalated: a lead decides." in page
    assert 'id="answer"' not in page
    forged = {"outcome": "dismiss", "after": "1", "review_id": "x"}
    refused = await reviewer.post(f"/verdicts/{judged[2]}/reviews", **forged)
    assert (refused.status_code, "a lead decides" in refused.text) == (409, True)
    await lead.see("/queue")
    assert where(await lead.post("/queue/next"))[0] == f"/verdicts/{judged[2]}"
    await lead.answer(judged[2], "dismiss")
    assert [r.review.outcome for r in store.reviews.of(judged[2])] == [
        Outcome.ESCALATE,
        Outcome.DISMISS,
    ]


async def test_who_may_only_read_is_shown_no_form(people, judged):
    viewer = people["viewer"]
    page = await viewer.see(f"/verdicts/{judged[0]}")
    assert "Your role may read, not answer." in page
    assert "<textarea" not in page
    queue = await viewer.see("/queue")
    assert "Take</button>" not in queue
    assert "Start" not in queue


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "maybe"},
        {"outcome": ""},
        {"after": "many"},
        {"label_deception": "perhaps"},
    ],
)
async def test_a_form_that_is_not_ours_records_nothing(anybody, store, judged, changes):
    await anybody.see(f"/verdicts/{judged[0]}")
    given = {"outcome": "confirm", **changes}
    assert (await anybody.post(f"/verdicts/{judged[0]}/reviews", **given)).status_code == 422
    assert store.reviews.of(judged[0]) == ()


async def test_what_does_not_exist_is_not_found(anybody):
    await anybody.see("/queue")
    fields = {"outcome": "confirm", "after": "0", "review_id": "x"}
    for act in ("claim", "reviews"):
        assert (await anybody.post(f"/verdicts/none/{act}", **fields)).status_code == 404
    assert (await anybody.post("/verdicts/none/release")).status_code == 409


async def test_the_live_queue_answers_only_when_something_changed(anybody, judged):
    first = await anybody.http.get("/queue/live")
    known = {"if-none-match": first.headers["etag"]}
    assert (await anybody.http.get("/queue/live", headers=known)).status_code == 304
    await anybody.answer(judged[0])
    assert (await anybody.http.get("/queue/live", headers=known)).status_code == 200


async def test_a_note_too_long_for_a_form_is_refused(anybody, store, judged):
    sent = await anybody.answer(judged[0], note="x" * 70_000)
    assert sent.status_code == 413
    assert store.reviews.of(judged[0]) == ()


async def test_an_admin_sees_who_has_access_and_no_secret(people, store):
    page = await people["admin"].see("/people")
    assert 'aria-current="page">People' in page
    for role in Role:
        assert f"<td>{role.value}</td>" in page
    assert HASH not in page
    assert "People" not in await people["lead"].see("/queue")
