"""For how long texts are kept is said in a few words."""

from datetime import UTC, datetime

import pytest

from monitor.retention import RetentionError, Rules
from monitor.types import Decision

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_rule_is_about_all_tenants_without_one_of_their_own():
    rules = Rules.read(["30d", "acme=12h", "a=b=2w"])
    found = [(q.until, q.tenant, q.except_tenants) for _, q in rules.due(NOW)]
    assert found == [
        ("2026-10-22T12:00:00.000Z", None, ("acme", "a=b")),
        ("2026-11-21T00:00:00.000Z", "acme", ()),
        ("2026-11-07T12:00:00.000Z", "a=b", ()),
    ]
    assert rules.words == ("30d", "acme=12h", "a=b=2w")


def test_what_was_allowed_can_go_sooner():
    ((keep, query),) = Rules.read([], "90m").due(NOW)
    assert keep.words == "allowed 90m"
    assert (query.decision, query.unscored) == (Decision.ALLOW, False)
    assert query.until == "2026-11-21T10:30:00.000Z"


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1.5d", "30 days", "acme=", "1y"])
def test_what_says_no_length_of_time_is_refused(text):
    with pytest.raises(RetentionError, match="30d"):
        Rules.read([text])


@pytest.mark.parametrize("texts", [["1d", "2d"], ["acme=1d", "acme=2d"]])
def test_two_rules_for_the_same_texts_are_refused(texts):
    with pytest.raises(RetentionError, match="same tenant"):
        Rules.read(texts)
