"""Thresholds, policies, the audit log, tokens and settings over HTTP."""

import re

import httpx2 as httpx
import pytest

from dashboard.app import create_app
from dashboard.identity import COOKIE
from monitor.accounts import Role
from monitor.audit import Kind
from monitor.credentials import digest
from monitor.health import Health
from monitor.recording import recorder
from monitor.rulebook import to_toml
from monitor.store import Store
from monitor.types import Check, Outcome, Review
from stream.policy_writer import WrittenPolicy
from stream.reload import PolicySource
from tests.support import THRESHOLDS, engine, trace

SECRET = "a-session-of-"
PAD = "Some ordinary words that make up a sentence of usual length. "


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    for role in Role:
        opened.accounts.add_user(role.value, role, "no password", at="2026")
        opened.accounts.open_session(role.value, digest(SECRET + role), at="2026", until="2999")
    yield opened
    opened.close()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text('# ours\nmode = "observe"\n')
    return PolicySource(file=path, defaults=THRESHOLDS)


@pytest.fixture
def people(store, source):
    """A server that takes the file up whenever the policy is asked for, as the follower does."""

    def policy():
        book = source.read()
        store.record_policy(policy=to_toml(book), version=book.version, created_at="2026-02-01")
        return book

    policy()
    app = create_app(
        store=store,
        judge=engine().judge,
        policy=policy,
        health=Health({}),
        policy_file=WrittenPolicy.of(source),
        settings={"Upstream": {"Address": "http://vllm:8000"}},
    )
    return {role.value: Person(app, role.value) for role in Role}


class Person:
    """Somebody with a session, who fills in the forms of the pages that they got."""

    def __init__(self, app, name):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        cookies = {COOKIE: SECRET + name}
        base = "http://localhost"
        self.http = httpx.AsyncClient(transport=transport, base_url=base, cookies=cookies)

    async def see(self, path, status=200):
        page = await self.http.get(path)
        assert page.status_code == status
        hidden = r'type="hidden" name="([\w-]+)" value="([^"]*)"'
        self.fields = dict(re.findall(hidden, page.text))
        return page.text

    async def post(self, path, **fields):
        return await self.http.post(path, data={**self.fields, **fields})


async def judged(store):
    mind = engine(record=recorder(store))
    return [
        (await mind.judge(trace(PAD + word, "Fine."))).verdict_id
        for word in ("PLOT", "HINT", "HINT", "", "")
    ]


def changes(store):
    return [r.body for r in store.log.newest(9, kind=Kind.CHANGE)]


async def test_the_page_says_what_a_threshold_would_have_flagged(people, store):
    plot, hint, *_ = await judged(store)
    for verdict_id, outcome in ((plot, Outcome.CONFIRM), (hint, Outcome.DISMISS)):
        given = Review(review_id=verdict_id, verdict_id=verdict_id, reviewer="anna",
                       outcome=outcome, created_at="2026-01-02T00:00:00.000Z")  # fmt: skip
        store.reviews.record(given, after=0)
    page = await people["viewer"].see("/thresholds?check=deception&flag=0.8&block=0.9")
    rows = {
        name: re.findall(r"<td>(.*?)</td>", cells)
        for name, cells in re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', page)
    }
    assert rows["Flags from"] == ["0.5", "0.8"]
    assert rows["Deception flags"] == ["3", "1"]
    assert rows["of these blocked"] == ["1", "1"]
    assert rows["False positives, at most"] == ["50.0 %", "0.0 %"]
    assert rows["Missed, of the labelled"] == ["0 of 1", "0 of 1"]
    assert rows["Right, of the labelled"][0].startswith("50.0 %")
    assert "Leads and admins can change the policy." in page
    assert "Some ordinary words" not in page


async def test_a_threshold_is_picked_by_rate_or_by_capacity(people, store):
    await judged(store)
    viewer = people["viewer"]
    assert 'name="flag" type="number" min="0.001" max="1" step="any" value="0.951"' in (
        await viewer.see("/thresholds?check=deception&rate=0")
    )
    # One in seven days is a seventh a day.
    assert 'value="0.601"' in await viewer.see("/thresholds?check=deception&capacity=0.2")


@pytest.mark.parametrize("query", ["rate=101", "rate=x", "capacity=-1", "flag=0", "check=mood"])
async def test_what_is_no_threshold_is_said(people, query):
    assert "Filter not understood" in await people["viewer"].see(f"/thresholds?{query}", 422)


