"""Thinking that stands in plain text, between tags or in harmony channels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.dialects.inline import CLOSERS, OPENERS, Splitter
from monitor.types import Channel, Part, coalesce

MARKERS = [
    "<think>",
    "</think>",
    "</thinking>",
    "[THINK]",
    "<|start|>",
    "<|channel|>",
    "<|message|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|constrain|>",
]
TEXT = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *MARKERS,
                "analysis",
                "final",
                "commentary",
                "assistant",
                "to=f",
                " ",
                "x",
                "<",
                "<|",
                "</th",
            ]
        ),
        st.text(max_size=3),
    )
).map("".join)


def split(pieces, **options):
    splitter = Splitter(**options)
    found = [p for piece in pieces for p in splitter.feed(piece)] + splitter.flush()
    return coalesce([Part(channel=p.channel, text=p.text) for p in found])


def told(text, **options):
    return [(p.channel.value[0], p.text) for p in split([text], **options)]


@given(TEXT, st.booleans())
def test_how_the_text_is_cut_changes_nothing(text, starts):
    assert split(list(text), starts_in_thinking=starts) == split([text], starts_in_thinking=starts)


@given(st.text())
def test_text_without_tags_is_an_answer(text):
    if not any(m in text for m in MARKERS):
        assert "".join(p.text for p in split([text])) == text


@pytest.mark.parametrize(("opener", "closer"), list(zip(OPENERS, CLOSERS, strict=True)))
def test_every_pair_of_tags_encloses_thinking(opener, closer):
    assert told(f"a{opener}b{closer}c") == [("a", "a"), ("t", "b"), ("a", "c")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>a", [("t", "a")]),
        ("<think>a<think>b</think>c", [("t", "a<think>b"), ("a", "c")]),
        ("a</think>b", [("a", "a</think>b")]),
        ("<think>a</thinking>b", [("t", "a"), ("a", "b")]),
        ("a < b <thin c", [("a", "a < b <thin c")]),
        ("a<|end|>b", [("a", "a<|end|>b")]),
        ("a<|message|>b", [("a", "a<|message|>b")]),
        ("<|channel|>analysis<|message|>a<|end|>b", [("t", "a"), ("a", "b")]),
        ("<|channel|>analysis<|message|>a</think>b", [("t", "a</think>b")]),
        ("<|start|>assistant<|channel|>final<|message|>a", [("a", "a")]),
        (
            "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>x",
            [("t", "to=functions.f json{}"), ("a", "x")],
        ),
        ("<|start|>assistant to=f<|channel|>commentary<|message|>{}<|call|>", [("t", "to=f{}")]),
        ("<|channel|>commentary<|message|>a", [("a", "a")]),
        ("<|channel|>finale<|message|>a", [("t", "finale"), ("a", "a")]),
        ("<|channel|>a plan nobody sees<|message|>b", [("t", "a plan nobody sees"), ("a", "b")]),
        ("<|channel|>anal", [("t", "anal")]),
    ],
)
def test_odd_texts_lose_nothing(text, expected):
    assert told(text) == expected


def test_a_template_that_opened_the_thinking_is_followed():
    assert told("a</think>b<think>c", starts_in_thinking=True) == [
        ("t", "a"),
        ("a", "b"),
        ("t", "c"),
    ]


@given(TEXT)
def test_no_character_is_lost_but_markers_and_the_white_space_of_headers(text):
    kept = "".join(p.text for p in split([text]))
    for marker in (*MARKERS, *OPENERS, *CLOSERS, "analysis", "final", "commentary", "assistant"):
        text, kept = text.replace(marker, ""), kept.replace(marker, "")
    assert sorted("".join(kept.split())) == sorted("".join(text.split())) or set(text) & set(
        "<>|[]"
    )


def test_what_is_held_back_is_short():
    splitter, given_, found = Splitter(), 0, 0
    for character in "<think>" + "<th" * 50 + "</thinkin" * 50 + "<|channel|>" + "analysi" * 9:
        given_ += 1
        found += sum(len(p.text) for p in splitter.feed(character))
    assert given_ - found < 60


def test_tool_calls_of_harmony_are_tool_calls():
    (part,) = split(["<|channel|>commentary to=f<|message|>rm<|call|>"])
    assert part.channel is Channel.TOOL_CALL
