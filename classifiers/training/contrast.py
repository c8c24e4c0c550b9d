"""Pairs made by rule from traces that agree: what is exchanged on one side alone contradicts.

A number, a name, an option or a word with an opposite that premise and claim share is exchanged
for its rival. On one side alone that makes a contradiction; on both, or on neither, they agree. So
neither side alone gives the label, nor how odd a text has become: only the relation does. (The idea
of contrast sets: Gardner et al., 2020, arXiv:2004.02709.)
"""

import random
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from classifiers.port import Pair

#: A word, and what it is exchanged with.
Rivals = tuple[str, str]
#: A word of claim and premise is about the same thing if among so many words on either side
NEAR: Final = 8
#: so many longer ones are the same, or the claim has no more words than this.
ALIKE: Final = 2
SHORT_CLAIM: Final = 6
_EDGES: Final = ".,;:!?()[]{}*\"'\u201c\u201d\u2018\u2019"
_NUMBER: Final = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?![\w%]*\d)")
_NAME: Final = re.compile(r"(?<=[\w,;:] )[A-Z][a-z]{2,}\b")
_OPTION: Final = re.compile(r"\b[Oo]ption ([A-H1-9])\b|(?<![\w'])\(([A-H])\)")
_OPPOSITES: Final = (
    "safe/unsafe yes/no true/false correct/incorrect right/wrong pass/fail passes/fails "
    "passed/failed passing/failing approve/reject approved/rejected accept/refuse "
    "accepted/refused allow/deny allowed/forbidden increase/decrease increased/decreased "
    "increases/decreases higher/lower more/less most/least before/after always/never all/none "
    "enabled/disabled enable/disable include/exclude included/excluded start/stop open/closed "
    "success/failure better/worse best/worst good/bad strong/weak strongest/weakest high/low "
    "large/small larger/smaller first/last early/late earlier/later win/lose "
    "possible/impossible likely/unlikely valid/invalid can/cannot agree/disagree buy/sell "
    "keep/remove positive/negative public/private legal/illegal known/unknown with/without "
    "reliable/unreliable complete/incomplete confirmed/unconfirmed verified/unverified "
    "necessary/unnecessary required/optional supported/unsupported consistent/inconsistent "
    "faster/slower cheaper/dearer up/down inside/outside above/below original/derivative "
    "simple/complex clear/unclear specific/vague healthy/unhealthy fair/unfair "
    "available/unavailable present/absent rising/falling rose/fell won/lost found/missing "
    "innocent/guilty honest/dishonest authorized/unauthorized intact/broken fixed/broken "
    "urgent/routine strict/lenient major/minor many/few everyone/nobody support/oppose "
    "recommend/discourage should/shouldn't is/isn't are/aren't was/wasn't were/weren't "
    "does/doesn't did/didn't has/hasn't have/haven't will/won't would/wouldn't could/couldn't"
)
_RIVALS: Final = {
    word: rival
    for a, b in (pair.split("/") for pair in _OPPOSITES.split())
    for word, rival in ((a, b), (b, a))
}
_WORD: Final = re.compile(r"[a-z]+(?:'t)?")
#: Auxiliaries are everywhere: they are exchanged only where they stand beside the same word.
_AUXILIARY: Final = frozenset(
    word for word in _RIVALS if word.endswith("n't") or _RIVALS[word].endswith("n't")
)


class Question(NamedTuple):
    """A pair of texts and whether they contradict each other."""

    pair: Pair
    mismatch: int


def crossed(pair: Pair, rng: random.Random) -> list[Question]:
    """Two questions that differ in one side only, one of each label; [] if nothing is shared."""
    rivals = [*_numbers(pair, rng), *_names(pair, rng), *_options(pair), *_opposites(pair)]
    rng.shuffle(rivals)
    for one, other in rivals:
        if not _about_the_same(one, pair):
            continue
        edit = _exchange(one, other)
        premises = (pair.premise, edit(pair.premise))
        claims = (pair.claim, edit(pair.claim))
        if premises[0] != premises[1] and claims[0] != claims[1]:
            kept = rng.random() < 0.5
            if rng.random() < 0.5:
                shown = [(premises[kept], claims[kept]), (premises[kept], claims[not kept])]
            else:
                shown = [(premises[kept], claims[kept]), (premises[not kept], claims[kept])]
            return [Question(Pair(p, c), label) for label, (p, c) in enumerate(shown)]
    return []


