"""Who may come in is kept without secrets, and every change of it is in the chain."""

import pytest

from monitor.accounts import Right, Role, Scope, Token, User, is_name
from monitor.audit import Kind
from monitor.credentials import digest, hash_password, matches, new_secret, new_token
from monitor.store import Conflict, CorruptContent

NOW, LATER, MUCH_LATER = "2026-01-01T10", "2026-01-01T22", "2026-01-02T10"
HASH = hash_password("correct horse")


@pytest.fixture
def accounts(store):
    store.accounts.add_user("anna", Role.REVIEWER, HASH, at=NOW)
    return store.accounts


def acts(store):
    return [record.body for record in store.records() if record.kind == Kind.ACCOUNT]


def test_the_first_user_closes_the_door(store):
    assert not store.accounts.anyone()
    store.accounts.add_user("anna", Role.VIEWER, HASH, at=NOW)
    assert store.accounts.anyone()
    store.accounts.disable("anna", at=NOW)
    assert store.accounts.anyone()
    assert store.accounts.users() == (
        User(name="anna", role=Role.VIEWER, disabled=True, created_at=NOW),
    )


def test_every_change_is_chained_without_secrets(store, accounts):
    secret = new_token("01ab")
    accounts.open_session("anna", digest(secret), at=NOW, until=LATER)
    accounts.tell_locked_out("anna", at=NOW)
    accounts.tell_locked_out("nobody", at=NOW)
    accounts.set_password("anna", HASH, at=NOW)
    accounts.disable("anna", at=NOW)
    accounts.enable("anna", at=NOW)
    accounts.add_token(a_token(), digest(secret))
    accounts.revoke_token("01ab", at=NOW)
    assert [body["act"] for body in acts(store)] == [
        "user_added",
        "logged_in",
        "locked_out",
        "password_changed",
        "user_disabled",
        "user_enabled",
        "token_issued",
        "token_revoked",
    ]
    chain = str(acts(store))
    assert not [word for word in (secret, digest(secret), HASH) if word in chain]
    assert store.audit().ok


def test_a_name_is_given_once(accounts):
    with pytest.raises(Conflict, match="already"):
        accounts.add_user("anna", Role.ADMIN, HASH, at=NOW)
    assert [user.role for user in accounts.users()] == [Role.REVIEWER]


def test_what_does_not_exist_cannot_be_changed(store, accounts):
    before = store.newest_seq()
    for act in (
        lambda: accounts.set_password("ben", HASH, at=NOW),
        lambda: accounts.disable("ben", at=NOW),
        lambda: accounts.open_session("ben", "x" * 64, at=NOW, until=LATER),
        lambda: accounts.revoke_token("nope", at=NOW),
    ):
        with pytest.raises(Conflict):
            act()
    assert store.newest_seq() == before


def test_a_session_ends_by_time_logout_password_and_disabling(accounts):
    def opened():
        secret = digest(new_secret())
        accounts.open_session("anna", secret, at=NOW, until=LATER)
        assert accounts.session(secret, now=NOW).name == "anna"
        return secret

    secret = opened()
    assert accounts.session(secret, now=LATER) is None
    accounts.close_session(secret, at=NOW)
    assert accounts.session(secret, now=NOW) is None
    for end in (
        lambda: accounts.set_password("anna", HASH, at=NOW),
        lambda: accounts.disable("anna", at=NOW),
    ):
        secret = opened()
        end()
        assert accounts.session(secret, now=NOW) is None
    assert accounts.password_hash("anna") is None
    with pytest.raises(Conflict, match="may not log in"):
        accounts.open_session("anna", "x" * 64, at=NOW, until=LATER)
    accounts.enable("anna", at=NOW)
    opened()


def a_token(**changes):
    given = {"token_id": "01ab", "name": "nightly", "scopes": frozenset({Scope.SCORE})}
    return Token(**{**given, "created_at": NOW, "revoked": False, **changes})


def test_a_token_is_known_by_its_secret_until_it_is_revoked(store):
    accounts, secret = store.accounts, new_token("01ab")
    accounts.add_token(a_token(), digest(secret))
    assert accounts.token(digest(secret)) == a_token()
    assert accounts.token(digest(secret + "x")) is None
    accounts.revoke_token("01ab", at=LATER)
    assert accounts.token(digest(secret)) is None
    assert accounts.tokens() == (a_token(revoked=True),)
    with pytest.raises(Conflict, match="valid"):
        accounts.revoke_token("01ab", at=LATER)


def test_a_role_that_nobody_writes_lets_nobody_in(accounts):
    with accounts._turns.writing() as connection:
        connection.exec_driver_sql("UPDATE users SET role = 'god'")
    with pytest.raises(CorruptContent):
        accounts.users()


def test_each_role_has_the_rights_of_the_one_before():
    assert [len(role.rights) for role in Role] == [1, 2, 3, 4]
    assert Role.VIEWER.rights == {Right.READ}
    assert Role.ADMIN.rights == set(Right)
    for lower, higher in zip(Role, list(Role)[1:], strict=False):
        assert lower.rights < higher.rights


@pytest.mark.parametrize("name", ["", "local", "Anna", "a b", "-a", "a" * 65, "a\n", "ä", "<b>"])
def test_names_that_could_be_taken_for_something_else_are_refused(name):
    assert not is_name(name)


def test_passwords_are_known_again_and_only_those():
    assert matches(HASH, "correct horse")
    assert not matches(HASH, "Correct horse")
    assert not matches(None, "correct horse")
    assert not matches("not a hash", "correct horse")
    assert "correct" not in HASH
    assert hash_password("correct horse") != HASH
