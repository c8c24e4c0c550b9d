"""Overview, thresholds, policies, audit log, tokens and settings in a real browser."""

import pytest

from monitor.types import Outcome, Review
from tests.support import trace

pytestmark = pytest.mark.browser

PAD = "Some ordinary words that make up a sentence of usual length. "
PAGES = ("/overview", "/thresholds?check=mismatch&flag=0.7", "/policies", "/audit", "/tokens",
         "/settings", "/people")  # fmt: skip
#: What the page draws wider than the window: nothing may be.
TOO_WIDE = "document.documentElement.scrollWidth > innerWidth"


@pytest.fixture
def busy(site):
    """Some verdicts, an answer, and a policy whose words want to run."""
    words = ("PLOT", "HINT", "BOMB", "", "")
    model = "<img src=x onerror=alert(1)>\u202e"
    verdicts = site.judge_all([trace(PAD + w, "Fine.", model=model) for w in words])
    site.store.reviews.record(
        Review(
            review_id="r",
            verdict_id=verdicts[0].verdict_id,
            reviewer="<script>alert(1)</script>",
            outcome=Outcome.CONFIRM,
            created_at="2026-01-01T10:00:00.000Z",
        ),
        after=0,
    )
    for text in ("a = '<script>alert(1)</script>'\n", "a = '\u202e<b>'\n"):
        site.store.record_policy(policy=text, version=text, created_at="2026-01-01T10:00:00.000Z")
    return site


@pytest.mark.parametrize("width", [1280, 420])
def test_every_page_fits_the_window_and_nothing_in_it_runs(busy, watched, width):
    page = watched.page
    page.set_viewport_size({"width": width, "height": 800})
    for path in PAGES:
        page.goto(busy.url + path)
        assert page.locator(".places [aria-current]").count() == 1
        assert not page.evaluate(TOO_WIDE), path
        assert page.locator("main script, main b script, main img").count() == 0
        for summary in page.locator("details > summary").all():
            summary.click()
        assert not page.evaluate(TOO_WIDE), path
    watched.calm()


def test_the_overview_draws_what_was_judged(busy, watched):
    page = watched.page
    page.goto(busy.url)
    page.locator(".places >> text=Overview").click()
    page.wait_for_url("**/overview")
    for kind, height in (("all", 96), ("block", 60)):
        box = page.locator(f"rect.bar-of.{kind}").bounding_box()
        assert box["height"] > height - 10
    page.locator(".tabs >> text=24 hours").click()
    page.wait_for_url("**/overview?span=day")
    page.locator("summary >> text=The numbers").click()
    assert page.locator("section[aria-labelledby=over-time] tbody tr").count() == 24
    page.locator(".tiles a").first.click()
    page.wait_for_url("**/queue")
    watched.calm()


def test_a_threshold_is_tried_and_nothing_is_offered_without_a_file(busy, watched):
    page = watched.page
    page.goto(f"{busy.url}/thresholds")
    assert page.locator(".limit.tried").count() == 0
    page.fill("[name=capacity]", "0.2")
    page.keyboard.press("Enter")
    page.wait_for_url("**capacity=0.2**")
    assert page.locator(".limit.tried").count() == 2
    assert page.locator("[name=flag]").input_value() == "0.601"
    assert "subtext policy show" in page.locator("section.change").inner_text()
    watched.calm()


def test_a_token_is_made_copied_and_revoked(busy, watched):
    page = watched.page
    page.goto(f"{busy.url}/tokens")
    page.fill("[name=name]", "nightly")
    page.check("[name=scope-score]")
    page.keyboard.press("Enter")
    secret = page.locator(".secret").input_value()
    assert secret.startswith("subtext_")
    page.goto(f"{busy.url}/tokens")
    assert secret not in page.content()
    page.locator("button >> text=Revoke").click()
    page.wait_for_selector("td >> text=revoked")
    page.goto(f"{busy.url}/audit?kind=account")
    assert "token_revoked · local" in page.locator("tbody").inner_text()
    watched.calm()
