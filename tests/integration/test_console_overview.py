"""The overview over HTTP: its numbers are those of what was judged."""

import asyncio
import re
import threading

import httpx2 as httpx
import pytest

from classifiers.errors import ClassifierError
from dashboard.app import create_app
from monitor.health import Health
from monitor.policy import Policy
from monitor.recording import recorder
from monitor.store import Store, StoreUnavailable, counts
from monitor.types import Decision, Disclosure, Usage
from stream.counting import counting
from tests.support import THRESHOLDS, engine, fake, rulebook, trace

PAD = "Some ordinary words that make up a sentence of usual length. "


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


@pytest.fixture
def see(store):
    app = create_app(store=store, judge=engine().judge, policy=rulebook, health=Health({}))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)

    async def get(path="/overview"):
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.get(path)
        assert answer.status_code == 200
        return answer.text

    return get


def tiles(page):
    found = re.findall(r'class="name">(.*?)</p>\s*<p class="value">(.*?)</p>', page, re.DOTALL)
    return {name: re.sub("<.*?>", "", value).strip() for name, value in found}


async def test_an_empty_store_has_an_overview(see):
    page = await see()
    assert tiles(page)["Responses judged"] == "0"
    assert tiles(page)["Flagged"] == "–"
    assert "Nothing was judged in these 7 days." in page
    assert "alarm" not in page


async def test_the_tiles_count_what_was_judged(see, store):
    mind = engine(record=recorder(store))
    for word in ("PLOT", "HINT", "", ""):
        await mind.judge(trace(PAD + word, "Fine.", model="<b>m"))
    hidden = Disclosure(usage=Usage(reasoning_tokens=99))
    await mind.judge(trace("", "Fine.", disclosure=hidden))
    page = await see()
    shown = tiles(page)
    assert shown["Responses judged"] == "5"
    assert (shown["Flagged"], shown["Blocked"]) == ("20.0 %", "20.0 %")
    assert shown["Waiting for a person"] == "2"
    assert shown["Not all seen"] == "1"
    assert "&lt;b&gt;m" in page
    assert "<b>m" not in page
    assert "Some ordinary words" not in page
    assert 'class="bar-of block"' in page


async def test_what_passed_unjudged_is_an_alarm_with_a_link(see, store):
    passing = rulebook(Policy(thresholds=THRESHOLDS, unscored=Decision.ALLOW))
    mind = engine(
        classifier=fake(error=ClassifierError("gone")), rules=passing, record=recorder(store)
    )
    verdict = await mind.judge(trace(PAD, "Fine."))
    page = await see("/overview?span=day")
    assert tiles(page)["Failed open"] == "1"
    assert f'href="/verdicts/{verdict.verdict_id}"' in page


@pytest.mark.parametrize(("span", "bars"), [("day", 24), ("week", 56), ("month", 56)])
async def test_the_table_has_a_row_for_every_bar(see, span, bars):
    page = await see(f"/overview?span={span}")
    table = page.split('aria-label="Numbers over time"')[1].split("</table>")[0]
    assert table.count('<th scope="row">') == bars


async def test_a_span_that_is_none_is_said(store):
    app = create_app(store=store, judge=engine().judge, policy=rulebook, health=Health({}))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.get("/overview?span=year")
    assert (answer.status_code, "Filter not understood" in answer.text) == (422, True)


async def test_a_server_counts_in_the_background(store, monkeypatch):
    monkeypatch.setattr(counts, "PIECE", 2)
    mind = engine(record=recorder(store))
    for _ in range(5):
        await mind.judge(trace(PAD, "Fine."))

    def kept():
        with store.reading() as connection:
            return set(counts.kept(connection))

    async with counting(store, interval=3600, pause=0), asyncio.timeout(60):
        while kept() != {0, 1}:  # noqa: ASYNC110 -- counted in threads
            await asyncio.sleep(0.01)


async def test_counts_that_cannot_be_kept_are_complained_of(store, capsys):
    tried = threading.Event()

    def fold():
        tried.set()
        raise StoreUnavailable

    store.tallies.fold = fold
    async with counting(store, interval=3600):
        assert await asyncio.to_thread(tried.wait, 60)
    said = capsys.readouterr()
    assert "counts_not_kept" in said.out + said.err
