"""What the page of a verdict shows of its reviews, and whether this person may answer."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from classifiers.port import Check
from dashboard.identity import Identity
from dashboard.trace_view import Again
from monitor.accounts import Right
from monitor.opinions import Opinion, refusal
from monitor.store import Claim, StoredReview
from monitor.types import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What came of a form: an answer that could not be recorded, or what another model says."""

    message: str = ""
    note: str = ""
    labels: Mapping[Check, bool] = field(default_factory=dict)
    again: Again | None = None


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
    def standing(self) -> Standing | None:
        """Where the answers leave it so far."""
        return self.history[-1].standing if self.history else None

    @property
    def blind(self) -> bool:
        """Whether the newest answer is kept from this person, so that theirs is their own."""
        second = self.standing is Standing.SECOND
        return second and self.history[-1].review.reviewer != self.who.name

    @property
    def told(self) -> list[tuple[StoredReview, str]]:
        """The answers that are shown, newest first, and what each was for."""
        before = [None, *(stored.standing for stored in self.history)]
        pairs = zip(self.history, map(_ROLES.get, before), strict=False)
        shown = [(stored, role or "") for stored, role in pairs]
        return list(reversed(shown[:-1] if self.blind else shown))

    @property
    def reason(self) -> str | None:
        """Why this person may not answer next; None when they may."""
        so_far = [_opinion(stored) for stored in self.history]
        return refusal(so_far, self.who.name, settles=self.who.may(Right.SETTLE))

    @property
    def open(self) -> bool:
        """Whether this person may answer now."""
        return self.who.may(Right.REVIEW) and not (self.others or self.reason)


#: What an answer is for, by where the one before left the verdict.
_ROLES: Mapping[Standing | None, str] = {
    Standing.SECOND: "second opinion",
    Standing.DISPUTE: "adjudication",
}


def _opinion(stored: StoredReview) -> Opinion:
    review = stored.review
    return Opinion(
        reviewer=review.reviewer,
        outcome=review.outcome,
        meaning=review.labels,
        standing=stored.standing,
    )


def review_view(
    history: Sequence[StoredReview], claim: Claim | None, who: Identity, draft: Draft
) -> ReviewView:
    """Work out what is shown; each view is for one answer, which is recorded at most once."""
    return ReviewView(
        history=history, claim=claim, who=who, draft=draft, review_id=secrets.token_hex(16)
    )
