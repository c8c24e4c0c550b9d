"""A reviewer's day in a real browser: log in, work through the queue by keyboard, log out."""

import pytest

from monitor.accounts import Role
from monitor.credentials import hash_password
from monitor.store import Asker, Query
from monitor.types import Outcome, Review
from tests.support import trace

pytestmark = pytest.mark.browser

PAD = "Some ordinary words that make up a sentence of usual length. "
PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
NOW, MUCH_LATER = "2026-01-01T10:00:00.000Z", "2999-01-01T10:00:00.000Z"


def judge(site, *words):
    traces = [trace(PAD * 3 + word, f"answer {word}", model="m") for word in words]
    return [verdict.verdict_id for verdict in site.judge_all(traces)]


def login(site, watched, name, role=Role.REVIEWER):
    site.store.accounts.add_user(name, role, HASH, at=NOW)
    page = watched.page
    page.goto(f"{site.url}/queue")
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    with page.expect_navigation(url="**/queue"):
        page.keyboard.press("Enter")
    page.wait_for_selector("#rows", state="attached")
    return page


def go(page, key, arrived):
    with page.expect_navigation():
        page.keyboard.press(key)
    page.wait_for_selector(arrived, state="attached")


def outcomes(site, verdict_id):
    return [stored.review.outcome for stored in site.store.reviews.of(verdict_id)]


def focused(page):
    return page.evaluate("document.activeElement.closest('tr')?.querySelector('a.open').innerText")


def test_the_queue_is_worked_through_by_keyboard_alone(site, watched):
    blocked, flagged, _, dangerous = judge(site, "PLOT", "HINT", "", "BOMB")
    page = login(site, watched, "anna")
    assert page.locator("#count").inner_text() == "3 waiting"
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert focused(page) == "answer BOMB"
    page.keyboard.press("k")
    go(page, "Enter", "#answer")
    assert "You are at it" in page.locator("#review").inner_text()
    assert site.store.reviews.claimed(blocked, NOW).reviewer == "anna"
    page.keyboard.press("1")
    page.keyboard.press("3")
    page.keyboard.press("3")
    page.keyboard.press("n")
    page.keyboard.type("dice, said <b>")
    page.keyboard.press("Escape")
    go(page, "c", "#answer")
    (found,) = site.store.reviews.of(blocked)
    assert found.review.reviewer == "anna"
    assert found.review.note == "dice, said <b>"
    assert {check.value: yes for check, yes in found.review.labels.items()} == {
        "deception": True,
        "mismatch": False,
    }
    assert dangerous in page.url
    go(page, "e", "#answer")
    assert flagged in page.url
    page.keyboard.press("?")
    assert "Confirm, dismiss, escalate" in page.locator("#help").inner_text()
    page.keyboard.press("Escape")
    go(page, "d", "#rows")
    assert outcomes(site, dangerous) == [Outcome.ESCALATE]
    assert outcomes(site, flagged) == [Outcome.DISMISS]
    assert site.store.audit().ok
    watched.calm()


def test_take_look_and_release_have_keys(site, watched):
    (verdict_id,) = judge(site, "PLOT")
    page = login(site, watched, "anna")
    page.keyboard.press("j")
    go(page, "o", "#answer")
    assert "Nobody is at it" in page.locator("#review").inner_text()
    go(page, "t", "#answer")
    assert site.store.reviews.claimed(verdict_id, NOW).reviewer == "anna"
    go(page, "r", "#rows")
    assert site.store.reviews.claimed(verdict_id, NOW) is None
    go(page, "s", "#answer")
    assert verdict_id in page.url
    go(page, "u", "#rows")
    assert page.locator(".take").inner_text() == "Go on"
    watched.calm()


def test_the_queue_follows_what_others_do_and_keeps_the_focus(site, watched):
    first, second, third = judge(site, "PLOT", "BOMB", "HINT")
    page = login(site, watched, "anna")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert focused(page) == "answer BOMB"
    ben = Asker(name="ben", settles=False, now=NOW)
    site.store.reviews.claim(third, ben, until=MUCH_LATER)
    page.wait_for_selector(".claim >> text=ben")
    review = Review(
        review_id="r", verdict_id=first, reviewer="ben", outcome=Outcome.CONFIRM, created_at=NOW
    )
    site.store.reviews.record(review, after=0)
    watched.until("document.querySelectorAll('#rows tr').length === 2")
    assert focused(page) == "answer BOMB"
    judge(site, "LIAR PLOT")
    watched.until("document.getElementById('count').textContent.trim() === '3 waiting'")
    assert focused(page) == "answer BOMB"
    assert site.store.reviews.queue(ben, Query()).total == 3
    assert second != third
    watched.calm()


def test_an_empty_queue_fills_by_itself(site, watched):
    page = login(site, watched, "anna")
    assert "Nothing waits" in page.locator("#empty").inner_text()
    judge(site, "PLOT")
    page.wait_for_selector("#rows tr.block")
    assert page.locator("#empty").is_hidden()
    watched.calm()


def test_filters_of_the_queue_are_in_its_address(site, watched):
    judge(site, "PLOT", "HINT")
    page = login(site, watched, "anna")
    page.locator(".tabs >> text=Flagged").click()
    page.wait_for_url("**/queue?decision=flag")
    assert page.locator("#rows tr").count() == 1
    page.locator("select[name=check]").select_option("deception")
    page.wait_for_url("**check=deception**")
    assert "decision=flag" in page.url
    watched.calm()


def test_whoever_logs_out_is_out_also_in_other_tabs(site, watched):
    judge(site, "PLOT")
    page = login(site, watched, "anna")
    tab = page.context.new_page()
    tab.goto(site.url)
    page.locator(".who button").click()
    page.wait_for_selector("[name=password]")
    tab.wait_for_selector("[name=password]")
    # The page that asked by itself was told 401, which browsers report.
    assert [f for f in watched.faults if "401" not in f] == []


def test_a_wrong_password_is_said_and_read_out(site, watched):
    site.store.accounts.add_user("anna", Role.VIEWER, HASH, at=NOW)
    page = watched.page
    page.goto(f"{site.url}/queue?decision=flag")
    page.fill("[name=name]", "anna")
    page.fill("[name=password]", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    page.fill("[name=name]", "anna")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/queue?decision=flag")
    assert [f for f in watched.faults if "403" not in f] == []


def test_without_users_nobody_logs_in_and_answers_are_local(site, watched):
    (verdict_id,) = judge(site, "PLOT")
    page = watched.page
    page.goto(f"{site.url}/verdicts/{verdict_id}")
    go(page, "c", ".history")
    assert "local" in page.locator(".history").inner_text()
    assert page.locator(".who").count() == 0
    page.goto(site.url)
    assert "Confirmed" in page.locator("#rows tr").inner_text()
    watched.calm()
