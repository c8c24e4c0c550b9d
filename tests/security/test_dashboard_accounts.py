"""Once a user exists nobody gets anywhere without a right to it; every door is tried."""

import re
from itertools import chain

import httpx2 as httpx
import pytest

from dashboard.app import create_app
from dashboard.entry import RULES, Demand, demand
from dashboard.login import PAUSE_SECONDS, TRIES, Brake, own_path
from monitor.accounts import Right, Role, Scope, Token
from monitor.credentials import digest, hash_password, new_token
from monitor.health import Health
from monitor.recording import recorder
from monitor.store import Store
from tests.support import engine, rulebook, trace

PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
PAD = "Some ordinary words that make up a sentence of usual length. "
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


@pytest.fixture
def app(store):
    return create_app(
        store=store,
        judge=engine(record=recorder(store)).judge,
        policy=rulebook,
        health=Health({}),
        allowed_hosts=["localhost", "monitor.example"],
    )


@pytest.fixture
def closed(store):
    """The same, with a user of every role."""
    for role in Role:
        store.accounts.add_user(role.value, role, HASH, at="2026")
    return store


@pytest.fixture
async def flagged(store):
    return await engine(record=recorder(store)).judge(trace(PAD + "HINT", "Fine."))


def client(app, host="localhost", **options):
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}", **options)


async def login(http, name, password=PASSWORD, **fields):
    return await http.post("/login", data={"name": name, "password": password, **fields})


async def csrf(http):
    page = await http.get("/")
    return re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)[1]


def doors(app, verdict_id="v-none"):
    """Every route: method and path."""
    found = set()
    included = (r.original_router.routes for r in app.routes if hasattr(r, "original_router"))
    for route in (*(r for r in app.routes if hasattr(r, "path")), *chain(*included)):
        path = getattr(route, "path", "").replace("{verdict_id}", verdict_id)
        methods = getattr(route, "methods", None) or {"GET"}
        found |= {(m, path if path != "/static" else "/static/base.css") for m in methods}
    return sorted(found - {("HEAD", p) for _, p in found})


def test_every_door_has_a_rule_of_its_own(app):
    known = {(m, p) for m, p, _ in RULES}
    assert {("GET", "/"), ("POST", "/v1/score"), ("POST", "/logout")} <= set(doors(app))
    for method, path in doors(app):
        assert any(m == method and path.startswith(p) for m, p in known), (method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/new"), ("PUT", "/"), ("DELETE", "/v1/verdicts/x"), ("POST", "/"), ("X", "/")],
)
def test_a_door_that_nobody_thought_of_takes_the_most(method, path):
    assert demand(method, path) == Demand(right=Right.MANAGE)


def test_no_rule_lets_everybody_at_a_text():
    public = [p for _, p, wanted in RULES if wanted is None]
    assert sorted(public) == [
        "/healthz",
        "/login",
        "/login",
        "/login/callback",
        "/login/provider",
        "/metrics",
        "/readyz",
        "/static/",
    ]


async def test_while_there_is_no_user_everything_is_open(app, flagged):
    async with client(app) as http:
        for path in ("/", f"/verdicts/{flagged.verdict_id}", "/v1/verdicts", "/openapi.json"):
            assert (await http.get(path)).status_code == 200
        assert (await http.post("/v1/score", json={"thinking": "a"})).status_code == 200
        assert "no users yet" in (await http.get("/login")).text


async def test_the_first_user_closes_what_was_open(app, store, flagged):
    async with client(app) as http:
        assert (await http.get("/")).status_code == 200
        store.accounts.add_user("anna", Role.VIEWER, HASH, at="2026")
        assert (await http.get("/")).status_code == 303


