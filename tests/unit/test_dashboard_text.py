"""Text under review is shown exactly, and nothing in it hides, reorders or becomes markup."""

import unicodedata
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.inert import inert, visible
from dashboard.spans import cues, spans

CHARACTERS = st.characters(codec=None, categories=None)
TEXTS = st.text(CHARACTERS, max_size=200)


def hidden():
    kinds = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    for point in range(0x110000):
        char = chr(point)
        if unicodedata.category(char) in kinds and char not in "\n\t\u200d":
            yield char


def test_every_character_without_a_glyph_is_named():
    left = [f"U+{ord(c):04X}" for c in hidden() if c in visible(f"a{c}b")]
    assert left == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("\x1b[31m", "⟨ESC⟩[31m"),
        ("\x00\r\n", "⟨NUL⟩⟨CR⟩\n"),
        ("x" + "\u200b" * 1000, "x⟨U+200B ×1,000⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("a\u200db", "a⟨U+200D⟩b"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("x\ufe0f", "x⟨U+FE0F⟩"),
        ("e\u0301tude", "e\u0301tude"),
        ("e" + "\u0301" * 40, "e\u0301\u0301\u0301\u0301⟨U+0301 ×36⟩"),
        ("plain\ttext\n", "plain\ttext\n"),
    ],
)
def test_hidden_characters_become_visible_and_ordinary_ones_stay(text, shown):
    assert visible(text) == shown


@given(TEXTS)
def test_markup_in_a_text_is_only_ever_a_marker(text):
    html = inert(text)
    rest = html
    while '<span class="mk" title="' in rest:
        before, _, rest = rest.partition('<span class="mk" title="')
        assert not set("<>\"'") & set(before)
        title, _, rest = rest.partition('">')
        assert not set("<>\"'") & set(title)
        code, _, rest = rest.partition("</span>")
        assert not set("<>\"'") & set(code)
    assert not set("<>\"'") & set(rest)
    html.encode("utf-8")


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), max_codepoint=0x10FF)))
def test_readable_text_is_shown_unchanged(text):
    assert unescape(inert(text.replace("\x00", ""))) == visible(text)


def step(start, end, channel="thinking", **scores):
    return {"channel": channel, "start": start, "end": end, **scores}


def evidence(check, start, end, probability=0.9, channel="thinking"):
    where = {"channel": channel, "start": start, "end": end}
    return {"check": check, **where, "probability": probability}


STEPS = st.lists(st.tuples(st.integers(0, 250), st.integers(0, 250)), max_size=12).map(
    lambda pairs: [step(*sorted(pair), deception=0.5) for pair in pairs]
)


@given(TEXTS, STEPS, st.integers(0, 220), st.integers(0, 220))
def test_spans_join_to_exactly_the_window(text, steps, one, other):
    first, last = sorted((min(one, len(text)), min(other, len(text))))
    cut = spans(text, steps, [], first, last)
    assert "".join(s.text for s in cut) == text[first:last]
    assert "".join(s.words + s.tail for s in cut) == text[first:last]
    assert all(s.text == text[s.start : s.end] for s in cut)


def test_a_span_is_a_step_by_code_points_not_bytes_or_utf16():
    text = "\U0001f600 first. \u4e8c second.\n"
    cut = spans(text, [step(0, 9, deception=0.2), step(9, 20, deception=0.97)], [], 0, len(text))
    assert [s.text for s in cut] == ["\U0001f600 first. ", "\u4e8c second.\n"]
    assert [s.tint for s in cut] == [2, 9]
    assert (cut[1].words, cut[1].tail) == ("\u4e8c second.", "\n")


def test_a_step_is_shaded_by_its_highest_score_and_says_all():
    cut = spans("abc", [step(0, 3, deception=0.31, dangerous_reasoning=0.88)], [], 0, 3)
    assert cut[0].tint == 8
    assert cut[0].label == "0–3 · deception 0.31 · danger 0.88"


def test_evidence_is_numbered_as_it_is_read_and_marks_its_step():
    document = {
        "evidence": [
            evidence("mismatch", 0, 4, channel="answer"),
            evidence("deception", 5, 9),
            evidence("dangerous_reasoning", 0, 5),
        ]
    }
    found = cues(document)
    assert [(c.number, c.name) for c in found] == [(1, "Danger"), (2, "Deception"), (3, "Mismatch")]
    thinking = [c for c in found if c.channel == "thinking"]
    cut = spans("one. two.", [step(0, 5, deception=0.9), step(5, 9, deception=0.9)], thinking, 0, 9)
    assert [[c.number for c in s.cues] for s in cut] == [[1], [2]]
