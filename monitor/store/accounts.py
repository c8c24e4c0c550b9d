"""Users, sessions and tokens. Whatever changes who may do what is in the chain, without secrets."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, delete, insert, select, update

from monitor.accounts import Outsider, Role, Scope, Token, User
from monitor.audit import Kind
from monitor.store import chain
from monitor.store.errors import Conflict, CorruptContent
from monitor.store.reviews import Turns
from monitor.store.schema import sessions, tokens, users

Word = TypeVar("Word", bound=StrEnum)


class Act(StrEnum):
    """What a record of kind `account` tells."""

    USER_ADDED = "user_added"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 (the name of an act)
    #: By a provider of identities, whose word on groups changed.
    ROLE_CHANGED = "role_changed"
    LOGGED_IN = "logged_in"
    LOGGED_OUT = "logged_out"
    #: A provider vouches for somebody who is not let in here.
    SIGN_IN_REFUSED = "sign_in_refused"
    #: Too many wrong passwords in a row.
    LOCKED_OUT = "locked_out"
    #: Words of traces left as a file.
    EXPORTED = "exported"
    TOKEN_ISSUED = "token_issued"  # noqa: S105
    TOKEN_REVOKED = "token_revoked"  # noqa: S105


class Accounts:
    """Who may come in. All methods block and may be called from any thread.

    Users and tokens are never deleted, so that what they did stays explained. `at` is the time of
    an act, `secret_sha256` what `monitor.credentials.digest` gives of a cookie or a token.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._anyone = False

    def shut(self) -> None:
        """Have everybody log in from now on, also while there is no user."""
        self._anyone = True

    def anyone(self) -> bool:
        """Tell whether everybody has to log in: once there is a user, or after `shut`."""
        if not self._anyone:
            with self._turns.reading() as connection:
                self._anyone = connection.execute(select(users.c.name).limit(1)).first() is not None
        return self._anyone

    def add_user(self, name: str, role: Role, password_hash: str, *, at: str) -> None:
        """Add a user; Conflict when there is one of this name."""
        row = {"name": name, "role": role.value, "created_at": at, "disabled": False}
        with self._turns.writing() as connection:
            if _user(connection, name) is not None:
                raise Conflict(f"there is a user {name} already")
            connection.execute(insert(users), {**row, "password_hash": password_hash})
            _tell(connection, Act.USER_ADDED, at, user=name, role=role.value)

    def users(self) -> tuple[User, ...]:
        """Return all users by name."""
        with self._turns.reading() as connection:
            found = connection.execute(select(users).order_by(users.c.name))
            return tuple(map(_user_of, found))

    def password_hash(self, name: str) -> str | None:
        """Return what is stored of a user's password; None for who may not log in."""
        wanted = select(users.c.password_hash).where(users.c.name == name, ~users.c.disabled)
        with self._turns.reading() as connection:
            return connection.execute(wanted).scalar_one_or_none() or None

    def set_password(self, name: str, password_hash: str, *, at: str) -> None:
        """Change a password, which ends the user's sessions; Conflict without such a user."""
        self._change(name, Act.PASSWORD_CHANGED, at, password_hash=password_hash)

    def disable(self, name: str, *, at: str) -> None:
        """Let a user in no more; Conflict without such a user."""
        self._change(name, Act.USER_DISABLED, at, disabled=True)

    def enable(self, name: str, *, at: str) -> None:
        """Let a disabled user in again; Conflict without such a user."""
        self._change(name, Act.USER_ENABLED, at, disabled=False)

    def tell_locked_out(self, name: str, *, at: str) -> None:
        """Record that somebody tried too many passwords; nothing for a name that nobody has."""
        with self._turns.writing() as connection:
            if _user(connection, name) is not None:
                _tell(connection, Act.LOCKED_OUT, at, user=name)

    def tell_export(self, what: str, *, by: str, chosen: str, at: str) -> None:
        """Record that somebody takes words of traces away, before they have them.

        `chosen` names the filters, without their values: those may quote a trace.
        """
        with self._turns.writing() as connection:
            _tell(connection, Act.EXPORTED, at, name=what, by=by, chosen=chosen)

    def open_session(self, name: str, secret_sha256: str, *, at: str, until: str) -> None:
        """Begin a session; Conflict when the user may not log in (any more)."""
        row = {"secret_sha256": secret_sha256, "name": name, "expires_at": until}
        with self._turns.writing() as connection:
            user = _user(connection, name)
            if user is None or user.disabled:
                raise Conflict("this user may not log in")
            connection.execute(delete(sessions).where(sessions.c.expires_at <= at))
            connection.execute(insert(sessions), row)
            _tell(connection, Act.LOGGED_IN, at, user=name)

    def sign_in(self, who: Outsider, secret_sha256: str, *, at: str, until: str) -> str | None:
        """Begin a session of somebody whom a provider vouches for, as a user from then on.

        Returns why they are not let in, which is recorded too; None when they are.
        """
        with self._turns.writing() as connection:
            user = _by_subject(connection, who.subject)
            reason = _reason(connection, user, who)
            if reason is not None:
                told = {"subject": who.subject, "name": who.name, "reason": reason}
                _tell(connection, Act.SIGN_IN_REFUSED, at, **told)
                return reason
            name = who.name if user is None else user.name
            if user is None:
                _admit(connection, who, at)
            elif who.follows and who.role is not user.role and who.role is not None:
                _promote(connection, name, who.role, at)
            connection.execute(delete(sessions).where(sessions.c.expires_at <= at))
            row = {"secret_sha256": secret_sha256, "name": name, "expires_at": until}
            connection.execute(insert(sessions), row)
            _tell(connection, Act.LOGGED_IN, at, user=name, by="provider")
        return None

    def session(self, secret_sha256: str, *, now: str) -> User | None:
        """Return whose session this is; None when it is over or the user is disabled."""
        wanted = (
            select(users)
            .join_from(users, sessions, sessions.c.name == users.c.name)
            .where(sessions.c.secret_sha256 == secret_sha256, sessions.c.expires_at > now)
            .where(~users.c.disabled)
        )
        with self._turns.reading() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else _user_of(row)

    def close_session(self, secret_sha256: str, *, at: str) -> None:
        """End a session; nothing happens when it is over."""
        mine = sessions.c.secret_sha256 == secret_sha256
        with self._turns.writing() as connection:
            name = connection.execute(select(sessions.c.name).where(mine)).scalar_one_or_none()
            if name is not None:
                connection.execute(delete(sessions).where(mine))
                _tell(connection, Act.LOGGED_OUT, at, user=name)

    def add_token(self, token: Token, secret_sha256: str, *, by: str = "") -> None:
        """Let a program in; `by` says who did, if somebody logged in did.

        Conflict when there is a token of this id.
        """
        scopes = " ".join(sorted(token.scopes))
        row = {"token_id": token.token_id, "name": token.name, "created_at": token.created_at}
        secret = {"secret_sha256": secret_sha256, "revoked": token.revoked, "scopes": scopes}
        known = select(tokens.c.name).where(tokens.c.token_id == token.token_id)
        with self._turns.writing() as connection:
            if connection.execute(known).first() is not None:
                raise Conflict("this token was made already")
            connection.execute(insert(tokens), {**row, **secret})
            about = {"token_id": token.token_id, "name": token.name, "scopes": scopes, **_by(by)}
            _tell(connection, Act.TOKEN_ISSUED, token.created_at, **about)

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens, oldest first."""
        wanted = select(tokens).order_by(tokens.c.created_at, tokens.c.token_id)
        with self._turns.reading() as connection:
            return tuple(map(_token_of, connection.execute(wanted)))

    def token(self, secret_sha256: str) -> Token | None:
        """Return the token that has this secret; None when it was revoked."""
        wanted = select(tokens).where(tokens.c.secret_sha256 == secret_sha256, ~tokens.c.revoked)
        with self._turns.reading() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else _token_of(row)

    def revoke_token(self, token_id: str, *, at: str, by: str = "") -> None:
        """Let a program in no more; Conflict without such a token."""
        with self._turns.writing() as connection:
            wanted = update(tokens).where(tokens.c.token_id == token_id, ~tokens.c.revoked)
            if connection.execute(wanted.values(revoked=True)).rowcount != 1:
                raise Conflict(f"there is no token {token_id} that is valid")
            _tell(connection, Act.TOKEN_REVOKED, at, token_id=token_id, **_by(by))

    def _change(self, name: str, act: Act, at: str, **values: object) -> None:
        with self._turns.writing() as connection:
            if _user(connection, name) is None:
                raise Conflict(f"there is no user {name}")
            connection.execute(update(users).where(users.c.name == name).values(**values))
            connection.execute(delete(sessions).where(sessions.c.name == name))
            _tell(connection, act, at, user=name)


def _by(who: str) -> dict[str, str]:
    return {"by": who} if who else {}


def _tell(connection: Connection, act: Act, at: str, **about: str) -> None:
    body = {"act": act.value, **about}
    chain.append(connection, kind=Kind.ACCOUNT, created_at=at, body=body)


def _by_subject(connection: Connection, subject: str) -> User | None:
    row = connection.execute(select(users).where(users.c.subject == subject)).first()
    return None if row is None else _user_of(row)


def _reason(connection: Connection, user: User | None, who: Outsider) -> str | None:
    """Why somebody whom a provider vouches for is not let in."""
    if user is not None and user.disabled:
        return "disabled"
    if who.role is None and (user is None or who.follows):
        return "no role"
    if user is None and _user(connection, who.name) is not None:
        return "name taken"
    return None


def _admit(connection: Connection, who: Outsider, at: str) -> None:
    role = str(who.role)
    row = {"name": who.name, "role": role, "created_at": at, "disabled": False}
    connection.execute(insert(users), {**row, "password_hash": "", "subject": who.subject})
    about = {"user": who.name, "role": role, "subject": who.subject, "by": "provider"}
    _tell(connection, Act.USER_ADDED, at, **about)


def _promote(connection: Connection, name: str, role: Role, at: str) -> None:
    connection.execute(update(users).where(users.c.name == name).values(role=role.value))
    _tell(connection, Act.ROLE_CHANGED, at, user=name, role=role.value, by="provider")


def _user(connection: Connection, name: str) -> User | None:
    row = connection.execute(select(users).where(users.c.name == name)).first()
    return None if row is None else _user_of(row)


def _user_of(row: Row[Any]) -> User:
    role = _known(Role, [row.role])[0]
    return User(
        name=row.name,
        role=role,
        disabled=row.disabled,
        created_at=row.created_at,
        subject=row.subject,
    )


def _token_of(row: Row[Any]) -> Token:
    return Token(
        token_id=row.token_id,
        name=row.name,
        scopes=frozenset(_known(Scope, row.scopes.split())),
        created_at=row.created_at,
        revoked=row.revoked,
    )


def _known(kind: type[Word], words: Iterable[str]) -> list[Word]:
    try:
        return [kind(word) for word in words]
    except ValueError as error:
        raise CorruptContent("a user or a token holds a word that nobody writes") from error