@pytest.mark.parametrize("name", ["lead", "admin"])
async def test_a_change_is_recorded_written_and_shown_with_who_and_why(people, store, source, name):
    who = people[name]
    await who.see("/thresholds?check=deception&flag=0.8&block=0.9")
    before = source.read().version
    sent = await who.post("/thresholds", reason="Too many <b>false alarms")
    assert (sent.status_code, sent.headers["location"]) == (303, "/policies")
    book = source.read()
    assert book.top.thresholds == {**THRESHOLDS, Check.DECEPTION: (0.8, 0.9)}
    assert source.file.read_text().startswith('# ours\nmode = "observe"\n')
    (change,) = changes(store)
    assert (change["by"], change["why"]) == (name, "Too many <b>false alarms")
    assert (change["before"], change["after"]) == (before, book.version)
    page = await people["viewer"].see("/policies")
    page = await people["viewer"].see("/policies")
    assert "Too many &lt;b&gt;false alarms" in page
    assert '<span class="removed">-flag = 0.5</span>' in page
    assert '<span class="added">+flag = 0.8</span>' in page
    assert page.count("in force</span>") == 1
    assert store.audit().ok


async def test_a_change_without_a_reason_changes_nothing(people, store, source):
    lead, before = people["lead"], source.file.read_text()
    for reason in ("", "  ", "x" * 501, "two\nlines", "\x1b[31m"):
        await lead.see("/thresholds?check=deception&flag=0.8&block=0.9")
        sent = await lead.post("/thresholds", reason=reason)
        assert (sent.status_code, "Say why" in sent.text) == (409, True)
    assert source.file.read_text() == before
    assert changes(store) == []


async def test_who_looked_at_an_older_policy_must_look_again(people, store, source):
    lead = people["lead"]
    await lead.see("/thresholds?check=deception&flag=0.8&block=0.9")
    source.file.write_text('mode = "hold"\n')
    sent = await lead.post("/thresholds", reason="Because.")
    assert (sent.status_code, "changed meanwhile" in sent.text) == (409, True)
    assert 'value="Because."' in sent.text
    assert source.file.read_text() == 'mode = "hold"\n'
    assert changes(store) == []


@pytest.mark.parametrize("name", ["viewer", "reviewer"])
async def test_others_change_nothing(people, source, name):
    who, before = people[name], source.file.read_text()
    await who.see("/thresholds?check=deception&flag=0.8&block=0.9")
    who.fields |= {"flag": "0.8", "block": "0.9", "check": "deception"}
    assert (await who.post("/thresholds", reason="Mine.")).status_code == 403
    assert source.file.read_text() == before


@pytest.mark.parametrize("wrong", [{"flag": "x"}, {"block": ""}, {"check": "mood"}, {"flag": "2"}])
async def test_a_form_that_is_not_ours_changes_nothing(people, store, wrong):
    lead = people["lead"]
    await lead.see("/thresholds?check=deception&flag=0.8&block=0.9")
    assert (await lead.post("/thresholds", reason="Mine.", **wrong)).status_code == 422
    assert changes(store) == []


@pytest.mark.parametrize("path", ["/thresholds?flag=&block=&rate=", "/audit?kind=&before="])
async def test_a_field_left_empty_asks_for_nothing(people, path):
    await people["lead"].see(path)


async def test_flags_above_blocks_are_refused(people, store):
    lead = people["lead"]
    await lead.see("/thresholds?check=deception&flag=0.8&block=0.9")
    sent = await lead.post("/thresholds", reason="Mine.", flag="0.95")
    assert (sent.status_code, "must not be above block" in sent.text) == (409, True)
    assert changes(store) == []


async def test_without_a_policy_file_the_page_says_how_to_get_one(store):
    book = PolicySource(file=None, defaults=THRESHOLDS).read()
    app = create_app(store=store, judge=engine().judge, policy=lambda: book, health=Health({}))
    lead = Person(app, "lead")
    page = await lead.see("/thresholds?check=deception&flag=0.8&block=0.9")
    assert "subtext policy show &gt; policy.toml" in page
    assert "follows no policy file" in await lead.see("/policies")
    await lead.see("/thresholds")
    lead.fields["csrf"] = re.search('csrf" value="(.*?)"', await lead.see("/"))[1]
    wanted = {"check": "deception", "flag": "0.8", "block": "0.9", "reason": "Mine."}
    assert (await lead.post("/thresholds", **wanted)).status_code == 409


