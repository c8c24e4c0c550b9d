"""Nothing leaves the gate unjudged, out of order, or after a block."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monitor.gate import TABLE, Action, Event, Gate, State
from monitor.types import Channel, Delta, Frame, Mode


def frame(number: int, text: str = "", choice: int = 0, *, final: bool = False) -> Frame:
    delta = Delta(choice=choice, channel=Channel.ANSWER, text=text)
    return Frame(raw=b"%d;" % number, deltas=(delta,) if text else (), final=final)


def test_the_table_has_a_row_for_everything_that_can_happen():
    assert set(TABLE) == {(state, event) for state in State for event in Event}


@pytest.mark.parametrize("state", [State.HOLDING, State.BUFFERING])
def test_a_block_always_refuses_where_text_is_held(state):
    assert TABLE[state, Event.BLOCK] == (State.BLOCKED, Action.REFUSE)


@pytest.mark.parametrize("event", list(Event))
def test_there_is_no_way_out_of_a_block(event):
    assert TABLE[State.BLOCKED, event] == (State.BLOCKED, Action.DROP)


def test_a_row_that_is_missing_blocks():
    gate = Gate(Mode.HOLD)
    gate.state = None  # type: ignore[assignment]
    outcome = gate.on(Event.PASSED, {})
    assert outcome.refused
    assert gate.state is State.BLOCKED


def test_hold_releases_up_to_what_is_judged():
    gate = Gate(Mode.HOLD)
    assert not gate.frame(frame(0, "abcd"), {}).frames
    assert not gate.frame(frame(1, "ef"), {}).frames
    assert gate.on(Event.JUDGED, {0: 3}).frames == ()
    assert [f.raw for f in gate.on(Event.JUDGED, {0: 4}).frames] == [b"0;"]
    assert [f.raw for f in gate.on(Event.JUDGED, {0: 6}).frames] == [b"1;"]


def test_another_choice_that_waits_holds_what_comes_after_it():
    gate = Gate(Mode.HOLD)
    gate.frame(frame(0, "a", choice=1), {})
    gate.frame(frame(1, "b", choice=0), {})
    assert not gate.on(Event.JUDGED, {0: 1}).frames
    assert len(gate.on(Event.JUDGED, {0: 1, 1: 1}).frames) == 2


def test_the_last_word_waits_for_the_verdict():
    gate = Gate(Mode.HOLD)
    gate.frame(frame(0, final=True), {})
    assert not gate.on(Event.JUDGED, {}).frames
    assert gate.on(Event.PASSED, {}).frames


def test_a_frame_that_could_not_be_read_waits_for_the_verdict():
    gate = Gate(Mode.HOLD)
    outcome = gate.frame(Frame(raw=b"x", problem="malformed"), {})
    assert not outcome.frames


class GateMachine(RuleBasedStateMachine):
    """Compares a gate with a naive account of what was judged."""

    def __init__(self):
        super().__init__()
        self.mode = None

    @precondition(lambda self: self.mode is None)
    @rule(mode=st.sampled_from([Mode.HOLD, Mode.BUFFER, Mode.OBSERVE]))
    def start(self, mode):
        self.mode, self.gate = mode, Gate(mode)
        self.sent, self.needs, self.out = [], [], []
        self.fed, self.judged = {}, {}
        self.over = self.blocked = self.opened = False

    def take(self, outcome):
        self.out += [f.raw for f in outcome.frames]
        assert not (outcome.frames and self.blocked)
        self.blocked = self.blocked or outcome.refused

    @precondition(lambda self: self.mode is not None)
    @rule(text=st.text(max_size=3), choice=st.integers(0, 2))
    def upstream_sends(self, text, choice):
        piece = frame(len(self.sent), text, choice)
        self.fed[choice] = self.fed.get(choice, 0) + len(text)
        self.sent.append(piece.raw)
        self.needs.append({choice: self.fed[choice]} if text else {})
        self.take(self.gate.frame(piece, self.judged))

    @precondition(lambda self: self.mode is not None)
    @rule(choice=st.integers(0, 2), more=st.integers(0, 4))
    def text_is_judged(self, choice, more):
        done = min(self.judged.get(choice, 0) + more, self.fed.get(choice, 0))
        self.judged[choice] = done
        self.take(self.gate.on(Event.JUDGED, self.judged))

    @precondition(lambda self: self.mode is not None)
    @rule(event=st.sampled_from([Event.BLOCK, Event.PASSED, Event.FAIL_OPEN]))
    def it_ends(self, event):
        self.opened = self.opened or (event is not Event.BLOCK)
        self.take(self.gate.on(event, self.judged))

    @invariant()
    def frames_leave_in_order_and_unchanged(self):
        if self.mode is not None:
            assert self.out == self.sent[: len(self.out)]

    @invariant()
    def nothing_unjudged_leaves(self):
        if self.mode in (Mode.HOLD, Mode.BUFFER) and not self.opened:
            released = self.needs[: len(self.out)]
            assert all(self.judged.get(c, 0) >= n for need in released for c, n in need.items())
            assert self.mode is Mode.HOLD or not self.out


TestGateMachine = GateMachine.TestCase


@given(st.lists(st.binary(max_size=4), max_size=10))
def test_observe_passes_everything_at_once(chunks):
    gate = Gate(Mode.OBSERVE)
    out = [gate.frame(Frame(raw=c), {}).frames[0].raw for c in chunks]
    assert out == chunks
