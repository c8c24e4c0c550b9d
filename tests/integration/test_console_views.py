"""Saved views: one's own, made of filters that we know, leading nowhere else."""

import re

import httpx2 as httpx
import pytest

from dashboard.app import create_app
from dashboard.identity import COOKIE
from monitor.accounts import Role
from monitor.credentials import digest
from monitor.health import Health
from monitor.store import Store, View
from monitor.store.views import MAX_VIEWS
from tests.support import engine, rulebook


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    for name in ("anna", "ben"):
        opened.accounts.add_user(name, Role.VIEWER, "no password", at="2026")
        opened.accounts.open_session(name, digest(f"of-{name}"), at="2026", until="2999")
    yield opened
    opened.close()


class Person:
    def __init__(self, store, name):
        app = create_app(store=store, judge=engine().judge, policy=rulebook, health=Health({}))
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        cookies = {COOKIE: f"of-{name}"}
        base = "http://localhost"
        self.http = httpx.AsyncClient(transport=transport, base_url=base, cookies=cookies)

    async def see(self, path):
        page = (await self.http.get(path)).text
        form = page.split('class="save"')[1]
        self.fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
        self.fields["query"] = self.fields["query"].replace("&amp;", "&")
        return page

    async def post(self, path, **fields):
        return await self.http.post(path, data={**self.fields, **fields})


@pytest.fixture
def anna(store):
    return Person(store, "anna")


@pytest.mark.parametrize("place", ["/", "/queue"])
async def test_a_view_is_saved_shown_and_removed(anna, store, place):
    await anna.see(f"{place}?decision=block&check=deception&before=7&evil=1")
    saved = await anna.post("/views", name=" <b>Mine ")
    wanted = f"{place}?decision=block&check=deception"
    assert (saved.status_code, saved.headers["location"]) == (303, wanted)
    assert store.views.of("anna") == (View(name="<b>Mine", address=wanted),)
    page = await anna.see("/")
    assert f'<a href="{wanted.replace("&", "&amp;")}"><bdi>&lt;b&gt;Mine</bdi></a>' in page
    ben = Person(store, "ben")
    assert "Mine" not in await ben.see("/")
    await ben.post("/views/remove", name="<b>Mine")
    assert len(store.views.of("anna")) == 1
    gone = await anna.post("/views/remove", name="<b>Mine", place=place)
    assert (gone.status_code, gone.headers["location"]) == (303, place)
    assert store.views.of("anna") == ()


async def test_the_same_name_is_saved_over(anna, store):
    for query in ("decision=block", "decision=flag"):
        await anna.see(f"/?{query}")
        await anna.post("/views", name="Mine")
    assert store.views.of("anna") == (View(name="Mine", address="/?decision=flag"),)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 41},
        {"name": "a\x1b[31m"},
        {"place": "//evil.example"},
        {"place": "/audit"},
        {"query": "decision=maybe"},
        {"query": "&".join(f"a{n}=1" for n in range(99))},
    ],
)
async def test_what_is_no_view_is_not_saved(anna, store, wrong):
    await anna.see("/")
    assert (await anna.post("/views", **{"name": "Mine", **wrong})).status_code == 422
    assert store.views.of("anna") == ()
    left = await anna.post("/views/remove", name="none", place="//evil.example")
    assert left.headers["location"] == "/"


async def test_views_are_bounded(anna, store):
    for number in range(MAX_VIEWS):
        store.views.save("anna", View(name=str(number), address="/"))
    await anna.see("/")
    assert (await anna.post("/views", name="one more")).status_code == 409
    assert (await anna.post("/views", name="7")).status_code == 303
    assert len(store.views.of("anna")) == MAX_VIEWS
