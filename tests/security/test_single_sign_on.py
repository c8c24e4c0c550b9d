"""Only who the provider vouches for, for this sign-in of this browser, gets in."""

import time
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import httpx2 as httpx
import jwt
import pytest

from dashboard.app import create_app
from dashboard.relying import AGAIN_SECONDS, RelyingParty
from dashboard.sign_on import COOKIE
from monitor.accounts import Role
from monitor.credentials import hash_password
from monitor.health import Health
from monitor.single_sign_on import Attempt, Provider, SignInError
from monitor.store import Store
from tests.provider import CLIENT, SECRET, key_pair, serving
from tests.support import engine, rulebook

PASSWORD = "correct horse battery"
NAME = "monitor.example"
ROLES = {"safety": Role.REVIEWER, "safety-leads": Role.LEAD}


@pytest.fixture(scope="module")
def keys():
    return key_pair("k1"), key_pair("k2")


@pytest.fixture
def provider(keys):
    with serving(keys[0]) as found:
        found.person = {"sub": "248289761001", "preferred_username": "Anna", "groups": ["safety"]}
        yield found


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


@pytest.fixture
def dashboard(store, provider):
    def build(**changes):
        told = {
            "issuer": provider.issuer,
            "client_id": CLIENT,
            "client_secret": SECRET,
            "redirect_uri": f"https://{NAME}/login/callback",
            "roles": ROLES,
        }
        return create_app(
            store=store,
            judge=engine().judge,
            policy=rulebook,
            health=Health({}),
            allowed_hosts=[NAME],
            provider=Provider(**{**told, **changes}),
        )

    return build


@pytest.fixture
async def browser(dashboard):
    browsers = []

    def opened(app=None):
        transport = httpx.ASGITransport(app=app or dashboard(), raise_app_exceptions=True)
        browsers.append(httpx.AsyncClient(transport=transport, base_url=f"https://{NAME}"))
        return browsers[-1]

    yield opened
    for found in browsers:
        await found.aclose()


async def at_provider(http, target="/queue"):
    """Go to the provider; returns where it sends the browser back to."""
    begun = await http.get("/login/provider", params={"next": target})
    assert begun.status_code == 303, begun.text
    async with httpx.AsyncClient() as elsewhere:
        signed = await elsewhere.get(begun.headers["location"])
    assert signed.headers["location"].startswith(f"https://{NAME}/login/callback?")
    return signed.headers["location"]


async def sign_in(http, target="/queue"):
    return await http.get(await at_provider(http, target))


def acts(store):
    return [dict(r.body) for r in store.records() if r.kind == "account"]


def refused(answer, store):
    assert answer.status_code == 403, answer.text
    assert "subtext_session" not in answer.cookies
    assert "logged_in" not in [act["act"] for act in acts(store)]


async def test_somebody_new_becomes_a_user_with_the_role_of_their_groups(browser, store, provider):
    http = browser()
    assert (await http.get("/queue")).headers["location"] == "/login?next=%2Fqueue"
    page = await http.get("/login?next=/queue")
    assert 'href="/login/provider?next=/queue"' in page.text
    answer = await sign_in(http)
    assert (answer.status_code, answer.headers["location"]) == (303, "/queue")
    cookie = next(c for c in answer.headers.get_list("set-cookie") if "subtext_session" in c)
    assert all(word in cookie.lower() for word in ("httponly", "secure", "samesite=lax"))
    assert (await http.get("/queue")).status_code == 200
    (user,) = store.accounts.users()
    subject = f"{provider.issuer} 248289761001"
    assert (user.name, user.role, user.subject) == ("anna", Role.REVIEWER, subject)
    assert [act["act"] for act in acts(store)] == ["user_added", "logged_in"]
    assert store.accounts.password_hash("anna") is None
    assert store.audit().ok


async def test_groups_hold_anew_at_every_sign_in(browser, store, provider):
    await sign_in(browser())
    provider.person |= {"groups": ["other", "safety", "safety-leads"], "preferred_username": "ann"}
    await sign_in(browser())
    assert [(u.name, u.role) for u in store.accounts.users()] == [("anna", Role.LEAD)]
    provider.person["groups"] = ["other"]
    http = browser()
    assert "nothing gives you a role" in (await sign_in(http)).text
    assert [a["act"] for a in acts(store)][-2:] == ["logged_in", "sign_in_refused"]
    assert acts(store)[-1]["reason"] == "no role"
    assert "role_changed" in [a["act"] for a in acts(store)]