@pytest.mark.usefixtures("closed")
async def test_nobody_reads_anything_without_logging_in(app, flagged):
    async with client(app) as http:
        for method, path in doors(app, flagged.verdict_id):
            response = await http.request(method, path)
            if demand(method, path) is None:
                assert response.status_code in (200, 415), (method, path)
                continue
            expected = 401 if path.startswith("/v1/") else 303
            assert response.status_code == expected, (method, path)
            assert "HINT" not in response.text


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("role", Role)
async def test_a_role_opens_its_doors_and_no_others(app, flagged, role):
    async with client(app) as http:
        await login(http, role.value)
        for method, path in doors(app, flagged.verdict_id):
            wanted = demand(method, path)
            if wanted is None or path == "/logout":
                continue
            status = (await http.request(method, path)).status_code
            # Let in, a form without fields is refused for another reason.
            turned_away = (status == 403 and method == "GET") or status in (401, 303)
            if method == "POST":
                turned_away = status != 415
            assert turned_away == (wanted.right not in role.rights), (method, path, status)


@pytest.mark.usefixtures("closed")
async def test_a_form_counts_only_from_a_page_of_the_same_session(app, store, flagged):
    async with client(app) as http, client(app) as other:
        await login(http, "admin")
        await login(other, "lead")
        forged = ["", "0" * 64, await csrf(other), "é"]
        before = store.newest_seq()
        for method, path in doors(app, flagged.verdict_id):
            if method != "POST" or path in ("/login", "/v1/score"):
                continue
            for value in forged:
                response = await http.post(path, data={"csrf": value, "outcome": "confirm"})
                assert response.status_code == 403, (path, value)
                assert "Page too old" in response.text
            response = await http.post(path, data={"outcome": "confirm"})
            assert response.status_code == 403, path
        assert store.newest_seq() == before
        assert (await http.get("/")).status_code == 200


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_sites_page_can_send_no_form_even_with_the_secret(app, flagged, site):
    async with client(app) as http:
        await login(http, "admin")
        secret = await csrf(http)
        for method, path in doors(app, flagged.verdict_id):
            if method == "POST":
                headers = {"sec-fetch-site": site}
                response = await http.post(path, data={"csrf": secret}, headers=headers)
                assert response.status_code == 403
                assert "cross_origin" in response.text


@pytest.mark.usefixtures("closed")
async def test_logging_in_goes_on_where_one_wanted_to(app, flagged):
    async with client(app) as http:
        turned = await http.get(f"/verdicts/{flagged.verdict_id}?decision=flag")
        address = turned.headers["location"]
        assert address == f"/login?next=%2Fverdicts%2F{flagged.verdict_id}%3Fdecision%3Dflag"
        form = await http.get(address)
        target = f"/verdicts/{flagged.verdict_id}?decision=flag"
        assert f'value="{target}"' in form.text
        entered = await login(http, "viewer", next=target)
        assert (entered.status_code, entered.headers["location"]) == (303, target)
        assert (await http.get(target)).status_code == 200


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "", "/\t/evil", "/\n/e",
     "javascript:alert(1)", "/é"],
)  # fmt: skip
def test_logging_in_never_leads_elsewhere(target):
    assert own_path(target) == "/"
    assert own_path("/queue?decision=block") == "/queue?decision=block"


@pytest.mark.usefixtures("closed")
async def test_the_cookie_is_for_this_server_alone(app):
    async with client(app) as http:
        local = (await login(http, "viewer")).headers["set-cookie"].lower()
    async with client(app, "monitor.example") as http:
        remote = (await login(http, "viewer")).headers["set-cookie"].lower()
    async with client(app) as http:
        http.base_url = "https://localhost"
        secured = (await login(http, "viewer")).headers["set-cookie"].lower()
    for found in (local, remote, secured):
        assert "httponly" in found
        assert "samesite=lax" in found
    assert "secure" not in local
    assert "secure" in remote
    assert "secure" in secured


@pytest.mark.usefixtures("closed")
async def test_logging_out_ends_the_session_for_whoever_holds_the_cookie(app):
    async with client(app) as http, client(app) as thief:
        await login(http, "viewer")
        thief.cookies = http.cookies
        left = await http.post("/logout", data={"csrf": await csrf(http)})
        assert left.status_code == 303
        assert (await thief.get("/")).status_code == 303


