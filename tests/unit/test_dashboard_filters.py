"""Filters live in the address, and neighbours respect them."""

import pytest

from classifiers.port import Check
from dashboard.filters import Filters, newer, older
from monitor.store.rows import Page, Summary, VerdictRow
from monitor.types import Decision


class Shelf:
    """Rows in memory, found as the store finds them."""

    def __init__(self, decisions):
        self.rows = [row(seq, decision) for seq, decision in decisions.items()]
        self.asked = 0

    def verdicts(self, query):
        self.asked += 1
        fit = [r for r in self.rows if query.before is None or r.seq < query.before]
        fit = [r for r in fit if query.decision is None or r.decision is query.decision]
        fit.sort(key=lambda r: -r.seq)
        more = len(fit) > query.limit
        return Page(
            rows=tuple(fit[: query.limit]), next_before=fit[query.limit - 1].seq if more else None
        )

    def newest_seq(self):
        return max(r.seq for r in self.rows)

    def verdict(self, verdict_id):
        return None

    def summary(self):
        return Summary(decisions=dict.fromkeys(Decision, 0), unscored=0, gaps=0)

    def models(self):
        return ()


def row(seq, decision):
    return VerdictRow(
        seq=seq, verdict_id=f"v{seq}", trace_id="t", created_at="2026-01-01T00:00:00.000Z",
        decision=decision, mode="hold", model="", tenant="", conversation_id="", deception=0.0,
        dangerous_reasoning=0.0, mismatch=0.0, unscored=None, failed_open=False, disguised=0, coverage_gaps="",
        run=None, review=None, excerpt="",
    )  # fmt: skip


def test_a_form_that_was_not_touched_filters_nothing():
    empty = Filters.model_validate(
        dict.fromkeys(("decision", "model", "check", "min_probability"), "")
    )
    assert not empty.active
    assert empty.link("/") == "/"


def test_filters_survive_the_address():
    chosen = Filters(decision="flag", unscored=True, model="a&b=c", check=Check.MISMATCH)
    link = chosen.link("/live", before=7)
    assert link == "/live?decision=flag&unscored=true&model=a%26b%3Dc&check=mismatch&before=7"
    assert Filters(decision="flag").link("/", decision=None) == "/"


def test_a_check_without_a_probability_asks_for_one_half():
    assert Filters(check=Check.DECEPTION).query().min_probability == 0.5
    assert Filters(min_probability=0.9).query().min_probability is None
    assert Filters(decision="block").query().decision is Decision.BLOCK


@pytest.mark.parametrize("gap", [1, 2, 3, 17, 600, 5000])
def test_neighbours_are_the_nearest_that_fit(gap):
    kinds = {0: Decision.FLAG, 1: Decision.ALLOW}
    kinds |= {gap + 1 + i: Decision.FLAG for i in range(0, 1500, 2)}
    shelf, flagged = Shelf(kinds), Filters(decision="flag")
    assert newer(shelf, flagged, 0).seq == gap + 1
    assert older(shelf, flagged, gap + 1).seq == 0
    assert newer(shelf, Filters(), shelf.newest_seq()) is None
    assert older(shelf, flagged, 0) is None
    assert shelf.asked < 40