async def test_without_groups_the_role_of_the_first_sign_in_stays(browser, dashboard, store):
    app = dashboard(roles={}, default=Role.VIEWER)
    await sign_in(browser(app))
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE users SET role = 'lead'")
    await sign_in(browser(app))
    assert [u.role for u in store.accounts.users()] == [Role.LEAD]


async def test_groups_are_found_inside_objects(browser, dashboard, store, provider):
    provider.person["realm_access"] = {"roles": ["safety-leads"]}
    await sign_in(browser(dashboard(claim="realm_access.roles")))
    assert [u.role for u in store.accounts.users()] == [Role.LEAD]


async def test_who_takes_the_name_of_a_local_user_is_not_let_in(browser, store):
    store.accounts.add_user("anna", Role.ADMIN, hash_password(PASSWORD), at="2026")
    http = browser()
    answer = await sign_in(http)
    refused(answer, store)
    assert "your name already" in answer.text
    assert acts(store)[-1]["reason"] == "name taken"
    entered = await http.post("/login", data={"name": "anna", "password": PASSWORD})
    assert entered.status_code == 303


async def test_who_is_disabled_here_is_not_let_in(browser, store):
    http = browser()
    await sign_in(http)
    store.accounts.disable("anna", at="2026")
    assert (await http.get("/queue")).status_code == 303
    assert "may not log in" in (await sign_in(browser())).text
    assert acts(store)[-1]["reason"] == "disabled"


async def test_passwords_can_be_turned_off(browser, dashboard, store):
    store.accounts.add_user("ben", Role.ADMIN, hash_password(PASSWORD), at="2026")
    http = browser(dashboard(only=True))
    assert "password" not in (await http.get("/login")).text
    answer = await http.post("/login", data={"name": "ben", "password": PASSWORD})
    refused(answer, store)


CLAIMS = {
    "a wrong nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "another audience": {"aud": "another"},
    "several audiences, for none": {"aud": [CLIENT, "another"]},
    "several audiences, for another": {"aud": [CLIENT, "another"], "azp": "another"},
    "no audience": {"aud": None},
    "another issuer": {"iss": "https://evil.example"},
    "expired": {"exp": int(time.time()) - 3600},
    "no expiry": {"exp": None},
    "issued in the future": {"iat": int(time.time()) + 3600},
    "not valid yet": {"nbf": int(time.time()) + 3600},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that is no text": {"sub": 7},
    "a subject with a space": {"sub": "a b"},
}


async def test_an_id_token_that_is_not_for_this_sign_in_lets_nobody_in(browser, store, provider):
    http = browser()
    for what, changes in CLAIMS.items():
        provider.changes = changes
        answer = await sign_in(http)
        assert (answer.status_code, "subtext_session" in answer.cookies) == (403, False), what
    assert acts(store) == []
    provider.changes = {}
    assert (await sign_in(http)).status_code == 303


SIGNED = {
    "not at all": lambda c, keys: jwt.encode(c, None, algorithm="none"),
    "with another key of the same name": lambda c, keys: jwt.encode(
        c, keys[1][0], algorithm="RS256", headers={"kid": "k1"}
    ),
    "with a key that is not shown": lambda c, keys: jwt.encode(
        c, keys[1][0], algorithm="RS256", headers={"kid": "k2"}
    ),
    "with the client's secret": lambda c, keys: jwt.encode(
        c, SECRET * 2, algorithm="HS256", headers={"kid": "k1"}
    ),
    "with the public key as a secret": lambda c, keys: jwt.encode(
        c, keys[0][1]["n"], algorithm="HS256", headers={"kid": "k1"}
    ),
    "in a way that the provider does not": lambda c, keys: jwt.encode(
        c, keys[0][0], algorithm="PS512", headers={"kid": "k1"}
    ),
    "and altered": lambda c, keys: "A".join(
        jwt.encode(c, keys[0][0], algorithm="RS256", headers={"kid": "k1"}).rsplit(".", 1)
    ),
    "no token": lambda c, keys: "a.b.c",
}


async def test_an_id_token_that_the_provider_did_not_sign_lets_nobody_in(
    browser, store, provider, keys
):
    http = browser()
    for what, sign in SIGNED.items():
        provider.sign = partial(sign, keys=keys)
        answer = await sign_in(http)
        assert (answer.status_code, "subtext_session" in answer.cookies) == (403, False), what
    assert acts(store) == []


