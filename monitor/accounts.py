"""Who may do what: users and their roles, tokens and their scopes. Pure.

| role     | read | review | settle: what was escalated, thresholds, the log | manage |
|----------|------|--------|-------------------------------------------------|--------|
| viewer   | yes  |        |                                                 |        |
| reviewer | yes  | yes    |                                                 |        |
| lead     | yes  | yes    | yes                                             |        |
| admin    | yes  | yes    | yes                                             | yes    |
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

#: How somebody signs while there are no users.
LOCAL = "local"

_name = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


class Right(StrEnum):
    """What a person may do."""

    #: See verdicts and the text of traces.
    READ = "read"
    #: Claim and answer what waits.
    REVIEW = "review"
    #: Answer what was escalated, take over what somebody else is at, change thresholds, and
    #: read the audit log.
    SETTLE = "settle"
    #: See who has access, let programs in, and see what the server runs with.
    MANAGE = "manage"


class Role(StrEnum):
    """A set of rights; each role has those of the one before."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    LEAD = "lead"
    ADMIN = "admin"

    @property
    def rights(self) -> frozenset[Right]:
        """What somebody with this role may do."""
        return _RIGHTS[self]


class Scope(StrEnum):
    """What a program may do with a token."""

    #: `POST /v1/score`.
    SCORE = "score"
    #: `GET /v1/verdicts`, with the text of traces.
    VERDICTS = "verdicts"


_RIGHTS: Mapping[Role, frozenset[Right]] = {
    role: frozenset(list(Right)[: number + 1]) for number, role in enumerate(Role)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person, with a password or a provider of identities behind them."""

    name: str
    role: Role
    #: May not log in; what they did stays signed with their name.
    disabled: bool
    #: UTC, ISO 8601.
    created_at: str
    #: As in `Outsider`; None for who logs in with a password alone.
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outsider:
    """Somebody for whom a provider of identities vouches."""

    #: The issuer and what it calls them for good, with a space between.
    subject: str
    #: What they are called here from their first sign-in on.
    name: str
    #: None: nothing that they are gives them a role here.
    role: Role | None
    #: Whether the provider's word on the role holds at every sign-in, not only at the first.
    follows: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A program's way in, without its secret."""

    token_id: str
    #: What it is for.
    name: str
    scopes: frozenset[Scope]
    created_at: str
    revoked: bool


def is_name(text: str) -> bool:
    """Whether a user or a token can be called that."""
    return bool(_name.fullmatch(text)) and text != LOCAL