@pytest.mark.usefixtures("closed")
async def test_a_cookie_that_is_none_lets_nobody_in(app):
    async with client(app) as http:
        for value in ("", "x", "subtext_session", 'a="', "subtext_session=; x", "\xff"):
            headers = {"cookie": f"subtext_session={value}".encode("latin-1")}
            assert (await http.get("/", headers=headers)).status_code == 303


async def test_a_wrong_password_says_nothing_and_many_are_refused(app, closed, caplog, capsys):
    async with client(app) as http:
        for name in ("viewer", "nobody", "<script>"):
            wrong = await login(http, name, "CANARY-" + PASSWORD)
            assert wrong.status_code == 403
            assert "set-cookie" not in wrong.headers
            assert "CANARY" not in wrong.text
            assert "<script>" not in wrong.text
        for _ in range(TRIES - 1):
            await login(http, "viewer", "wrong")
        assert (await login(http, "viewer")).status_code == 429
        assert (await login(http, "lead")).status_code == 303
    acts = [r.body["act"] for r in closed.records() if r.kind == "account"]
    assert acts.count("locked_out") == 1
    assert "CANARY" not in caplog.text + "".join(capsys.readouterr()) + str(list(closed.records()))


def test_the_brake_lets_go_with_time_and_forgets_the_longest_unheard():
    now = 0.0
    brake = Brake(clock=lambda: now, room=2)
    assert [brake.failed(("a", "x")) for _ in range(TRIES)] == [False] * (TRIES - 1) + [True]
    assert brake.holds(("a", "x"))
    assert not brake.holds(("a", "y"))
    now = PAUSE_SECONDS
    assert not brake.holds(("a", "x"))
    for name in "bc":
        brake.failed((name, "x"))
    assert len(brake._failures) == 2
    brake.passed(("c", "x"))
    assert len(brake._failures) == 1


def token(store, *scopes):
    secret = new_token("01ab")
    given = Token(
        token_id=secret[8:24], name="t", scopes=frozenset(scopes), created_at="2026", revoked=False
    )
    store.accounts.add_token(given, digest(secret))
    return given.token_id, {"authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(
    ("scopes", "score", "verdicts"),
    [
        ((), 403, 403),
        ((Scope.SCORE,), 200, 403),
        ((Scope.VERDICTS,), 403, 200),
        (tuple(Scope), 200, 200),
    ],
)
async def test_a_token_opens_what_its_scopes_say(app, closed, scopes, score, verdicts):
    _, headers = token(closed, *scopes)
    judged = await engine(record=recorder(closed)).judge(trace(PAD, "Fine."))
    async with client(app, headers=headers) as http:
        assert (await http.post("/v1/score", json={"thinking": "a"})).status_code == score
        for path in ("/v1/verdicts", f"/v1/verdicts/{judged.verdict_id}"):
            assert (await http.get(path)).status_code == verdicts
        assert (await http.get("/")).status_code == 403
        assert (await http.post("/logout", data={})).status_code == 403


async def test_a_revoked_or_made_up_token_opens_nothing(app, closed):
    token_id, headers = token(closed, *Scope)
    closed.accounts.revoke_token(token_id, at="2026")
    made_up = [{"authorization": v} for v in ("Bearer", "Bearer x", "Basic eDp5", "x", "Bearer  ")]
    async with client(app) as http:
        for tried in (headers, *made_up):
            response = await http.get("/v1/verdicts", headers=tried)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.usefixtures("closed")
async def test_a_page_that_asks_by_itself_is_told_and_not_sent_elsewhere(app):
    async with client(app) as http:
        response = await http.get("/live", headers={"sec-fetch-dest": "empty"})
    assert response.status_code == 401


async def test_who_is_in_no_more_cannot_go_on(app, closed):
    async with client(app) as http:
        await login(http, "lead")
        assert (await http.get("/")).status_code == 200
        closed.accounts.disable("lead", at="2026")
        assert (await http.get("/")).status_code == 303
        assert (await login(http, "lead")).status_code == 403
