"""What the page of a verdict shows of its reviews, and whether this person may answer."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from classifiers.port import Check
from dashboard.identity import Identity
from monitor.accounts import Right
from monitor.store import Claim, StoredReview
from monitor.types import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An answer that could not be recorded, to be shown again."""

    message: str = ""
    note: str = ""
    labels: Mapping[Check, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewView:
    """The history of reviews, and the form for the next."""

    history: Sequence[StoredReview]
    claim: Claim | None
    who: Identity
    draft: Draft
    review_id: str

    @property
    def mine(self) -> bool:
        """Whether this person is at it."""
        return self.claim is not None and self.claim.reviewer == self.who.name

    @property
    def others(self) -> bool:
        """Whether somebody else is at it."""
        return self.claim is not None and not self.mine

    @property
    def for_leads(self) -> bool:
        """Whether it was escalated, and this person may not settle that."""
        escalated = self.history and self.history[-1].review.outcome is Outcome.ESCALATE
        return bool(escalated) and not self.who.may(Right.SETTLE)

    @property
    def open(self) -> bool:
        """Whether this person may answer now."""
        return self.who.may(Right.REVIEW) and not (self.others or self.for_leads)


def review_view(
    history: Sequence[StoredReview], claim: Claim | None, who: Identity, draft: Draft
) -> ReviewView:
    """Work out what is shown; each view is for one answer, which is recorded at most once."""
    return ReviewView(
        history=history, claim=claim, who=who, draft=draft, review_id=secrets.token_hex(16)
    )
