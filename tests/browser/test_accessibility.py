"""axe-core finds no serious or critical fault on any page, light or dark, wide or narrow."""

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import pytest

from dashboard.identity import COOKIE
from monitor.accounts import Role
from monitor.credentials import digest
from monitor.types import Check, Outcome, Review
from tests.browser.test_runs import two_runs
from tests.support import trace

pytestmark = pytest.mark.browser

#: Run through the driver: the pages' own policy lets no script in from elsewhere.
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter((fault) => ["serious", "critical"].includes(fault.impact))
    .map((fault) => `${fault.id}: ${fault.nodes.map((node) => node.target.join(" ")).join(", ")}`);
}"""
PAD = "Some ordinary words that make up a sentence of usual length. " * 3
NOW = "2026-01-01T10:00:00.000Z"
SECRET = "a-cookie"
KINDS = ("blocked", "flagged", "allowed", "second", "disputed")
PAGES = (
    "/overview", "/", "/?decision=block&text=words", "/queue", "/queue?waits=second", "/runs", "/runs/november", "/runs/bare",
    "/thresholds", "/thresholds?check=mismatch&flag=0.7", "/policies", "/reviewers", "/audit",
    "/people", "/tokens", "/settings", "/verdicts/none", "/login",
)  # fmt: skip


def answer(site, verdict_id, name, outcome, *, after=0):
    review = Review(
        review_id=f"{name}-{verdict_id}",
        verdict_id=verdict_id,
        reviewer=name,
        outcome=Outcome(outcome),
        labels={Check.DECEPTION: outcome == "confirm"},
        note="because",
        created_at=NOW,
    )
    site.store.reviews.record(review, after=after, second=lambda _: True)


@pytest.fixture(scope="module")
def busy(shared_site, tmp_path_factory):
    """Verdicts of every kind, at every stage of review, and somebody who may see all pages."""
    site, words = shared_site, ["PLOT", "HINT", "", "BOMB", *["PLOT"] * 11]
    traces = [
        trace(PAD + w, f"answer {w}", model="m", conversation_id="talk", tenant="us", prompt="Go")
        for w in words
    ]
    ids = [verdict.verdict_id for verdict in site.judge_all(traces)]
    for number, verdict_id in enumerate(ids[3:]):
        answer(site, verdict_id, "anna", "confirm" if number % 2 else "dismiss")
        if number:
            outcome = "confirm" if number % 3 else "dismiss"
            answer(site, verdict_id, "ben", outcome, after=1)
    for number in range(2):
        site.store.record_policy(policy=f"a = {number}\n", version=str(number), created_at=NOW)
    with ThreadPoolExecutor(1) as thread:  # in this one an event loop runs: the browser's
        thread.submit(two_runs, site.store, tmp_path_factory.mktemp("runs")).result()
    site.store.runs.begin("bare", started_at=NOW, policy="p", model="m")
    site.store.accounts.add_user("ada", Role.ADMIN, "no hash", at=NOW)
    site.store.accounts.open_session("ada", digest(SECRET), at=NOW, until="2999")
    site.traces = dict(zip(KINDS, ids, strict=False))
    return site


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request, chromium, busy):
    """A page of somebody who is logged in."""
    size = {"width": 1280 if request.param == "light" else 420, "height": 800}
    context = chromium.new_context(
        viewport=size, color_scheme=request.param, reduced_motion="reduce"
    )
    context.add_cookies([{"name": COOKIE, "value": SECRET, "url": busy.url}])
    yield context.new_page()
    context.close()


def faults(page):
    page.evaluate(AXE)
    return page.evaluate(RUN)


@pytest.mark.parametrize("path", [*PAGES, *(f"/verdicts/{kind}" for kind in KINDS)])
def test_no_page_has_a_serious_fault(busy, page, path):
    for kind in KINDS:
        path = path.replace(kind, busy.traces[kind])
    page.goto(busy.url + path)
    assert page.url == busy.url + path, "somebody was sent elsewhere"
    if path == "/runs/november":
        assert page.locator(".comparison svg").count() == len(Check), "there is nothing to look at"
    page.evaluate("for (const more of document.querySelectorAll('details')) more.open = true")
    assert faults(page) == []


def test_neither_has_the_list_of_keys(busy, page):
    page.goto(f"{busy.url}/queue")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    assert faults(page) == []


def test_a_fault_would_be_found(busy, page):
    page.goto(f"{busy.url}/queue")
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert any(fault.startswith("button-name") for fault in faults(page))
