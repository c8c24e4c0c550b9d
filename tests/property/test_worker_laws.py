"""The laws of what a worker may commit, whom it hears and what it rejects."""

from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.clock import LONGEST_TURN, Clock
from stream.kafka.port import Partition
from stream.kafka.positions import Positions
from stream.kafka.rejections import Rejections
from stream.kafka.table import Outcome, Patience, Table, TraceKey

HERE = Partition("t", 0)
#: Per message: is it needed until later; and how many of the needed ones are done after it.
steps = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.booleans()), max_size=60)


@given(steps, st.integers(0, 1000), st.randoms(use_true_random=False))
def test_a_position_never_passes_what_is_needed_and_never_goes_back(script, start, random):
    positions, needed, committed = Positions(), [], start
    for number, (need, done, commit) in enumerate(script):
        offset = start + number
        positions.read(offset)
        if need:
            positions.need(offset)
            needed.append(offset)
        for _ in range(min(done, len(needed))):
            positions.done(needed.pop(random.randrange(len(needed))))
        due = positions.due()
        safe = min([*needed, offset + 1])
        assert due == (safe if safe > committed else None)
        assert positions.uncommitted == offset + 1 - committed
        if commit and due is not None:
            assert due > committed
            positions.committed(due)
            committed = due


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 5), st.booleans(), st.booleans()), max_size=60
    )
)
def test_a_trace_is_whole_or_has_a_problem(script):
    """Whatever is repeated, lost or mixed: a row without a problem has every piece exactly once."""
    table, heard = Table(), {}
    decided = set()
    for offset, (name, number, last, decide) in enumerate(script):
        key = TraceKey(str(name), 0)
        before = table.row(key)
        ended = before is not None and before.ended
        outcome = table.take(key, partition=HERE, offset=offset, when=0.0, number=number, last=last)
        if key in decided or ended:
            assert outcome is Outcome.REPEATED
        row = table.row(key)
        if outcome is Outcome.OPENED:
            assert row.first == offset
            heard[key] = []
        if outcome is not Outcome.REPEATED:
            heard[key].append(number)
            whole = heard[key] == list(range(len(heard[key])))
            assert (row.problem is None) == whole
        if decide and row is not None and row.ended:
            table.decide(key)
            decided.add(key)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0, 50), st.floats(0, 200))
def test_a_trace_expires_by_silence_or_age_alone(times, silence, now):
    table = Table(Patience(silence=silence, total=60))
    times.sort()
    for number, when in enumerate(times):
        table.take(
            TraceKey("a", 0), partition=HERE, offset=number, when=when, number=number, last=False
        )
    expected = now > times[-1] + silence or now > times[0] + 60
    assert bool(table.expired(HERE, now)) == expected
    assert table.expired(Partition("t", 1), now) == []


@given(
    st.lists(st.tuples(st.sampled_from("hp"), st.floats(0, 1e6)), max_size=40), st.floats(0, 1e6)
)
def test_the_clock_never_goes_back_and_never_leaps(script, wall):
    clock = Clock()
    for what, value in script:
        before = clock.now
        if what == "h":
            clock.heard(value, wall)
            assert clock.now <= max(before, wall)
        else:
            clock.passes(value)
            assert clock.now <= before + LONGEST_TURN
        assert clock.now >= before


@given(st.lists(st.booleans(), max_size=80), st.integers(1, 10))
def test_rejected_messages_are_released_once_and_never_when_all_are_rejected(script, limit):
    rejections, row, released = Rejections(limit), [], []
    for number, readable in enumerate(script):
        if rejections.hopeless:
            break
        if readable:
            released += rejections.release()
            row = []
        else:
            rejections.reject(number)
            row.append(number)
        assert rejections.hopeless == (len(row) >= limit)
        assert rejections.waiting == row
    assert sorted(released) == sorted(set(released))
    if rejections.hopeless:
        assert rejections.release() == []
        assert not set(row) & set(released)
