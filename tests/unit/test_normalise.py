"""Disguised text reaches the classifier as plain text, and the disguise is counted."""

import pytest

from classifiers.normalise import normalise


@pytest.mark.parametrize(
    ("disguise", "plain", "count"),
    [
        ("b\u200bo\u200dm\ufeffb", "bomb", 3),
        ("se\u00adcret", "secret", 1),
        ("\u202etxet\u202c", "txet", 2),
        ("a\u2066b\u2069", "ab", 2),
        ("".join(chr(0xE0000 + ord(c)) for c in "kill"), "kill", 4),
        ("".join(chr(0xE0100 + ord(c) - 16) for c in "kill"), "kill", 4),
        ("ｂｏｍｂ", "bomb", 4),
        ("𝐛𝐨𝐦𝐛", "bomb", 4),
        ("ⓑⓞⓜⓑ", "bomb", 4),
        ("bоmb", "bomb", 1),
        ("dесеive", "deceive", 3),
        ("Βomb", "Bomb", 1),
        ("a\x00b\x1bc", "abc", 2),
        ("ﬁre", "fire", 0),
    ],
)
def test_a_disguise_is_undone_and_counted(disguise, plain, count):
    result = normalise(disguise)
    assert result.text == plain
    assert result.disguised == count


@pytest.mark.parametrize(
    "honest",
    [
        "Hello, world.\n\tok",
        "Как дела?",
        "Γειά σου Κόσμε",
        "中文,没问题!",
        "👨\u200d👩\u200d👧 ok ❤️",
        "naïve café",
    ],
)
def test_honest_writing_is_not_called_a_disguise(honest):
    assert normalise(honest).disguised == 0


def test_lone_surrogates_do_not_break_anything():
    assert normalise("a\ud800b").text == "a\ufffdb"