async def test_a_change_that_the_server_has_not_taken_up_is_shown_as_that(people, store, source):
    lead = people["lead"]
    await lead.see("/thresholds?check=deception&flag=0.8&block=0.9")
    file = source.file.read_text()
    await lead.post("/thresholds", reason="Mine.")
    source.file.write_text(file)  # As if nobody had looked at the file yet.
    assert "Written, not in force yet." in await lead.see("/policies")


async def test_the_audit_log_lists_what_happened_and_where_the_chain_stands(people, store):
    verdict_id = (await judged(store))[0]
    lead = people["lead"]
    page = await lead.see("/audit")
    newest = store.log.newest(1)[0]
    assert newest.hash in page
    assert f'href="/verdicts/{verdict_id}"' in page
    assert "no checkpoint yet" in page
    only = await lead.see("/audit?kind=account")
    assert "logged_in" in only
    assert verdict_id not in only
    assert "hidden" not in only.split("<main")[1]
    assert "Some ordinary words" not in page
    await people["reviewer"].see("/audit", 403)


async def test_the_audit_log_goes_back_page_by_page(people, store):
    for number in range(60):
        store.record_policy(policy=f"p{number}", version=f"v{number}", created_at="2026-02-01")
    lead = people["lead"]
    first = await lead.see("/audit?kind=policy")
    older = re.search(r'rel="next" href="([^"]*)"', first)[1].replace("&amp;", "&")
    second = await lead.see(older)
    told = [re.findall(r"<bdi>(v\d+)</bdi>", page) for page in (first, second)]
    assert told[0] + told[1][: 60 - len(told[0])] == [f"v{n}" for n in range(59, -1, -1)]
    policies = await lead.see("/policies")
    assert re.search(r'rel="next" href="/policies\?before=\d+"', policies)


async def test_an_admin_lets_a_program_in_and_out_again(people, store):
    admin = people["admin"]
    await admin.see("/tokens")
    made = await admin.post("/tokens", **{"name": "nightly", "scope-verdicts": "yes"})
    secret = re.search(r'value="(subtext_[0-9a-f]{8}_[\w-]+)"', made.text)[1]
    program = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(
        transport=admin.http._transport, base_url="http://localhost", headers=program
    ) as http:
        assert (await http.get("/v1/verdicts")).status_code == 200
        assert (await http.post("/v1/score", json={"thinking": "a"})).status_code == 403
        assert secret not in await admin.see("/tokens")
        gone = await admin.post("/tokens/revoke", token_id=secret[8:16])
        assert gone.status_code == 303
        assert (await http.get("/v1/verdicts")).status_code == 401
    told = [r.body for r in store.log.newest(9, kind=Kind.ACCOUNT) if "token" in r.body["act"]]
    assert [(t["act"], t["by"]) for t in told] == [
        ("token_revoked", "admin"),
        ("token_issued", "admin"),
    ]
    assert secret not in str(list(store.records()))


async def test_a_form_sent_twice_makes_one_token(people, store):
    admin = people["admin"]
    await admin.see("/tokens")
    form = {"name": "nightly", "scope-score": "yes"}
    assert (await admin.post("/tokens", **form)).status_code == 200
    assert (await admin.post("/tokens", **form)).status_code == 409
    assert len(store.accounts.tokens()) == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": "nightly"}, 422),
        ({"name": "", "scope-score": "yes"}, 422),
        ({"name": "<b>", "scope-score": "yes"}, 422),
        ({"name": "nightly", "scope-score": "yes", "token_id": "../x"}, 422),
    ],
)
async def test_what_is_no_token_is_not_made(people, store, fields, status):
    admin = people["admin"]
    await admin.see("/tokens")
    assert (await admin.post("/tokens", **fields)).status_code == status
    assert store.accounts.tokens() == ()
    assert (await admin.post("/tokens/revoke", token_id="01ab")).status_code == 409


async def test_settings_are_shown_to_admins(people):
    assert "http://vllm:8000" in await people["admin"].see("/settings")
    await people["lead"].see("/settings", 403)
