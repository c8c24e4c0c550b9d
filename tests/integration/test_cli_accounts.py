"""`subtext user` and `subtext token`: who gets in is decided where the database is."""

import pytest
from typer.testing import CliRunner

from monitor.accounts import Role, Scope
from monitor.credentials import digest, matches
from monitor.store import Store
from stream.cli import app

PASSWORD = "correct horse battery"


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/audit.db"


@pytest.fixture
def run(database):
    def command(*words, given=None):
        return CliRunner().invoke(app, [*words, "--database", database], input=given)

    return command


@pytest.fixture
def opened(database):
    store = Store.open(database)
    yield store
    store.close()


def add(run, name="anna", *options, given=f"{PASSWORD}\n"):
    return run("user", "add", name, "--password-stdin", *options, given=given)


def test_the_first_user_is_told_what_changes(run, opened):
    first = add(run, "anna", "--role", "lead")
    assert (first.exit_code, "asks everybody to log in" in first.stdout) == (0, True)
    assert "asks everybody" not in add(run, "ben").stdout
    assert [(u.name, u.role) for u in opened.accounts.users()] == [
        ("anna", Role.LEAD),
        ("ben", Role.REVIEWER),
    ]
    assert matches(opened.accounts.password_hash("anna"), PASSWORD)
    listed = run("user", "list").stdout
    assert "anna" in listed
    assert "lead" in listed


def test_the_password_can_be_typed_and_is_not_shown(run, opened):
    typed = run("user", "add", "anna", given=f"{PASSWORD}\n{PASSWORD}\n")
    assert typed.exit_code == 0
    assert PASSWORD not in typed.output
    assert matches(opened.accounts.password_hash("anna"), PASSWORD)
    assert PASSWORD not in str(list(opened.records()))


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("Anna", PASSWORD, "lower case"),
        ("local", PASSWORD, "is not `local`"),
        ("anna", "short", "10 to 1024"),
        ("anna", "", "10 to 1024"),
        ("anna", "x" * 1025, "10 to 1024"),
    ],
)
def test_what_cannot_be_a_user_is_refused_with_the_reason(run, opened, name, given, said):
    refused = add(run, name, given=f"{given}\n")
    assert refused.exit_code == 64
    assert said in refused.stderr.replace("\n", " ")
    assert not opened.accounts.anyone()


def test_a_user_is_disabled_enabled_and_given_another_password(run, opened):
    add(run)
    assert run("user", "disable", "anna").exit_code == 0
    assert opened.accounts.password_hash("anna") is None
    assert "disabled" in run("user", "list").stdout
    assert run("user", "enable", "anna").exit_code == 0
    run("user", "password", "anna", "--password-stdin", given="another password\n")
    assert matches(opened.accounts.password_hash("anna"), "another password")
    unknown = run("user", "disable", "ben")
    assert (unknown.exit_code, "no user ben" in unknown.stderr) == (64, True)
    assert "already" in add(run).stderr


def test_a_token_is_printed_once_and_revoked_by_its_id(run, opened):
    made = run("token", "add", "nightly", "--scope", "score", "--scope", "verdicts")
    secret = made.stdout.strip()
    assert "until one does" in made.stderr
    found = opened.accounts.token(digest(secret))
    assert (found.name, found.scopes) == ("nightly", set(Scope))
    listed = run("token", "list").stdout
    assert found.token_id in listed
    assert secret not in listed
    assert run("token", "revoke", found.token_id).exit_code == 0
    assert opened.accounts.token(digest(secret)) is None
    assert run("token", "revoke", found.token_id).exit_code == 64
    assert secret not in str(list(opened.records()))


def test_looking_makes_no_database(run, tmp_path):
    for words in (["user", "list"], ["token", "list"], ["user", "disable", "anna"]):
        assert run(*words).exit_code == 64
    assert not list(tmp_path.iterdir())


def test_a_public_address_is_served_only_with_a_user_who_can_log_in(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["serve", "--demo", "--dashboard-host", "0.0.0.0", "--model", "/nowhere"]
    assert "no user who could log in" in run(*words).stderr
    add(run)
    assert "The model was refused" in run(*words).stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--oidc-client-id", "x"], "go with --oidc-issuer"),
        (["--oidc-issuer", "https://idp.example"], "needs --oidc-client-id and --dashboard-url"),
        (["--oidc-issuer", "http://idp.example", *["--oidc-client-id", "x"]], "https://"),
        (["--oidc-issuer", "https://idp.example", *["--oidc-client-id", "x"]], "Nobody would"),
        (
            ["--oidc-issuer", "https://i.example", *["--oidc-client-id", "x", "--oidc-role", "a"]],
            "GROUP=",
        ),
        (["--second-review", "some"], "--second-review: say off, blocks, all"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_before_anything_starts(options, told, tmp_path):
    address = ["--dashboard-url", "https://monitor.example"] if "x" in options[3:] else []
    start = ["serve", "--demo", "--database", f"sqlite:///{tmp_path}/audit.db"]
    result = CliRunner().invoke(app, [*start, *options, *address])
    assert (result.exit_code, told in result.output) == (64, True), result.output
    assert not list(tmp_path.iterdir())
