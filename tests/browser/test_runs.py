"""Runs of re-scoring in a real browser: listed, and opened as the report that the command wrote."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from classifiers.port import Check, Thresholds
from stream.rescore import compare
from tests import support
from tests.browser.payloads import payloads
from tests.rescoring import rescore, write_logs

pytestmark = pytest.mark.browser

NOW = "2026-01-01T10:00:00.000Z"
STRICT = support.rulebook(
    replace(support.policy(), thresholds={c: Thresholds(flag=0.3, block=0.55) for c in Check})
)


@pytest.fixture
def runs(site, tmp_path):
    """Two runs in the store of the site; the second was compared with the first."""
    with ThreadPoolExecutor(1) as thread:  # in this one an event loop runs: the browser's
        return thread.submit(two_runs, site.store, tmp_path).result()


def two_runs(store, folder):
    """Judge logs twice, the second time by a stricter policy; return what that changed."""
    inputs = [folder / "a.jsonl"]
    write_logs(*inputs, 60)
    rescore(inputs, folder / "first", run="october")
    rescore(inputs, folder / "second", run="november", rules=STRICT, store=store)
    found = compare.pair(folder / "second", folder / "first").compare()
    store.runs.compared("november", found)
    return found


def test_a_run_is_listed_and_opens_the_report(site, watched, runs):
    page = watched.page
    page.goto(f"{site.url}/runs")
    assert page.locator("table.runs tbody tr").count() == 1
    page.get_by_role("link", name="november").click()
    page.wait_for_selector("h1 >> text=against")
    text = page.locator("main").inner_text()
    assert f"{runs.traces} traces on both sides, {runs.flipped} with another decision" in text
    assert page.locator(".comparison svg").count() == len(Check)
    widths = "[...document.querySelectorAll('.comparison rect')].map(r => r.getBBox().height)"
    assert min(page.evaluate(widths)) > 0
    assert page.evaluate("getComputedStyle(document.querySelector('rect.now')).fill") != (
        "rgb(0, 0, 0)"
    )
    flip = page.locator(".comparison table").last.locator("tbody tr").first
    assert any(word in flip.inner_text() for word in ("HINT", "PLOT", "BOMB", "LIAR"))
    flip.locator("a").click()
    page.wait_for_url("**/verdicts/*")
    assert "Blocked" in page.locator("main").inner_text()
    watched.calm()


def test_hostile_names_of_runs_are_inert(site, watched):
    page, names = watched.page, payloads()[::20]
    for name in names:
        site.store.runs.begin(name, started_at=NOW, policy=name, model=name)
    page.goto(f"{site.url}/runs")
    for place in range(len(names)):
        page.locator("table.runs tbody a").nth(place).click()
        page.wait_for_selector("text=Compared with nothing yet")
        page.go_back()
    watched.calm()