def _numbers(pair: Pair, rng: random.Random) -> list[Rivals]:
    said, known = _found(_NUMBER, pair.claim), _found(_NUMBER, pair.premise)
    return [(number, _another(number, known, rng)) for number in said if number in known]


def _another(number: str, known: Sequence[str], rng: random.Random) -> str:
    """Another number of the premise, or one that is near."""
    others = [n for n in known if n != number]
    if others and rng.random() < 0.7:
        return rng.choice(others)
    at = rng.randrange(len(number))
    while not number[at].isdigit():
        at = rng.randrange(len(number))
    digit = rng.choice([d for d in "123456789" if d != number[at]])
    return number[:at] + digit + number[at + 1 :]


def _names(pair: Pair, rng: random.Random) -> list[Rivals]:
    said, known = _found(_NAME, pair.claim), _found(_NAME, pair.premise)
    return [
        (name, rng.choice(others))
        for name in said
        if name in known and (others := [n for n in known if n != name])
    ]


def _options(pair: Pair) -> list[Rivals]:
    said, known = _found(_OPTION, pair.claim), _found(_OPTION, pair.premise)
    return [
        (option, next((o for o in known if o != option), chr(ord(option) + 1)))
        for option in said
        if option in known
    ]


def _opposites(pair: Pair) -> list[Rivals]:
    said, known = _words(pair.claim), _words(pair.premise)
    beside = set(_neighbours(said)) & set(_neighbours(known))
    shared = {w for w in said if w in _RIVALS and w in known and w not in _AUXILIARY}
    shared |= {w for couple in beside for w in couple if w in _AUXILIARY}
    return [(word, _RIVALS[word]) for word in sorted(shared)]


def _about_the_same(word: str, pair: Pair) -> bool:
    """Whether the word stands among the same words on both sides, or is telling by itself."""
    if len(pair.claim.split()) <= SHORT_CLAIM or sum(map(str.isdigit, word)) > 1:
        return True
    said, known = _around(word, pair.claim), _around(word, pair.premise)
    return any(len(a & b) >= ALIKE for a in said for b in known)


def _around(word: str, text: str) -> list[set[str]]:
    """The longer words near each place of a word."""
    words = [w.strip(_EDGES).lower() for w in _straight(text).split()]
    return [
        {w for w in words[max(0, i - NEAR) : i + NEAR + 1] if len(w) > 3 and w != word.lower()}
        for i, found in enumerate(words)
        if found == word.lower()
    ]


def _words(text: str) -> list[str]:
    return _WORD.findall(_straight(text).lower())


def _straight(text: str) -> str:
    """One apostrophe for both of them."""
    return text.replace("\u2019", "'")


def _neighbours(words: Sequence[str]) -> list[tuple[str, str]]:
    return list(pairwise(words))


def _found(pattern: re.Pattern[str], text: str) -> list[str]:
    """What a pattern finds, each once, in order."""
    found = (next((g for g in m.groups() if g), m.group()) for m in pattern.finditer(text))
    return list(dict.fromkeys(found))


def _exchange(one: str, other: str) -> Callable[[str], str]:
    """Put each of two words in the other's place, keeping a capital."""
    either = re.compile(
        rf"(?<![\w.,]){_alternatives(one, other)}(?!\w|[.,'\u2019]\w)", re.IGNORECASE
    )

    def replaced(match: re.Match[str]) -> str:
        word = match.group()
        new = other if _straight(word).lower() == one.lower() else one
        return new[0].upper() + new[1:] if word[0].isupper() else new

    return lambda text: either.sub(replaced, text)


def _alternatives(*words: str) -> str:
    escaped = (re.escape(w).replace("'", "['\u2019]") for w in sorted(words, key=len, reverse=True))
    return f"(?:{'|'.join(escaped)})"
