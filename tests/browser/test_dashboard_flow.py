"""A reviewer's work in a real browser: rows arrive by themselves, the keyboard is enough."""

import pytest

from tests.support import trace

pytestmark = pytest.mark.browser

PAD = "Some ordinary words that make up a sentence of usual length. " * 5
ROWS = "document.querySelectorAll('#rows tr').length"


def fill(site, count):
    return site.judge_all([trace(f"{PAD}{i}", f"answer {i}", model="m") for i in range(count)])


def focused_row(page):
    return page.evaluate(
        "document.activeElement.closest('tr')?.querySelector('a.open').textContent"
    )


def go(page, key, arrived):
    page.keyboard.press(key)
    page.wait_for_selector(arrived)
    page.wait_for_load_state()


def test_the_first_decision_replaces_the_empty_page_without_a_reload(site, watched):
    page = watched.page
    page.goto(site.url)
    assert "Nothing judged yet" in page.locator("#empty").inner_text()
    assert "curl -s http://localhost:1/v1/chat" in page.locator("#empty pre").first.inner_text()
    page.evaluate("window.same = true")
    site.judge(trace(PAD + "PLOT", "the first answer"))
    page.wait_for_selector("#rows tr.block")
    assert page.evaluate("window.same")
    assert page.locator("#empty").is_hidden()
    assert "the first answer" in page.locator("#rows tr").inner_text()
    assert page.locator("#tabs .block b").inner_text() == "1"
    assert page.locator("#live").inner_text() == "Live"
    watched.calm()


def test_a_new_row_moves_neither_the_focus_nor_what_is_read(site, watched):
    page = watched.page
    fill(site, 50)
    page.goto(site.url)
    page.wait_for_selector("#live[data-state=on]")
    for _ in range(30):
        page.keyboard.press("j")
    assert focused_row(page) == "answer 20"
    top = page.evaluate("document.activeElement.getBoundingClientRect().top")
    assert page.evaluate("scrollY") > 0
    fill(site, 3)
    watched.until(f"{ROWS} === 53")
    assert focused_row(page) == "answer 20"
    assert abs(page.evaluate("document.activeElement.getBoundingClientRect().top") - top) < 2
    watched.calm()


def test_more_than_one_look_shows_leaves_a_note_in_the_gap(site, watched):
    page = watched.page
    fill(site, 2)
    page.goto(site.url)
    page.wait_for_selector("#live[data-state=on]")
    page.locator("#live").click()
    assert page.locator("#live").inner_text() == "Paused"
    fill(site, 55)
    page.locator("#live").click()
    page.wait_for_selector("#rows tr.gap")
    assert page.evaluate(ROWS) == 2 + 50 + 1
    watched.calm()


def test_a_hidden_tab_does_not_ask(site, watched):
    page = watched.page
    page.goto(site.url)
    page.wait_for_selector("#live[data-state=on]")
    page.evaluate("""() => {
        Object.defineProperty(document, 'hidden', {value: true, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    assert page.locator("#live").inner_text() == "Paused"
    asked = []
    page.on("request", lambda r: asked.append(r.url))
    fill(site, 1)
    page.wait_for_timeout(3000)
    assert asked == []
    page.evaluate("""() => {
        Object.defineProperty(document, 'hidden', {value: false, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    watched.until(f"{ROWS} === 1")
    watched.calm()


def test_a_lost_connection_is_said(site, watched):
    page = watched.page
    page.goto(site.url)
    page.wait_for_selector("#live[data-state=on]")
    page.context.set_offline(True)
    page.wait_for_selector("#live[data-state=lost]")
    page.context.set_offline(False)
    page.wait_for_selector("#live[data-state=on]", timeout=15000)


def test_filters_stay_in_the_address_and_hold_for_live_rows(site, watched):
    page = watched.page
    fill(site, 2)
    page.goto(site.url)
    page.locator("#tabs .block a").click()
    assert page.url.endswith("/?decision=block")
    site.judge(trace(PAD, "fine"))
    site.judge(trace(PAD + "PLOT", "bad"))
    page.wait_for_selector("#rows tr.block")
    assert page.evaluate(ROWS) == 1
    page.locator("select[name=check]").select_option("deception")
    page.wait_for_url("**check=deception**")
    assert "decision=block" in page.url
    watched.calm()


def test_the_keyboard_is_enough(site, watched):
    page = watched.page
    fill(site, 2)
    site.judge(trace(f"{PAD * 3}PLOT. {PAD * 3}", f"{PAD}HINT. ", prompt="What now?"))
    fill(site, 1)
    page.goto(site.url)
    page.wait_for_selector("#live[data-state=on]")
    page.keyboard.press("j")
    page.keyboard.press("j")
    go(page, "Enter", ".verdict.block")
    page.keyboard.press(".")
    assert "PLOT" in page.evaluate("document.activeElement.textContent")
    assert "deception 0.95" in page.locator("#readout").inner_text()
    page.keyboard.press("k")
    assert "PLOT" not in page.evaluate("document.activeElement.textContent")
    page.keyboard.press(".")
    assert "PLOT" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    go(page, "]", ".verdict.allow")
    go(page, "[", ".verdict.block")
    go(page, "u", "#rows")
    watched.until("document.activeElement.closest('tr')?.id === 'v-2'")
    watched.calm()


def test_evidence_links_and_the_chart_lead_to_the_text(site, watched):
    page = watched.page
    verdict = site.judge(trace(PAD * 40 + "PLOT. " + PAD, "Done."))
    page.goto(f"{site.url}/verdicts/{verdict.verdict_id}")
    page.locator(".evidence a").first.click()
    watched.until("document.activeElement.matches('mark.step')")
    assert "PLOT" in page.evaluate("document.activeElement.textContent")
    assert page.locator("svg path.curve").count() == 3
    assert page.locator("svg path.level").count() == 6
    watched.calm()


@pytest.mark.timeout(180)
def test_ten_megabytes_of_thinking_open_in_seconds_and_say_what_is_left_out(site, watched):
    page = watched.page
    verdict = site.judge(trace("x" * 10_000_000, "Done."))
    page.goto(f"{site.url}/verdicts/{verdict.verdict_id}", timeout=20_000)
    assert (
        "characters 0–100,000 of 10,000,000" in page.locator(".thinking .window").first.inner_text()
    )
    page.locator(".thinking .window >> text=Later").first.click()
    assert "100,000–200,000" in page.locator(".thinking .window").first.inner_text()
    watched.calm()