async def test_a_new_key_of_the_provider_is_asked_for_but_not_again_and_again(provider, keys):
    now = [0.0]
    settings = {"client_id": CLIENT, "client_secret": SECRET, "redirect_uri": f"https://{NAME}/"}
    relying = RelyingParty(
        Provider(issuer=provider.issuer, roles=ROLES, **settings), clock=lambda: now[0]
    )

    async def finish():
        attempt = Attempt(secret="s" * 40)
        async with httpx.AsyncClient() as http:
            back = (await http.get(await relying.begin(attempt))).headers["location"]
        return await relying.finish(dict(parse_qsl(urlsplit(back).query))["code"], attempt)

    assert (await finish()).name == "anna"
    (provider.private, shown), provider.kid = keys[1], "k2"
    provider.published.append(shown)
    for _ in range(3):
        with pytest.raises(SignInError, match="does not show"):
            await finish()
    assert provider.asked.count("/keys") == 1
    now[0] += AGAIN_SECONDS + 1
    assert (await finish()).name == "anna"
    assert provider.asked.count("/keys") == 2


async def test_an_answer_for_another_browser_counts_for_nobody(browser, dashboard, store):
    app = dashboard()
    mine, theirs = browser(app), browser(app)
    back = await at_provider(theirs)
    refused(await mine.get(back), store)
    await at_provider(mine)
    refused(await mine.get(back), store)


async def test_an_answer_that_was_changed_on_the_way_counts_for_nobody(browser, store):
    http = browser()
    for changes in ({"state": "x"}, {"state": ""}, {"iss": "https://evil.example"}):
        back = urlsplit(await at_provider(http))
        given = {**dict(parse_qsl(back.query)), **changes}
        refused(await http.get("/login/callback", params=given), store)


async def test_a_code_is_good_once(browser, store):
    http = browser()
    back = await at_provider(http)
    cookie = http.cookies[COOKIE]
    assert (await http.get(back)).status_code == 303
    assert COOKIE not in http.cookies
    http.cookies.clear()
    http.cookies.set(COOKIE, cookie, domain=NAME, path="/login")
    assert (await http.get(back)).status_code == 403
    assert [a["act"] for a in acts(store)].count("logged_in") == 1


async def test_a_way_back_without_a_way_there_leads_nowhere(browser, store):
    http = browser()
    for query in ("", "?code=x", "?state=", "?error=access_denied", "?code=x&state="):
        refused(await http.get(f"/login/callback{query}"), store)


async def test_nobody_is_sent_to_a_foreign_host(browser):
    http = browser()
    for target in ("//evil.example/", "https://evil.example", "/\\evil.example", "javascript:x"):
        assert (await sign_in(http, target)).headers["location"] == "/"


async def test_a_target_forged_in_the_cookie_leads_nowhere_else(browser):
    http = browser()
    back = await at_provider(http)
    secret = http.cookies[COOKIE].partition(".")[0]
    http.cookies.clear()
    http.cookies.set(COOKIE, f"{secret}.Ly9ldmlsLmV4YW1wbGUv", domain=NAME, path="/login")
    assert (await http.get(back)).headers["location"] == "/"


async def test_a_provider_that_is_not_itself_is_not_asked(browser, store, provider):
    http = browser()
    for document in (
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
    ):
        provider.document = document
        refused(await http.get("/login/provider"), store)
    assert set(provider.asked) == {"/.well-known/openid-configuration"}


async def test_a_code_is_not_sent_on_to_elsewhere(browser, store, provider):
    http = browser()
    for status in (302, 307, 308):
        provider.astray = (status, f"{provider.issuer}/elsewhere")
        refused(await sign_in(http), store)
    assert "/elsewhere" not in provider.asked


async def test_a_provider_that_is_away_is_said(browser, dashboard, store):
    http = browser(dashboard(issuer="http://127.0.0.1:9"))
    answer = await http.get("/login/provider")
    refused(answer, store)
    assert "Signing in did not work" in answer.text


async def test_with_a_provider_everybody_logs_in_though_there_is_no_user(browser, store):
    http = browser()
    for path in ("/", "/queue", "/settings"):
        assert (await http.get(path)).status_code == 303
    assert (await http.get("/v1/verdicts")).status_code == 401
    assert store.accounts.users() == ()
