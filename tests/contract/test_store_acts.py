"""Whatever somebody may have to answer for leaves a record in the chain."""

from classifiers.port import Check, Thresholds
from monitor.accounts import Outsider, Role, Token
from monitor.audit import Kind
from monitor.policy_file import parse
from monitor.rulebook import to_toml
from monitor.sealing import ContentKey, Keyring
from monitor.store import Act, Change, Query, Store
from monitor.types import Outcome, Review

AT = "2026-11-21T10:00:00.000Z"
THRESHOLDS = dict.fromkeys(Check, Thresholds(flag=0.5, block=0.9))

CHANGE = Change(
    by="anna", why="false alarms", check="deception", flag=0.6, block=0.9, before="1", after="2"
)


def policy(flag):
    book = parse("", {check: Thresholds(flag=flag, block=0.9) for check in THRESHOLDS})
    return {"policy": to_toml(book), "version": book.version, "created_at": AT}


def review(outcome):
    return Review(
        review_id=outcome.value,
        verdict_id="verdict-1",
        reviewer="anna",
        outcome=outcome,
        note="why",
        created_at=AT,
    )


def token():
    return Token(token_id="t", name="gateway", scopes=frozenset(), created_at=AT, revoked=False)


def outsider(role=None):
    return Outsider(subject="https://idp 1", name="ben", role=role, follows=True)


#: What is done, and what the chain says of it: the kind, and what tells it from others of its kind.
ACTS = [
    ("a policy holds", lambda s, _: s.record_policy(**policy(0.5)), Kind.POLICY, "0.5"),
    ("a threshold changes", lambda s, _: s.record_policy(**policy(0.6)), Kind.POLICY, "0.6"),
    (
        "a lead changes the policy file",
        lambda s, _: s.log.record_change(CHANGE, at=AT),
        Kind.CHANGE,
        "false alarms",
    ),
    ("a response is judged", lambda s, new: s.record_verdict(*new(1)), Kind.VERDICT, "flag"),
    (
        "it is judged again",
        lambda s, new: s.record_verdicts([new(1, verdict_id="again")], run="nightly"),
        Kind.VERDICT,
        "nightly",
    ),
    (
        "a reviewer escalates",
        lambda s, _: s.reviews.record(review(Outcome.ESCALATE), after=0),
        Kind.REVIEW,
        "escalate",
    ),
    (
        "a lead settles it",
        lambda s, _: s.reviews.record(review(Outcome.DISMISS), after=1),
        Kind.REVIEW,
        "dismiss",
    ),
    (
        "retention rules change",
        lambda s, _: s.retention.record_rules(["30d"], at=AT),
        Kind.RETENTION,
        "rules",
    ),
    (
        "texts are encrypted",
        lambda s, _: s.retention.renew(by="anna", at=AT),
        Kind.RETENTION,
        "encrypted",
    ),
    (
        "texts are erased",
        lambda s, _: s.retention.erase(Query(tenant="us"), by="anna", reason="r", at=AT),
        Kind.RETENTION,
        "erased",
    ),
    (
        "a user is added",
        lambda s, _: s.accounts.add_user("anna", Role.ADMIN, "hash", at=AT),
        Kind.ACCOUNT,
        Act.USER_ADDED,
    ),
    (
        "a user logs in",
        lambda s, _: s.accounts.open_session("anna", "0" * 64, at=AT, until="2027"),
        Kind.ACCOUNT,
        Act.LOGGED_IN,
    ),
    (
        "a user logs out",
        lambda s, _: s.accounts.close_session("0" * 64, at=AT),
        Kind.ACCOUNT,
        Act.LOGGED_OUT,
    ),
    (
        "a provider vouches for somebody without a role",
        lambda s, _: s.accounts.sign_in(outsider(), "2" * 64, at=AT, until="2027"),
        Kind.ACCOUNT,
        Act.SIGN_IN_REFUSED,
    ),
    (
        "a list is exported",
        lambda s, _: s.accounts.tell_export("csv", by="anna", chosen="text", at=AT),
        Kind.ACCOUNT,
        Act.EXPORTED,
    ),
    (
        "a password changes",
        lambda s, _: s.accounts.set_password("anna", "other", at=AT),
        Kind.ACCOUNT,
        Act.PASSWORD_CHANGED,
    ),
    (
        "passwords are guessed",
        lambda s, _: s.accounts.tell_locked_out("anna", at=AT),
        Kind.ACCOUNT,
        Act.LOCKED_OUT,
    ),
    (
        "a user is disabled",
        lambda s, _: s.accounts.disable("anna", at=AT),
        Kind.ACCOUNT,
        Act.USER_DISABLED,
    ),
    (
        "a user is enabled",
        lambda s, _: s.accounts.enable("anna", at=AT),
        Kind.ACCOUNT,
        Act.USER_ENABLED,
    ),
    (
        "a token is issued",
        lambda s, _: s.accounts.add_token(token(), "1" * 64),
        Kind.ACCOUNT,
        Act.TOKEN_ISSUED,
    ),
    (
        "a token is revoked",
        lambda s, _: s.accounts.revoke_token("t", at=AT),
        Kind.ACCOUNT,
        Act.TOKEN_REVOKED,
    ),
]


def test_each_act_appends_one_record_that_tells_it(shared_url, sample):
    store = Store.open(shared_url)
    for words, act, kind, mark in ACTS:
        if mark == "encrypted":
            store.keys = Keyring([ContentKey(key_id="k", secret=bytes(32))])
        before = store.newest_seq()
        act(store, sample)
        assert store.newest_seq() == before + 1, words
        (record,) = store.records(start=before + 1)
        assert (record.kind, mark in str(record.body)) == (kind, True), words
    assert store.audit().ok
    store.close()


def test_no_kind_of_record_is_left_out():
    assert {kind for _, _, kind, _ in ACTS} == set(Kind)
    told = {mark for _, _, kind, mark in ACTS if kind is Kind.ACCOUNT}
    assert told | {Act.ROLE_CHANGED} == set(Act)


def test_a_role_that_changed_at_the_provider_is_told_besides_the_sign_in(shared_url):
    store = Store.open(shared_url)
    for number, role in enumerate((Role.VIEWER, Role.LEAD, Role.LEAD)):
        store.accounts.sign_in(outsider(role), str(number) * 64, at=AT, until="2027")
    acts = [record.body["act"] for record in store.records()]
    assert acts == ["user_added", "logged_in", "role_changed", "logged_in", "logged_in"]
    assert store.audit().ok
    store.close()
