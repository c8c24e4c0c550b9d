"""Which verdicts a page shows: the part of its address after the question mark."""

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from classifiers.port import Check
from dashboard.port import Records
from monitor.store.rows import Query, VerdictRow
from monitor.types import Decision, Standing

#: A form sends an untouched field as an empty string.
_Unset = BeforeValidator(lambda value: None if value == "" else value)
PAGE = 50
#: Probability that a check filter asks for when the address names none.
DEFAULT_MIN = 0.5
#: Records are numbered in 64 bits.
_MAX_SEQ = 2**63 - 1
#: UTC, a day or more exactly; such texts compare like times that are stored.
_TIME = r"^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?)?$"


class Filters(BaseModel):
    """Every filter is optional; all that are given must hold."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    decision: Annotated[Literal["allow", "flag", "block"] | None, _Unset] = None
    unscored: Annotated[bool | None, _Unset] = None
    gaps: Annotated[bool | None, _Unset] = None
    model: Annotated[str | None, _Unset] = Field(default=None, max_length=300)
    tenant: Annotated[str | None, _Unset] = Field(default=None, max_length=300)
    conversation: Annotated[str | None, _Unset] = Field(default=None, max_length=300)
    check: Annotated[Check | None, _Unset] = None
    min_probability: Annotated[float | None, _Unset] = Field(default=None, ge=0, le=1)
    max_probability: Annotated[float | None, _Unset] = Field(default=None, ge=0, le=1)
    #: Only what waits for a person, at this stage.
    waits: Annotated[Literal["new", "second", "dispute", "escalate"] | None, _Unset] = None
    reviewer: Annotated[str | None, _Unset] = Field(default=None, max_length=64)
    text: Annotated[str | None, _Unset] = Field(default=None, max_length=300)
    since: Annotated[str | None, _Unset] = Field(default=None, pattern=_TIME)
    until: Annotated[str | None, _Unset] = Field(default=None, pattern=_TIME)
    before: Annotated[int | None, _Unset] = Field(default=None, ge=0, le=_MAX_SEQ)

    @property
    def active(self) -> bool:
        """Whether anything but the page is chosen."""
        return any(name != "before" for name, _ in self._given())

    @property
    def threshold(self) -> float | None:
        """The least probability of the chosen check."""
        if self.check is not None and self.min_probability is None and self.max_probability is None:
            return DEFAULT_MIN
        return None if self.check is None else self.min_probability

    def query(self, *, before: int | None = None, limit: int = PAGE) -> Query:
        """The same, as the store wants it."""
        return Query(
            before=self.before if before is None else before,
            limit=limit,
            decision=None if self.decision is None else Decision[self.decision.upper()],
            unscored=self.unscored,
            gaps=self.gaps,
            check=self.check,
            min_probability=self.threshold,
            max_probability=self.max_probability,
            unanswered=self.waits == "new",
            standing=None if self.waits in (None, "new") else Standing(self.waits),
            reviewer=self.reviewer,
            text=self.text,
            since=self.since,
            until=self.until,
            model=self.model,
            tenant=self.tenant,
            conversation_id=self.conversation,
        )

    def link(self, path: str, **changes: object) -> str:
        """`path` with these filters; a change to None drops a filter."""
        given = {**dict(self._given()), **changes}
        text = urlencode({name: _text(value) for name, value in given.items() if value is not None})
        return f"{path}?{text}" if text else path

    def _given(self) -> Iterator[tuple[str, object]]:
        return ((name, value) for name, value in self if value is not None)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def older(store: Records, filters: Filters, seq: int) -> VerdictRow | None:
    """The next older verdict that fits."""
    return next(iter(store.verdicts(filters.query(before=seq, limit=1)).rows), None)


def newer(store: Records, filters: Filters, seq: int) -> VerdictRow | None:
    """The next newer verdict that fits: look ever further ahead, then come back to the nearest."""
    newest, reach = store.newest_seq(), 1
    found = older(store, filters, seq + 2)
    while (found is None or found.seq <= seq) and seq + reach < newest:
        reach *= 2
        found = older(store, filters, seq + reach + 1)
    return _nearest(store, filters, seq, found) if found and found.seq > seq else None


def _nearest(store: Records, filters: Filters, seq: int, found: VerdictRow) -> VerdictRow:
    while True:
        page = store.verdicts(filters.query(before=found.seq, limit=500))
        between = [row for row in page.rows if row.seq > seq]
        if not between:
            return found
        found = between[-1]
        if len(between) < len(page.rows) or page.next_before is None:
            return found
