"""Who may answer next: nobody twice, nobody but a third where two disagree."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.opinions import Opinion, Seconds, left_at, refusal
from monitor.types import Check, Decision, Outcome, Standing

LEADS = frozenset({"lea", "leo"})
PEOPLE = ("anna", "ben", "lea", "leo")
steps = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE),
        st.sampled_from(list(Outcome)),
        st.sampled_from([{}, {Check.DECEPTION: True}, {Check.DECEPTION: False}]),
    ),
    max_size=8,
)


def play(asked, tried):
    """Answer in turn whatever may be answered; gives the history."""
    history = []
    for name, outcome, meaning in tried:
        if refusal(history, name, settles=name in LEADS) is None:
            standing = left_at(history, outcome, meaning, second=asked)
            history.append(
                Opinion(reviewer=name, outcome=outcome, meaning=meaning, standing=standing)
            )
    return history


@given(st.booleans(), steps)
def test_nobody_gives_two_opinions_and_a_third_person_decides(asked, tried):
    history = play(asked, tried)
    for number, opinion in enumerate(history):
        if opinion.standing is Standing.DISPUTE:
            first = history[number - 1]
            assert first.standing is Standing.SECOND
            assert first.reviewer != opinion.reviewer
            for third in history[number + 1 : number + 2]:
                assert third.reviewer in LEADS - {first.reviewer, opinion.reviewer}
    assert [o.standing for o in history].count(Standing.SECOND) <= 1


@given(st.booleans(), steps)
def test_an_answer_is_settled_by_what_it_says_or_not_at_all(asked, tried):
    for opinion in play(asked, tried):
        if opinion.standing.settled:
            assert opinion.standing.value == opinion.outcome.value
        if not opinion.outcome.final:
            assert opinion.standing is Standing.ESCALATE


@given(st.booleans(), steps)
def test_what_more_than_one_person_decided_is_changed_by_leads_alone(asked, tried):
    history = play(asked, tried)
    doubled = False
    for before, after in pairwise(history):
        doubled |= before.standing is Standing.SECOND
        if doubled and before.standing.settled:
            assert after.reviewer in LEADS


@given(st.booleans(), steps)
def test_somebody_can_always_go_on(asked, tried):
    history = play(asked, tried)
    enough = (*PEOPLE, "another lead", "a third lead")
    may = [n for n in enough if refusal(history, n, settles=n in LEADS or "lead" in n) is None]
    assert may


def opinion(outcome, **meaning):
    found = {Check(check): value for check, value in meaning.items()}
    return Opinion(
        reviewer="anna", outcome=Outcome(outcome), meaning=found, standing=Standing.SECOND
    )


@pytest.mark.parametrize(
    ("first", "second", "standing"),
    [
        (opinion("confirm"), opinion("confirm"), Standing.CONFIRM),
        (opinion("confirm"), opinion("dismiss"), Standing.DISPUTE),
        (opinion("dismiss", mismatch=True), opinion("dismiss", deception=True), Standing.DISMISS),
        (opinion("dismiss", mismatch=True), opinion("dismiss", mismatch=False), Standing.DISPUTE),
        (opinion("confirm"), opinion("escalate"), Standing.ESCALATE),
    ],
)
def test_two_agree_when_they_contradict_each_other_about_nothing(first, second, standing):
    assert left_at([first], second.outcome, second.meaning, second=True) is standing


@pytest.mark.parametrize(
    ("words", "asked", "told"),
    [
        ([], 0, "off"),
        (["off"], 0, "off"),
        (["blocks"], 1, "of what was blocked"),
        (["all"], 3, "of all"),
        (["blocks", "50%"], 2, "of what was blocked, of 50 % by chance"),
    ],
)
def test_the_setting_is_read_and_told(words, asked, told):
    found = Seconds.read(words)
    kinds = product((Decision.BLOCK, Decision.FLAG, Decision.FLAG), (0.4, 0.6))
    drawn = [found.ask(decision, draw) for decision, draw in kinds]
    assert sum(drawn) == {0: 0, 1: 2, 2: 4, 3: 6}[asked]
    assert str(found) == told


@pytest.mark.parametrize("word", ["some", "10", "-1%", "101%", "nan%", "%", "1e400%", ""])
def test_any_other_setting_is_refused(word):
    with pytest.raises(ValueError, match=r".*"):
        Seconds.read([word])
