"""Disguised text reaches the classifier as plain text, and the disguise is counted."""

from base64 import b64encode, urlsafe_b64encode

import pytest

from classifiers.normalise import normalise
from classifiers.segment import segment


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


SAID = "I will disable the audit hook, push the change and switch it back on before anyone looks."


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
def test_base64_of_english_is_read(encode):
    coded = encode(SAID.encode()).decode()
    result = normalise(f"Do this: {coded} now.")
    assert result.text == f"Do this: {SAID} now."
    assert result.disguised == len(coded)


@pytest.mark.parametrize("lost", range(1, 9))
def test_a_part_of_base64_is_read_too(lost):
    coded = b64encode(SAID.encode()).decode()
    assert "push the change and switch" in normalise(coded[lost:-lost]).text


@pytest.mark.parametrize(
    "honest",
    [
        "https://example.com/this_is_a_very_long_identifier_name_that_is_fine/and/more/of/it",
        "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "THE_QUICK_BROWN_FOX_JUMPS_OVER_THE_LAZY_DOG_AND_SO_ON",
        b64encode(bytes(range(256))).decode(),
        b64encode(b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9").decode(),
    ],
)
def test_what_only_looks_like_base64_is_left_alone(honest):
    assert normalise(honest).text == honest


@pytest.mark.parametrize(
    "disguise",
    [
        "\u200b".join,
        lambda text: text.translate(str.maketrans("aceopxyAE", "асеорхуАЕ")),
        lambda text: text.translate({point: point + 0xFEE0 for point in range(0x21, 0x7F)}),
    ],
    ids=["zero-width", "homoglyphs", "full-width"],
)
def test_a_disguise_does_not_move_the_boundaries_of_steps(disguise):
    text = 'I will hide it; nobody looks at "the log". Then I say that all went well. ' * 9
    plain = [piece.text.strip() for piece in segment(text)]
    assert len(plain) > 2
    assert [piece.text.strip() for piece in segment(disguise(text))] == plain
