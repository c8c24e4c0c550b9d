"""Nothing in a text under review runs, loads, or becomes an element, in a real browser."""

import importlib.util
from pathlib import Path

import pytest

from dashboard.inert import visible
from monitor.dialects import trace_from_json
from monitor.types import Channel

pytestmark = pytest.mark.browser

_spec = importlib.util.spec_from_file_location("payloads", Path(__file__).with_name("payloads.py"))
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
PAYLOADS = _module.payloads()
#: Each page carries four payloads, in different places.
PAGES = [PAYLOADS[i : i + 4] for i in range(0, len(PAYLOADS), 4)]
CHUNKS = 4

#: What is in the boxes that show a text, besides text.
INSIDE = "els => [...new Set(els.flatMap(e => [...e.querySelectorAll('*')].map(x => x.tagName)))]"
#: Attributes that could run or load something, anywhere on the page.
ODD = """() => [...document.querySelectorAll('*')].flatMap(e => [...e.attributes].filter(a =>
    /^on/i.test(a.name) || a.name === 'style' || a.name === 'srcdoc' ||
    (/^(href|src|action|ping|xlink:href|data|formaction)$/i.test(a.name)
        && !/^(\\/[^/\\\\]|\\/$|#)/.test(a.value))
).map(a => e.tagName + ' ' + a.name + '=' + a.value))"""
TAGS = "() => [...new Set([...document.querySelectorAll('*')].map(e => e.tagName.toLowerCase()))]"
_LAYOUT = "html head meta title link script body a header main nav footer p section div dialog form"
_CONTENT = (
    "h1 h2 code bdi b kbd span mark time ul ol li dl dt dd pre details summary figure figcaption"
    " fieldset legend textarea"
)
_TABLES = (
    "table thead tbody tr th td svg rect line path text label select option input button output"
)
EXPECTED = {*_LAYOUT.split(), *_CONTENT.split(), *_TABLES.split()}


def attack(*payloads):
    one, two, three, four = (payloads * 4)[:4]
    labels = {"trace_id": two, "model": three, "tenant": four, "conversation_id": one}
    labels |= {"route": two, "requested_model": three}
    parts = [
        {"channel": "thinking", "text": f"{one} PLOT {one}"},
        {"channel": "answer", "text": two},
        {"channel": "tool_call", "text": three},
    ]
    return trace_from_json({**labels, "prompt": four, "parts": parts})


def check_elements(page):
    assert set(page.evaluate(TAGS)) - EXPECTED == set()
    assert page.evaluate(ODD) == []


def test_there_are_enough_payloads():
    assert len(set(PAYLOADS)) >= 500


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_hostile_trace_is_only_text(site, watched, chunk):
    page = watched.page
    for payloads in PAGES[chunk::CHUNKS]:
        trace = attack(*payloads)
        verdict = site.judge(trace)
        page.goto(f"{site.url}/verdicts/{verdict.verdict_id}")
        check_elements(page)
        assert set(page.eval_on_selector_all(".text", INSIDE)) <= {"SPAN", "MARK"}
        for name, text in (("answer", trace.answer), ("tool_call", trace.text(Channel.TOOL_CALL))):
            assert page.eval_on_selector(f".{name} .text", "e => e.textContent") == visible(text)
        watched.calm()


def test_a_list_of_hostile_traces_is_only_text(site, watched):
    page = watched.page
    site.judge_all([attack(payload) for payload in PAYLOADS])
    page.goto(site.url)
    seen = 0
    while True:
        check_elements(page)
        assert set(page.eval_on_selector_all(".what a.open", INSIDE)) <= {"BDI", "SPAN"}
        seen += page.locator("#rows tr").count()
        watched.calm()
        if not page.locator("#older").is_visible():
            break
        page.goto(site.url + page.locator("#older").get_attribute("href"))
    assert seen == len(PAYLOADS)


def test_hostile_rows_that_arrive_live_are_only_text(site, watched):
    page = watched.page
    site.judge(attack("first"))
    page.goto(site.url)
    site.judge_all([attack(payload) for payload in PAYLOADS[:40]])
    watched.until("document.querySelectorAll('#rows tr').length === 41")
    check_elements(page)
    watched.calm()


def test_a_right_to_left_override_does_not_reorder_what_follows(site, watched):
    verdict = site.judge(attack("user \u202etxt.exe"))
    page = watched.page
    page.goto(f"{site.url}/verdicts/{verdict.verdict_id}")
    assert page.locator(".answer .text").inner_text() == "user ⟨U+202E⟩txt.exe"
    assert page.locator(".answer .mk").get_attribute("title") == "1 hidden: right-to-left override"


def test_the_browser_refuses_what_a_template_mistake_would_let_through(site, watched):
    page = watched.page
    page.goto(site.url)
    ran = page.evaluate("""() => {
        const script = document.createElement('script');
        try { script.textContent = 'window.__ran = 1'; document.body.append(script); } catch {}
        try { document.body.innerHTML += '<img src=x onerror="window.__ran = 1">'; } catch {}
        return window.__ran ?? null;
    }""")
    assert ran is None
    assert any("Content Security Policy" in f or "TrustedHTML" in f for f in watched.faults)


def test_no_page_elsewhere_can_post_a_trace(site, chromium):
    context = chromium.new_context()
    page = context.new_page()
    page.route("http://evil.example/", lambda r: r.fulfill(body="<p>x", content_type="text/html"))
    page.goto("http://evil.example/")
    for kind in ("text/plain", "application/json"):
        page.evaluate(
            """([url, kind]) => fetch(url + '/v1/score', {method: 'POST', mode: kind === 'text/plain'
                ? 'no-cors' : 'cors', headers: {'content-type': kind},
                body: '{"thinking": "x"}'}).catch(() => 0)""",
            [site.url, kind],
        )
    assert site.store.newest_seq() == -1
    context.close()
