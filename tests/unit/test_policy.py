"""The policy file says what is done about a score, and nothing can make it say less."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.port import Check, Thresholds
from monitor.errors import PolicyError
from monitor.policy import decide, reach
from monitor.policy_file import parse
from monitor.rulebook import to_toml
from monitor.types import Assessment, Decision, Mode, Status
from tests.support import THRESHOLDS, policy, rulebook

scored = st.builds(
    Assessment,
    check=st.sampled_from(Check),
    status=st.just(Status.SCORED),
    probability=st.floats(0, 1),
)
unscored = st.builds(
    Assessment,
    check=st.sampled_from(Check),
    status=st.just(Status.UNSCORED),
    probability=st.none(),
    reason=st.just("why"),
    absent=st.booleans(),
)
assessments = st.lists(scored | unscored, max_size=6)


@given(assessments, scored | unscored)
def test_more_evidence_never_lowers_a_decision(some, one):
    assert decide(policy(), [*some, one]).decision >= decide(policy(), some or [one]).decision or (
        not some
    )


@given(st.sampled_from(Check), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_never_lowers_a_decision(check, a, b):
    low, high = sorted((a, b))
    assert reach(policy(), check, low) <= reach(policy(), check, high)


def test_nothing_to_decide_on_counts_as_not_judged():
    assert decide(policy(), []).decision is Decision.BLOCK
    ruling = decide(policy(unscored=Decision.ALLOW), [])
    assert ruling.decision is Decision.ALLOW
    assert ruling.failed_open


def test_a_score_that_is_not_a_number_blocks():
    assert reach(policy(), Check.DECEPTION, math.nan) is Decision.BLOCK


def test_a_check_without_thresholds_blocks():
    rules = policy()
    bare = type(rules)(thresholds={})
    assert reach(bare, Check.DECEPTION, 0.0) is Decision.BLOCK


def test_a_scored_assessment_without_a_score_blocks():
    odd = Assessment(check=Check.DECEPTION, status=Status.SCORED, probability=None)
    assert decide(policy(), [odd]).decision is Decision.BLOCK


def test_text_that_is_absent_is_not_a_failure():
    absent = Assessment(
        check=Check.MISMATCH, status=Status.UNSCORED, probability=None, reason="x", absent=True
    )
    ruling = decide(policy(), [absent])
    assert ruling.decision is Decision.ALLOW
    assert not ruling.failed_open


def test_an_empty_file_means_hold_fail_closed_and_calibrated_thresholds():
    rules = parse("", THRESHOLDS).top
    assert rules == policy()
    assert rules.mode is Mode.HOLD
    assert rules.unscored is Decision.BLOCK


thresholds = st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)).map(
    lambda pair: Thresholds(flag=min(pair), block=max(pair))
)


@given(
    st.fixed_dictionaries(dict.fromkeys(Check, thresholds)),
    st.sampled_from(Mode),
    st.sampled_from(Decision),
    st.sampled_from(Decision),
    st.text(min_size=1).filter(str.strip).filter(lambda t: t.isprintable() or "\n" in t),
)
def test_what_is_shown_reads_back_as_the_same_policy(limits, mode, unscored_, absent, refusal):
    try:
        refusal.encode()
    except UnicodeEncodeError:
        return
    rules = policy(mode, unscored=unscored_, absent=absent, refusal=refusal)
    rules = type(rules)(
        thresholds=limits, mode=mode, unscored=unscored_, absent=absent, refusal=refusal
    )
    book = rulebook(rules)
    again = parse(to_toml(book), THRESHOLDS)
    assert again == book
    assert again.version == book.version


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mode = 'hodl'", "observe, hold, buffer"),
        ("mdoe = 'hold'", "Unknown key 'mdoe'"),
        ("mode = [", "not valid TOML"),
        ("unscored = 'pass'", "allow, flag, block"),
        ("unscored = true", "allow, flag, block"),
        ("deadline_seconds = 0", "deadline_seconds"),
        ("deadline_seconds = true", "deadline_seconds"),
        ("deadline_seconds = nan", "deadline_seconds"),
        ("refusal = ' '", "refusal"),
        ("thresholds = 3", "must be a table"),
        ("[thresholds.lies]\nflag = 0.5", "Unknown key 'lies'"),
        ("[thresholds.deception]\nflag = 1.5", "at most 1"),
        ("[thresholds.deception]\nflag = 0", "above 0"),
        ("[thresholds.deception]\nflag = 0.9\nblock = 0.5", "must not be above block"),
        ("[thresholds.deception]\nflg = 0.9", "Unknown key 'flg'"),
        ("[thresholds]\ndeception = 0.5", "must be a table"),
    ],
)
def test_a_policy_that_cannot_be_obeyed_says_why(text, said):
    with pytest.raises(PolicyError, match=said):
        parse(text, THRESHOLDS)
